"""The GCS dies with kill -9 and comes back. On a cluster of its own: the oldest Ray's head does not survive it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import PATIENCE_S, RealCluster, node_where, pool, said_by, view_where

from rayfleet.contracts import EngineDown
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.requests import request_resources
from rayfleet.model import NodeFact, RequestedDemand, Resources

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    real = RealCluster(tmp_path_factory.mktemp("restart"))
    yield real
    real.close()


def child(parent: int, program: str) -> int:
    """Return the process id of `parent`'s child that runs `program`."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text().strip() == program:
            return int(pid)
    raise AssertionError(f"{parent} has no child {program}")


async def down(engine: RayEngine) -> None:
    """Look until there is no answer."""
    with contextlib.suppress(EngineDown):
        while True:
            await engine.look()
            await asyncio.sleep(0.01)


def keeps_its_tables(cluster: RealCluster) -> bool:
    return (Path(cluster.settings.folder) / "gcs").exists()


async def test_a_killed_gcs_comes_back_with_its_nodes_and_requests(
    cluster: RealCluster, engine: RayEngine, drive: Drive
) -> None:
    cluster.start("survivor", pool("small", CPU=1))
    driver = drive(
        """
@ray.remote(num_cpus=1)
class Survivor:
    def ready(self): return "held"
kept = Survivor.remote()
say(ray.get(kept.ready.remote()))
for _ in range(600):
    time.sleep(0.5)
    say(ray.get(kept.ready.remote()), ray.cluster_resources().get("CPU"))
"""
    )
    assert said_by(driver) == "held"
    wish = RequestedDemand(Resources.of({"CPU": 1}), 5)
    await request_resources(cluster.settings, [wish])
    before = await view_where(engine, lambda view: view.demand.requested == (wish,))
    gcs = child(cluster.head.pid, "gcs_server")
    os.kill(gcs, signal.SIGKILL)
    killed_at = time.monotonic()
    if not keeps_its_tables(cluster):  # Ray 2.52 cannot: the head ends, and says so
        assert cluster.head.wait(timeout=PATIENCE_S) == 1
        assert "gcs_server ended" in cluster.output("head")
        return
    await down(engine)
    after = await view_where(engine, lambda view: any(node.instance_id == "survivor" for node in view.nodes))
    print("GCS killed, trusted again after", round(time.monotonic() - killed_at, 2))
    assert after.demand.requested == (wish,), "Ray has forgotten it, we have not"
    alive = {node.id for node in before.nodes if node.state is NodeFact.ALIVE}
    assert {node.id for node in after.nodes if node.state is NodeFact.ALIVE} == alive
    survivor = await node_where(engine, "survivor")
    assert survivor.state is NodeFact.ALIVE
    assert survivor.idle_s == 0
    assert "held 1.0" in said_by(driver)
    await request_resources(cluster.settings, [])
    await view_where(engine, lambda view: not view.demand)
