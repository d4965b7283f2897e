"""What Ray and its drivers show of our reports."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import RealCluster, pool, view_where

from rayfleet.engines.ray.engine import RayEngine
from rayfleet.model import (
    Backoff,
    Claim,
    Demand,
    DemandKind,
    Host,
    How,
    Launch,
    OfferKey,
    Phase,
    Plan,
    Policy,
    ReasonCode,
    Release,
    Snapshot,
    TaskDemand,
    TickReport,
    Trouble,
    Unmet,
    reason,
)

Drive = Callable[[str], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

CPU4 = OfferKey("cpu4", "process")


def claim(number: int, phase: Phase) -> Claim:
    return Claim(f"c{number}", CPU4, phase, (Host(f"c{number}", f"machine{number}"),), created=time.time())


def report(plan: Plan, claims: tuple[Claim, ...] = (), demand: Demand = Demand()) -> TickReport:  # noqa: B008 - frozen
    policy = Policy(pools=(pool("cpu4", CPU=4),))
    return TickReport(1, "tests", Snapshot(now=time.time(), policy=policy, claims=claims, demand=demand), plan)


def logs(cluster: RealCluster) -> Path:
    return Path(json.loads(cluster.settings.head_path.read_text())["logs_dir"])


async def test_ray_status_counts_each_pending_node_and_names_failures(cluster: RealCluster, engine: RayEngine) -> None:
    claims = (claim(1, Phase.REQUESTED), claim(2, Phase.REQUESTED), claim(3, Phase.BOOTING))
    backoffs = (Backoff(OfferKey("gpu"), time.time() + 60, Trouble.OUT_OF_STOCK, message="none left"),)
    await engine.publish(report(Plan(claims=claims, backoffs=backoffs)))
    shown = cluster.run("ray", "status")
    assert "cpu4, 2 launching" in shown
    assert "machine3: cpu4, booting" in shown
    assert "gpu: LaunchFailed" in shown


async def test_a_new_controller_is_not_ignored_for_its_version(cluster: RealCluster, engine: RayEngine) -> None:
    """The GCS silently drops a report with a version below the one it holds, whatever the clock says by then."""
    fast = RayEngine(cluster.settings, clock=lambda: time.time() + 86400)
    await fast.publish(report(Plan(claims=(claim(1, Phase.REQUESTED),))))
    await fast.close()
    await engine.publish(report(Plan(claims=tuple(claim(n, Phase.REQUESTED) for n in range(5)))))
    assert "cpu4, 5 launching" in cluster.run("ray", "status")
    await engine.publish(report(Plan()))
    assert "launching" not in cluster.run("ray", "status")


async def test_drivers_read_what_is_added_removed_and_hopeless(
    cluster: RealCluster, engine: RayEngine, drive: Drive
) -> None:
    driver = drive(
        """
@ray.remote(num_gpus=3)
def task(): return 1
@ray.remote(num_cpus=1, num_gpus=3)
class Actor:
    def there(self): return 1
refused, actor, waits = task.remote(), Actor.remote(), task.options(num_gpus=1).remote()
for hopeless in (refused, actor.there.remote()):
    try: ray.get(hopeless)
    except (ray.exceptions.TaskUnschedulableError, ray.exceptions.ActorUnschedulableError) as error: say(type(error))
time.sleep(600)
"""
    )
    view = await view_where(engine, lambda view: sum(task.count for task in view.demand.tasks) == 3)
    task = next(task for task in view.demand.tasks if task.shape.amounts()["GPU"] == 3)
    why = reason(ReasonCode.NO_POOL_FITS, shape=str(task.shape))
    claims = (claim(1, Phase.READY), claim(2, Phase.READY))
    idle = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
    plan = Plan(
        launches=(Launch(CPU4, ("c3", "c4"), "b", 2, reason(ReasonCode.TASKS, tasks=2)),),
        releases=(Release("c1", ("c1",), ("machine1",), "process", How.END, idle),),
        unmet=(Unmet(DemandKind.TASKS, 0, task, 1, why),),
        claims=claims,
    )
    for _ in range(2):  # said once, however often the plan says it
        await engine.publish(report(plan, claims, view.demand))
    awaited = ("No available node types", "TaskUnschedulableError", "ActorUnschedulableError")
    lines: list[str] = []
    deadline = time.monotonic() + 30

    def listen() -> None:
        assert driver.stdout is not None
        while time.monotonic() < deadline and not all(word in "".join(lines) for word in awaited):
            lines.append(driver.stdout.readline())

    await asyncio.to_thread(listen)
    assert all(word in "".join(lines) for word in awaited)
    (left,) = (await view_where(engine, lambda view: sum(task.count for task in view.demand.tasks) == 1)).demand.tasks
    assert left.shape.amounts() == {"CPU": 1, "GPU": 1}, "what is not hopeless waits on"
    said = "".join(line for line in lines if "(autoscaler" in line)
    assert "Adding 2 node(s) of type cpu4." in said
    assert "Removing 1 nodes of type cpu4 (idle)." in said
    assert "No available node types can fulfill resource request {CPU: 1, GPU: 3}" in said
    written = (logs(cluster) / "events" / "event_AUTOSCALER.log").read_text()
    assert written.count("Removing 1 nodes of type cpu4 (idle).") == 1
    assert written.count("{CPU: 1, GPU: 3}: no pool") == 1


async def test_the_logs_that_users_follow_have_a_status_block_per_change(
    cluster: RealCluster, engine: RayEngine
) -> None:
    files = [logs(cluster) / name for name in ("monitor.log", "autoscaler.log")]
    plan = Plan(claims=(claim(7, Phase.READY),))
    demand = Demand(tasks=(TaskDemand(pool("x", CPU=1).resources, 31),))
    for _ in range(3):
        await engine.publish(report(plan, (), demand))
    for file in files:
        text = file.read_text()
        assert text.count("{CPU: 1}: 31+ pending tasks/actors") == 1
        assert "1 cpu4" in text
        assert "seconds to complete the update iteration." in text
