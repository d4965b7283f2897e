"""What runs inside real Ray, as its state API tells it: the shapes that the pretend dashboard was written after."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import OLDEST, RealCluster, eventually, node_where, pool, said_by

from rayfleet.contracts import StateUnavailable
from rayfleet.contracts.state import Filter, Listing, LogSource, Query, TaskState
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.state import RayState
from rayfleet.model import Pool

Drive = Callable[[str], subprocess.Popen[str]]
Start = Callable[[str, Pool], subprocess.Popen[str]]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

BUSY = """
@ray.remote(num_cpus=1)
class Holder:
    def ready(self):
        print("printed by the holder")
        return ray.get_runtime_context().get_actor_id()
holder = Holder.options(name="holder", namespace="seen", lifetime="detached").remote()
killed = Holder.options(num_cpus=0).remote()
ray.get(killed.ready.remote())
ray.kill(killed)
@ray.remote(num_cpus=0)
def quick(): return 1
@ray.remote(num_cpus=100)
def never(): return 1
ray.get([quick.remote() for _ in range(5)])
waiting = never.remote()
kept = ray.put(b"x" * 5_000_000)
placed = ray.util.placement_group([{"CPU": 1}], strategy="STRICT_PACK", name="placed")
ray.get(placed.ready())
alone = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD", name="alone")
@ray.remote(num_cpus=1)
class Within:
    def ready(self): return 1
where = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(placed)
within = Within.options(scheduling_strategy=where).remote()
ray.get(within.ready.remote())
say(ray.get(holder.ready.remote()))
time.sleep(600)
"""
END = 'import ray; ray.init(namespace="seen"); ray.kill(ray.get_actor("holder"))'


@pytest.fixture
async def state(cluster: RealCluster, engine: RayEngine) -> AsyncIterator[RayState]:
    found = RayState(cluster.settings)
    yield found
    await found.close()


async def test_all_that_runs(
    cluster: RealCluster, engine: RayEngine, state: RayState, drive: Drive, start: Start
) -> None:
    start("worker-of-state", pool("small", CPU=3))
    holder = said_by(drive(BUSY))
    node = await node_where(engine, "worker-of-state", lambda node: bool(node.activity))
    try:
        await _nodes(state, node.id)
        await _actors(state, node.id, holder)
        await _tasks(state)
        await _placement_groups(state, node.id)
        await _objects(state)
        await _the_rest(state)
        await _logs(state, node.id, holder)
    finally:
        await asyncio.to_thread(cluster.run, "python", "-c", END)


async def _nodes(state: RayState, worker: str) -> None:
    found = await state.nodes(Query(filters=(Filter("state", "alive"),)))
    rows = {row.node_id: row for row in found.rows}
    assert (found.matching, found.cut, found.warnings) == (len(rows), False, ())
    assert [row.is_head_node for row in rows.values()].count(True) == 1
    row = rows[worker]
    assert (row.instance_id, row.pool, row.state, row.resources_total["CPU"]) == (
        "worker-of-state",
        "small",
        "ALIVE",
        3,
    )
    assert row.resources_used is not None
    assert row.resources_used["CPU"] >= 2
    assert row.start_time_ms
    assert row.node_ip
    assert row.labels["ray.io/node-id"] == worker


async def _actors(state: RayState, node: str, holder: str) -> None:
    found = await state.actors(Query(filters=(Filter("actor_id", holder),)))
    (row,) = found.rows
    assert (row.class_name, row.name, row.state, row.node_id) == ("Holder", "holder", "ALIVE", node)
    assert (dict(row.required_resources), row.is_detached, row.ray_namespace) == ({"CPU": 1.0}, True, "seen")
    assert row.pid > 1
    assert found.total > found.matching
    dead = (await state.actors(Query(filters=(Filter("state", "DEAD"), Filter("class_name", "Holder"))))).rows
    assert any("kill" in each.death_cause for each in dead), dead
    (within,) = (await state.actors(Query(filters=(Filter("class_name", "Within"),)))).rows
    assert dict(within.required_resources) == {"CPU": 1.0}
    assert within.placement_group_id
    one = await state.actors(Query(1))
    assert (len(one.rows), one.cut) == (1, True)
    counted = await state.actor_summary()
    assert {row.name: row.state_counts.get("ALIVE", 0) for row in counted.rows}["Holder"] >= 1
    assert counted.totals["total_actors"] >= 3


async def _tasks(state: RayState) -> None:
    wanted = Query(filters=(Filter("func_or_class_name", "quick"),))
    found = await eventually(lambda: state.tasks(wanted), _all_told)
    assert {row.type for row in found.rows} == {"NORMAL_TASK"}
    never = Query(filters=(Filter("name", "never"),))
    (row,) = (await eventually(lambda: state.tasks(never), lambda found: found.matching == 1)).rows
    assert row.state.startswith("PENDING")
    assert row.required_resources["CPU"] == 100
    counted = await state.task_summary()
    assert {row.name: dict(row.state_counts) for row in counted.rows}["quick"] == {"FINISHED": 5}
    assert counted.totals["total_tasks"] >= 6


def _all_told(found: Listing[TaskState]) -> bool:
    """Say whether five have finished and all is known of them: the processes tell of a task in pieces."""
    ended = [row for row in found.rows if row.state == "FINISHED"]
    return len(ended) == 5 and all(row.start_time_ms and row.end_time_ms and row.worker_pid for row in ended)


async def _placement_groups(state: RayState, node: str) -> None:
    rows = {row.name: row for row in (await state.placement_groups()).rows}
    placed, alone = rows["placed"], rows["alone"]
    assert (placed.strategy, placed.state) == ("STRICT_PACK", "CREATED")
    assert [(dict(each.resources), each.node_id) for each in placed.bundles] == [({"CPU": 1.0}, node)]
    assert (alone.strategy, alone.state, [each.node_id for each in alone.bundles]) == (
        "STRICT_SPREAD",
        "PENDING",
        ["", ""],
    )
    assert alone.scheduling_state


async def _objects(state: RayState) -> None:
    found = await state.objects()
    assert max(row.object_size for row in found.rows) > 5_000_000
    assert any("Callsite" in warning for warning in found.warnings)
    memory = await eventually(
        state.memory, lambda memory: sum(n.store_used_bytes or 0 for n in memory.nodes) > 5_000_000
    )
    assert memory.largest.rows[0].object_size > 5_000_000
    assert memory.largest.rows[0].type == "DRIVER"
    assert all(node.store_capacity_bytes > 10_000_000 and node.memory_total_bytes for node in memory.nodes)
    assert [node.is_head_node for node in memory.nodes].count(True) == 1
    summed = await state.object_summary()
    assert summed.totals["total_objects"] >= 1
    assert summed.rows[0].total_size_mb > 4


async def _the_rest(state: RayState) -> None:
    workers = (await state.workers(Query(filters=(Filter("is_alive", "True"),)))).rows
    assert {row.worker_type for row in workers} >= {"WORKER", "DRIVER"}
    jobs = (await state.jobs()).rows
    assert {row.type for row in jobs} >= {"DRIVER"}
    assert any(row.status == "RUNNING" and row.pid and row.node_ip and row.start_time_ms for row in jobs)


async def _logs(state: RayState, node: str, holder: str) -> None:
    files = {file.name: file.component for file in (await state.log_files(node)).rows}
    assert "raylet.out" in files, files
    assert (await state.log_files(node, "raylet*")).total < len(files)
    if OLDEST:  # as its own `ray logs`
        with pytest.raises(StateUnavailable, match="authentication token") as error:
            await state.log(LogSource(node, "raylet.out"), 3)
        assert "take a newer one" in error.value.hint
        return
    text = await state.log(LogSource(node, "raylet.out"), 3)
    assert len(text.lines) == 3
    assert text.cut
    source = LogSource(actor_id=holder)
    assert "printed by the holder" in "\n".join((await state.log(source)).lines)
    followed = state.follow_log(source, 10)
    assert await asyncio.wait_for(_until(followed, "printed by the holder"), 60)
    with pytest.raises(StateUnavailable, match="not") as error:
        await state.log(LogSource(node, "nothing.log"))
    assert error.value.refused
    with pytest.raises(StateUnavailable):
        await state.log_files("ab" * 28)


async def _until(lines: AsyncIterator[str], part: str) -> str:
    async for line in lines:
        if part in line:
            return line
    raise AssertionError(f"the log ended without {part}")


async def test_a_wrong_question_and_a_wrong_token(cluster: RealCluster, state: RayState, tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable, match="colour") as error:
        await state.actors(Query(filters=(Filter("colour", "red"),)))
    assert error.value.refused
    stranger = replace(cluster.settings, folder=str(tmp_path))
    stranger.token_path.write_text("0" * 64)
    other = RayState(stranger)
    with pytest.raises(StateUnavailable) as refused:
        await other.actors()
    await other.close()
    assert "another token" in refused.value.hint
    assert not refused.value.refused
