"""What waits in a real Ray cluster, as the engine tells it."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable

import pytest
from tests.e2e.engine.real_cluster import OLDEST, RealCluster, said_by, view_where

from rayfleet.contracts import EngineView
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.requests import request_resources
from rayfleet.model import Bundle, Gang, LabelSelector, RequestedDemand, Resources, Strategy, TaskDemand

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

TASK = "@ray.remote\ndef f(): return 1\n"
ACTOR = "@ray.remote\nclass A:\n    def m(self): return 1\n"


def without_ages(view: EngineView) -> tuple[set[TaskDemand], set[Gang], set[RequestedDemand]]:
    tasks = {TaskDemand(task.shape, task.count, task.selectors) for task in view.demand.tasks}
    gangs = {Gang(gang.strategy, gang.bundles, gang.count, placed=gang.placed) for gang in view.demand.gangs}
    return tasks, gangs, set(view.demand.requested)


def cpus(count: float) -> Resources:
    return Resources.of({"CPU": count})


async def test_tasks_and_actors_with_their_selectors(cluster: RealCluster, drive: Drive, engine: RayEngine) -> None:
    driver = drive(
        TASK
        + ACTOR
        + """
a = [f.options(num_cpus=2).remote() for _ in range(7)]
b = f.options(num_cpus=1, resources={"gold": 0.5}, memory=10**9).remote()
c = f.options(num_cpus=3, label_selector={"zone": "in(a,b)", "tier": "!spot"},
              fallback_strategy=[{"label_selector": {"zone": "!in(c,d)"}}, {"label_selector": {"zone": "e"}}]).remote()
d = A.options(num_cpus=4).remote()
e = A.options(num_cpus=0, num_gpus=1, label_selector={"zone": "a"}).remote()
time.sleep(600)
"""
    )
    fallbacks = (LabelSelector.parse({"zone": "!in(c,d)"}), LabelSelector.parse({"zone": "e"}))
    expected = {
        TaskDemand(cpus(2), 7),
        TaskDemand(Resources.of({"CPU": 1, "gold": 0.5, "memory": 10**9})),
        TaskDemand(
            cpus(3),
            selectors=(
                LabelSelector.parse({"zone": "in(a,b)", "tier": "!spot"}),
                *(() if OLDEST else fallbacks),  # it knows them, and tells nobody
            ),
        ),
        TaskDemand(cpus(4)),
        TaskDemand(Resources.of({"GPU": 1}), selectors=(LabelSelector.parse({"zone": "a"}),)),
    }
    view = await view_where(engine, lambda view: without_ages(view)[0] == expected)
    assert not view.demand.gangs
    cluster.end(driver)
    await view_where(engine, lambda view: not view.demand)


async def test_placement_groups_of_every_strategy_and_bundles_with_selectors(
    cluster: RealCluster, drive: Drive, engine: RayEngine
) -> None:
    driver = drive(
        """
from ray.util import placement_group
names = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
kept = [placement_group([{"CPU": 1}, {"CPU": 2}], strategy=name) for name in names]
kept += [placement_group([{"CPU": 5}], strategy="SPREAD") for _ in range(3)]
kept += [placement_group([{"CPU": 1}, {"CPU": 1}], bundle_label_selector=[{"zone": "a"}, {"zone": "!in(a,b)"}])]
say("made")
time.sleep(600)
"""
    )
    two = (Bundle(cpus(1)), Bundle(cpus(2)))
    labelled = (
        Bundle(cpus(1), (LabelSelector.parse({"zone": "a"}),)),
        Bundle(cpus(1), (LabelSelector.parse({"zone": "!in(a,b)"}),)),
    )
    expected = {
        *(Gang(strategy, two) for strategy in Strategy),
        Gang(Strategy.SPREAD, (Bundle(cpus(5)),), count=3),
        Gang(Strategy.PACK, labelled),
    }
    await view_where(engine, lambda view: without_ages(view)[1] == expected)
    cluster.end(driver)
    await view_where(engine, lambda view: not view.demand)


async def test_request_resources_of_a_driver_and_from_outside_replace_each_other(
    cluster: RealCluster, drive: Drive, engine: RayEngine
) -> None:
    driver = drive(
        """
from ray.autoscaler.sdk import request_resources
request_resources(num_cpus=3, bundles=[{"GPU": 1}])
"""
    )
    driver.wait()
    wanted = {RequestedDemand(cpus(1), 3), RequestedDemand(Resources.of({"GPU": 1}))}
    await view_where(engine, lambda view: set(view.demand.requested) == wanted)
    labelled = RequestedDemand(cpus(2), 4, (LabelSelector.parse({"zone": "in(a,b)"}),))
    await request_resources(cluster.settings, [labelled])
    await view_where(engine, lambda view: view.demand.requested == (labelled,))
    await request_resources(cluster.settings, [])
    await view_where(engine, lambda view: not view.demand)


async def test_more_shapes_than_ray_reports_by_default(cluster: RealCluster, drive: Drive, engine: RayEngine) -> None:
    driver = drive(
        TASK + "kept = [f.options(num_cpus=1, resources={'x': 1 + n}).remote() for n in range(250)]\ntime.sleep(600)"
    )
    expected = {TaskDemand(Resources.of({"CPU": 1, "x": 1 + number})) for number in range(250)}
    await view_where(engine, lambda view: without_ages(view)[0] == expected)
    cluster.end(driver)
    await view_where(engine, lambda view: not view.demand)


async def test_demand_is_seen_at_once_and_grows_older(cluster: RealCluster, drive: Drive, engine: RayEngine) -> None:
    """The bound is loose, since the machine may be busy; without the short pull period it would take 0.5-1 s."""
    driver = drive(
        TASK
        + """
for n in range(7):
    time.sleep(0.4)
    at = time.time(); kept = f.options(num_cpus=10 + n).remote(); say(at)
time.sleep(600)
"""
    )
    waits = []
    for number in range(7):
        shape = cpus(10 + number)
        await view_where(engine, lambda view, shape=shape: any(task.shape == shape for task in view.demand.tasks))  # type: ignore[misc]
        seen_at = time.time()
        waits.append(seen_at - float(said_by(driver)))
    print("demand seen after", [round(wait, 3) for wait in waits])
    assert statistics.median(waits) < 0.4
    view = await view_where(engine, lambda view: any(task.age_s > 0.3 for task in view.demand.tasks))
    assert all(task.age_s < 60 for task in view.demand.tasks)
    cluster.end(driver)
