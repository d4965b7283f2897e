"""The pretend State answers as the real one does over a pretend dashboard with the same rows."""

from pathlib import Path

import pytest

from rayfleet.contracts.state import (
    ActorState,
    Filter,
    LogSource,
    NodeMemory,
    NodeState,
    ObjectState,
    Query,
    State,
    StateUnavailable,
    TaskState,
)
from rayfleet.engines.ray.state import RayState
from rayfleet.testing.fake_state import FakeState
from rayfleet.testing.ray_dashboard import RayDashboard

ACTORS = [("a1", "Counter", "ALIVE"), ("a2", "Counter", "DEAD"), ("a3", "Other", "ALIVE")]
TASKS = [("t1", "f", "RUNNING"), ("t2", "f", "FINISHED"), ("t3", "g", "FINISHED")]


def fake() -> FakeState:
    return FakeState(
        actor_rows=[ActorState(name, kind, state) for name, kind, state in ACTORS],
        task_rows=[TaskState(name, name=func, type="NORMAL_TASK", state=state) for name, func, state in TASKS],
    )


def dashboard() -> RayDashboard:
    actors = [{"actor_id": name, "class_name": kind, "state": state} for name, kind, state in ACTORS]
    tasks = [{"task_id": name, "name": func, "type": "NORMAL_TASK", "state": state} for name, func, state in TASKS]
    return RayDashboard(tables={"actors": actors, "tasks": tasks})


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(1),
        Query(filters=(Filter("state", "alive"),)),
        Query(1, (Filter("class_name", "Counter"), Filter("state", "DEAD", equal=False))),
    ],
)
async def test_both_list_and_sum_up_alike(tmp_path: Path, query: Query) -> None:
    pretend = fake()
    async with dashboard().serving(tmp_path / "c") as settings:
        real = RayState(settings)
        assert await pretend.actors(query) == await real.actors(query)
        assert await pretend.tasks(Query(query.limit)) == await real.tasks(Query(query.limit))
        summed, ours = await real.task_summary(), await pretend.task_summary()
        assert (summed.rows, summed.total, summed.cut) == (ours.rows, ours.total, ours.cut)
        await real.close()


async def test_an_unknown_filter_is_refused_by_both(tmp_path: Path) -> None:
    wrong = Query(filters=(Filter("colour", "red"),))
    async with dashboard().serving(tmp_path / "c") as settings:
        both: tuple[State, ...] = (fake(), RayState(settings))
        for state in both:
            with pytest.raises(StateUnavailable) as error:
                await state.actors(wrong)
            assert error.value.refused
            await state.close()


async def test_objects_memory_and_logs() -> None:
    objects = [ObjectState("o1", 5, "LOCAL_REFERENCE", "NIL", "a.py:1"), ObjectState("o2", 2**20, call_site="a.py:1")]
    state = FakeState(
        object_rows=objects, memory_rows=[NodeMemory("n1")], logs={"n1": {"a.out": ["1", "2"]}}, printed={"a1": ["x"]}
    )
    found = await state.memory(largest=1)
    assert (found.nodes, found.largest.rows, found.largest.cut) == ((NodeMemory("n1"),), (objects[1],), True)
    (site,) = (await state.object_summary()).rows
    assert (site.call_site, site.total_objects, round(site.total_size_mb, 3)) == ("a.py:1", 2, 1.0)
    assert (await state.log(LogSource("n1", "a.out"), 1)).lines == ("2",)
    assert [line async for line in state.follow_log(LogSource(actor_id="a1"))] == ["x"]
    assert [file.name for file in (await state.log_files("n1", "*.out")).rows] == ["a.out"]
    for missing in (state.log(LogSource("n1", "b")), state.log_files("n2")):
        with pytest.raises(StateUnavailable):
            await missing


async def test_it_can_be_down() -> None:
    state = FakeState(node_rows=[NodeState("n1")], down="Ray is away")
    for ask in (state.nodes, state.jobs, state.workers, state.placement_groups, state.memory, state.actor_summary):
        with pytest.raises(StateUnavailable, match="Ray is away"):
            await ask()
    state.down = ""
    assert (await state.nodes()).rows == (NodeState("n1"),)
    assert state.calls == ["nodes", "jobs", "workers", "placement_groups", "memory", "actor_summary", "nodes"]
    await state.close()
    assert state.closed
