"""The simulator's model of Ray's scheduling beside real Ray, on three nodes of 8 CPUs: where the same work goes.

What is compared is what a bill depends on: how many nodes are in use, and how full they are, sorted, because which of
three equal nodes is the first is chance. Each case prints how far apart the two are, and the tolerance.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import pytest
from tests.e2e.engine.real_cluster import RealCluster, node_where, pool, said_by, view_where

from rayfleet.contracts import EngineView
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.model import CPU, NO_LABELS, UNITS, Resources, Strategy
from rayfleet.simulator.gangs import Wanted, place_gang
from rayfleet.simulator.nodes import NodeTable

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

NODES = 3
CPUS = 8
TOLERANCE_CPUS = 1
"""So much the use of a node may differ: real Ray decides on a view of the other nodes that is some milliseconds old."""

DRIVER = """
import time
@ray.remote
def f():
    time.sleep(600)
held = []
for cpus, count in {tasks}:
    for _ in range(count):
        held.append(f.options(num_cpus=cpus).remote())
        time.sleep({pause})
say("sent")
time.sleep(600)
"""
GROUP = """
from ray.util.placement_group import placement_group
group = placement_group([{{"CPU": {cpus}}}] * {count}, strategy="{strategy}")
ray.get(group.ready())
say("placed")
time.sleep(600)
"""


def model() -> NodeTable:
    table = NodeTable((CPU,), Random(0))
    for n in range(NODES):
        table.add(f"n{n}", f"n{n}", "w", Resources.of({CPU: CPUS}), NO_LABELS)
    return table


def modelled_use(tasks: list[tuple[int, int]]) -> list[float]:
    table = model()
    everywhere = np.ones(len(table.rows), np.bool_)
    for cpus, count in tasks:
        need = table.need(Resources.of({CPU: cpus}))
        for _ in range(count):
            for node, n in table.choose(need, 1, everywhere):
                table.take(node, need, n)
    return sorted((node.total[0] - node.free[0]) / UNITS for node in table.nodes.values())


def modelled_group(strategy: Strategy, cpus: int, count: int) -> list[float]:
    table = model()
    bundle = Wanted(table.need(Resources.of({CPU: cpus})), np.ones(len(table.rows), np.bool_))
    used = dict.fromkeys(table.nodes, 0.0)
    for node, _ in place_gang(table, strategy, [bundle] * count) or []:
        used[node.id] += cpus
    return sorted(used.values())


def real_use(view: EngineView) -> list[float]:
    workers = [node for node in view.nodes if node.pool == "w8" and node.state == "alive"]
    return sorted((node.total.get(CPU, 0) - node.available.get(CPU, 0)) / UNITS for node in workers)


@pytest.fixture(scope="module")
def started(cluster: RealCluster) -> Iterator[list[subprocess.Popen[str]]]:
    """The nodes, for all cases: where work goes does not depend on the past. Empty until the head is up."""
    nodes: list[subprocess.Popen[str]] = []
    yield nodes
    cluster.end(*nodes)


@pytest.fixture
async def three(cluster: RealCluster, started: list[subprocess.Popen[str]], engine: RayEngine) -> RayEngine:
    """Have three nodes of 8 CPUs, as far as Ray knows, with nothing on them that the case before has left."""
    names = [f"model{n}" for n in range(NODES)]
    if not started:
        started += [cluster.start(name, pool("w8", CPU=CPUS)) for name in names]
    for name in names:
        await node_where(engine, name)
    await view_where(engine, lambda view: real_use(view) == [0.0] * NODES)
    return engine


def told(case: str, real: list[float], ours: list[float]) -> float:
    """Print both, and return how far apart they are at most."""
    apart = max(abs(one - other) for one, other in zip(real, ours, strict=True))
    nodes = sum(map(bool, real)), sum(map(bool, ours))
    both = f"real {real} on {nodes[0]} nodes, model {ours} on {nodes[1]}"
    print(f"{case}: {both}; apart {apart:g}, allowed {TOLERANCE_CPUS}")
    return apart


@pytest.mark.parametrize(
    "tasks",
    [[(1, 4)], [(1, 8)], [(1, 15)], [(1, 24)], [(4, 3)], [(2, 2), (1, 6)]],
    ids=["to the half", "two halves", "beyond the half", "full", "large ones", "mixed"],
)
async def test_tasks_go_where_the_model_says(three: RayEngine, drive: Drive, tasks: list[tuple[int, int]]) -> None:
    ours = modelled_use(tasks)
    driver = drive(DRIVER.format(tasks=tasks, pause=0.4))
    said_by(driver)
    view = await view_where(three, lambda view: sum(real_use(view)) == sum(ours))
    real = real_use(view)
    assert told(f"tasks {tasks}", real, ours) <= TOLERANCE_CPUS
    assert sum(map(bool, real)) == sum(map(bool, ours))


@pytest.mark.parametrize(
    ("strategy", "cpus", "count"),
    [(Strategy.PACK, 2, 6), (Strategy.SPREAD, 2, 6), (Strategy.STRICT_PACK, 2, 4), (Strategy.STRICT_SPREAD, 2, 3)],
)
async def test_placement_groups_go_where_the_model_says(
    three: RayEngine, drive: Drive, strategy: Strategy, cpus: int, count: int
) -> None:
    ours = modelled_group(strategy, cpus, count)
    driver = drive(GROUP.format(strategy=strategy.value, cpus=cpus, count=count))
    said_by(driver)
    view = await view_where(three, lambda view: sum(real_use(view)) == sum(ours))
    assert told(f"{strategy.value} {count} x {cpus}", real_use(view), ours) <= TOLERANCE_CPUS
