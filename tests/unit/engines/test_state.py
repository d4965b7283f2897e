"""What Ray's state API answers, in the words of the contract; over a pretend dashboard on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rayfleet.contracts import StateUnavailable
from rayfleet.contracts.state import MAX_ROWS, Filter, LogSource, Query
from rayfleet.engines.ray import state_rows
from rayfleet.engines.ray.dashboard_http import what_it_says
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.engines.ray.state import LONGEST_LINE, RayState, lines_of
from rayfleet.testing.ray_dashboard import RayDashboard, Trouble

N1, N2, N3 = "a1" * 28, "b2" * 28, "c3" * 28
ACTOR = {
    "actor_id": "f0" * 16,
    "class_name": "Counter",
    "state": "ALIVE",
    "job_id": "01000000",
    "name": "",
    "node_id": N1,
    "pid": 4711,
    "ray_namespace": "x",
    "required_resources": {"CPU": 2.0},
    "death_cause": None,
    "is_detached": True,
    "placement_group_id": None,
    "num_restarts": "3",
}
DIED = {"actor_died_error_context": {"error_message": "The actor died.\nMore.", "owner_id": "x"}}


@asynccontextmanager
async def looking(folder: Path, ray: RayDashboard, timeout_s: float = 30.0) -> AsyncIterator[RayState]:
    async with ray.serving(folder / "c") as settings:
        state = RayState(settings, timeout_s=timeout_s)
        try:
            yield state
        finally:
            await state.close()


async def test_an_actor_with_what_it_holds(tmp_path: Path) -> None:
    dead = {**ACTOR, "actor_id": "f1" * 16, "state": "DEAD", "death_cause": DIED}
    async with looking(tmp_path, RayDashboard(tables={"actors": [ACTOR, dead]})) as state:
        found = await state.actors()
    assert (found.total, found.matching, found.cut, found.warnings) == (2, 2, False, ())
    alive, gone = found.rows
    assert (alive.class_name, alive.pid, alive.node_id, alive.num_restarts) == ("Counter", 4711, N1, 3)
    assert dict(alive.required_resources) == {"CPU": 2.0}
    assert (alive.is_detached, alive.death_cause, gone.death_cause) == (True, "", "The actor died.")


@pytest.mark.parametrize(("kept", "cut"), [(2, False), (MAX_ROWS, True)])
def test_nodes_that_the_gcs_leaves_out_by_the_filter_are_not_missing(kept: int, cut: bool) -> None:
    answer = {"total": kept + 3, "num_after_truncation": kept, "num_filtered": kept, "result": [{"node_id": N1}] * kept}
    found = state_rows.listing(state_rows.of_nodes(answer), lambda row: str(row["node_id"]))
    assert (found.total, found.matching, found.cut) == (kept + 3, kept, cut)


async def test_filters_and_limits_go_to_ray(tmp_path: Path) -> None:
    rows = [{**ACTOR, "actor_id": f"{n:032x}", "state": "ALIVE" if n % 2 else "DEAD"} for n in range(10)]
    ray = RayDashboard(tables={"actors": rows})
    async with looking(tmp_path, ray) as state:
        found = await state.actors(Query(3, (Filter("state", "dead"), Filter("name", "x", equal=False))))
        assert (len(found.rows), found.total, found.matching, found.cut) == (3, 10, 5, True)
        await state.actors(Query(10**9))
    assert {row.state for row in found.rows} == {"DEAD"}
    assert [query["limit"] for _, query in ray.asked] == ["3", str(MAX_ROWS)]


async def test_what_ray_has_forgotten_is_told(tmp_path: Path) -> None:
    ray = RayDashboard(tables={"actors": [ACTOR]}, totals={"actors": 12}, warnings={"actors": ["some are missing"]})
    async with looking(tmp_path, ray) as state:
        found = await state.actors()
    assert (found.total, len(found.rows), found.cut, found.warnings) == (12, 1, True, ("some are missing",))


async def test_without_its_gcs_nodes_are_told_all_the_same(tmp_path: Path) -> None:
    """Only what the GCS adds is missing, and that is said."""
    row = {"node_id": N1, "node_ip": "10.0.0.1", "is_head_node": True, "state": "ALIVE", "state_message": None,
           "node_name": "n", "resources_total": {"CPU": 4.0}, "labels": {"tier": "a"}, "start_time_ms": 7,
           "end_time_ms": 0}  # fmt: skip
    async with looking(tmp_path, RayDashboard(tables={"nodes": [row]})) as state:
        found = await state.nodes()
    node = found.rows[0]
    assert (node.node_ip, node.is_head_node, node.start_time_ms, node.end_time_ms) == ("10.0.0.1", True, 7, None)
    assert (dict(node.resources_total), dict(node.labels), node.resources_used) == ({"CPU": 4.0}, {"tier": "a"}, None)
    assert "GCS" in found.warnings[0]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (Trouble.SLOW, "does not answer: nothing within 0.05 s"),
        (Trouble.DAMAGED, "no JSON"),
        (Trouble.STRANGE, "in a form that is not known"),
        (Trouble.BROKEN, "does not answer"),
        (Trouble.FAILS, "Failed to query data from GCS"),
        (Trouble.BUSY, "in-progress requests"),
        (Trouble.ENDLESS, "the dashboard says: wrong! wrong!"),
    ],
)
async def test_what_can_go_wrong_ends_as_one_error(tmp_path: Path, trouble: Trouble, message: str) -> None:
    timeout_s = 0.05 if trouble is Trouble.SLOW else 30.0
    async with looking(tmp_path, RayDashboard(trouble=trouble), timeout_s) as state:
        for ask in (state.actors, state.task_summary, state.memory):
            with pytest.raises(StateUnavailable, match=message) as error:
                await ask()
            assert error.value.hint
            assert not error.value.refused
            assert len(str(error.value)) < 3000


async def test_the_token_is_shown_and_never_told(tmp_path: Path) -> None:
    ray = RayDashboard(token="sesame", tables={"actors": [ACTOR]})
    async with looking(tmp_path, ray) as state:
        assert (await state.actors()).total == 1
        ray.token = "another"
        with pytest.raises(StateUnavailable, match="Unauthorized") as error:
            await state.actors()
    assert "another token" in error.value.hint
    assert "sesame" not in f"{error.value}{error.value.hint}"


async def test_a_filter_that_is_none_is_refused(tmp_path: Path) -> None:
    async with looking(tmp_path, RayDashboard(tables={"actors": [ACTOR]})) as state:
        with pytest.raises(StateUnavailable, match="colour is not supported") as error:
            await state.actors(Query(filters=(Filter("colour", "red"),)))
    assert error.value.refused


async def test_a_cluster_that_is_gone(tmp_path: Path) -> None:
    async with looking(tmp_path, RayDashboard()) as state:
        pass
    with pytest.raises(StateUnavailable, match="does not answer"):
        await state.actors()


async def test_summaries_with_the_most_first(tmp_path: Path) -> None:
    tasks = [{"name": name, "type": "NORMAL_TASK", "state": state} for name, state in
             [("f", "RUNNING"), ("g", "RUNNING"), ("g", "FINISHED"), ("g", "FINISHED")]]  # fmt: skip
    async with looking(tmp_path, RayDashboard(tables={"tasks": tasks}, totals={"tasks": 9})) as state:
        found = await state.task_summary()
    assert [(row.name, row.type, dict(row.state_counts)) for row in found.rows] == [
        ("g", "NORMAL_TASK", {"FINISHED": 2, "RUNNING": 1}),
        ("f", "NORMAL_TASK", {"RUNNING": 1}),
    ]
    assert (found.totals["total_tasks"], found.total, found.cut) == (4, 9, True)


async def test_a_summary_of_objects(tmp_path: Path) -> None:
    site = {"total_objects": 2, "total_size_mb": 1.5, "total_num_workers": 1, "total_num_nodes": 1,
            "task_state_counts": {"FINISHED": 2}, "ref_type_counts": {"LOCAL_REFERENCE": 2}}  # fmt: skip
    small = {**site, "total_size_mb": 0.1}
    whole = {"summary": {"b.py:2": small, "a.py:1": site}, "total_objects": 4, "callsite_enabled": True}
    async with looking(tmp_path, RayDashboard(summaries={"objects": whole})) as state:
        found = await state.object_summary()
    assert [(row.call_site, row.total_size_mb) for row in found.rows] == [("a.py:1", 1.5), ("b.py:2", 0.1)]
    assert dict(found.totals) == {"total_objects": 4.0}


def page(node: str, state: str, **store: Any) -> dict[str, Any]:
    raylet = {"nodeId": node, "state": state, "nodeManagerAddress": "10.0.0.1", "storeStats": store}
    return {"raylet": raylet, "mem": [16000, 4000, 75.0, 12000]}


async def test_memory_of_living_nodes_and_the_largest_references(tmp_path: Path) -> None:
    objects = [{"object_id": f"{n}", "object_size": size} for n, size in enumerate([5, 50, -1, 500])]
    full = page(N1, "ALIVE", objectStoreBytesUsed="700", objectStoreBytesAvail="1000", spilledBytesTotal="90")
    young = page(N3, "ALIVE")  # of which Ray knows what it has, and not yet what it uses
    young["raylet"]["resourcesTotal"] = {"objectStoreMemory": 50.0}
    del young["mem"]
    # Ray counts an object to which nobody holds a reference as well.
    ray = RayDashboard(tables={"objects": objects}, totals={"objects": 5}, node_pages=[full, page(N2, "DEAD"), young])
    async with looking(tmp_path, ray) as state:
        found = await state.memory(largest=2)
    assert [(node.node_id, node.store_used_bytes, node.store_capacity_bytes, node.spilled_bytes, node.restored_bytes)
            for node in found.nodes] == [(N1, 700, 1000, 90, 0), (N3, None, 50, None, None)]  # fmt: skip
    assert (found.nodes[0].memory_used_bytes, found.nodes[0].memory_total_bytes) == (12000, 16000)
    assert (found.nodes[1].memory_used_bytes, found.nodes[1].memory_total_bytes) == (None, None)
    assert [row.object_size for row in found.largest.rows] == [500, 50]
    assert (found.largest.total, found.largest.cut) == (4, True)


LOGS = {N1: {"raylet.out": "one\ntwo\nthree\n", "gcs_server.out": ""}}


async def test_files_of_a_node_and_the_end_of_one(tmp_path: Path) -> None:
    async with looking(tmp_path, RayDashboard(logs=LOGS)) as state:
        files = await state.log_files(N1)
        assert [(file.name, file.component) for file in files.rows] == [
            ("gcs_server.out", "gcs_server"),
            ("raylet.out", "raylet"),
        ]
        assert (await state.log_files(N1, "gcs*")).total == 1
        source = LogSource(N1, "raylet.out")
        end, all_of_it = await state.log(source, 2), await state.log(source, 3)
        assert (end.lines, end.cut) == (("two", "three"), True)
        assert (all_of_it.lines, all_of_it.cut) == (("one", "two", "three"), False)
        nothing = await state.log(LogSource(N1, "gcs_server.out"))
        assert (nothing.lines, nothing.cut) == ((), False)


async def test_what_a_job_has_printed(tmp_path: Path) -> None:
    """Ray finds the node by itself, and wants one named all the same."""
    head = {"node_id": N2, "is_head_node": True, "state": "ALIVE"}
    other = {"node_id": N1, "is_head_node": False, "state": "ALIVE"}
    ray = RayDashboard(tables={"nodes": [other, head]}, logs={"submission_id": {"raysubmit_1": "done\n"}})
    async with looking(tmp_path, ray) as state:
        assert (await state.log(LogSource(submission_id="raysubmit_1"))).lines == ("done",)
    assert ray.asked[-1][1]["node_id"] == N2


async def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    async with looking(tmp_path, RayDashboard(logs=LOGS)) as state:
        with pytest.raises(StateUnavailable, match="not found") as error:
            await state.log(LogSource(N1, "nothing.log"))
        assert error.value.refused
        with pytest.raises(StateUnavailable, match="doesn't exist") as error:
            await state.log_files(N2)
        assert error.value.refused


@pytest.mark.parametrize(("lines", "first"), [(1, ["three", "four", "five"]), (0, ["four", "five"])])
async def test_following_a_log(tmp_path: Path, lines: int, first: list[str]) -> None:
    """What comes in pieces comes out in lines, whatever a piece ends with."""
    ray = RayDashboard(logs={N1: {"raylet.out": "one\ntwo\nthree\n"}})
    async with looking(tmp_path, ray) as state:
        followed = state.follow_log(LogSource(N1, "raylet.out"), lines)
        got = asyncio.create_task(_take(followed, len(first)))
        await ray.followed.wait()
        for piece in ("four", "\nfiv", "e\nand"):
            ray.write(N1, "raylet.out", piece)
            await asyncio.sleep(0)
        assert await got == first


def test_a_log_that_is_left_in_the_middle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads it may go away at any line; the loop's end finds nothing to complain about."""

    async def leave() -> None:
        state = RayState(RaySettings.load(tmp_path))
        assert await anext(state.follow_log(LogSource(N1, "raylet.out"))) == "one"

    with RayDashboard(logs=LOGS).in_background(tmp_path):
        asyncio.run(leave())
    assert caplog.records == []


def test_of_an_error_between_rays_processes_only_the_words_are_told() -> None:
    text = '<AioRpcError of RPC that terminated with:\n\tstatus = StatusCode.X\n\tdetails = "no token"\n\tmore = "y"\n>'
    assert what_it_says(text, 500) == "no token"
    assert what_it_says("Traceback\nValueError: x\n", 500) == "ValueError: x"
    assert what_it_says('{"result": false, "msg": "no such thing"}', 400) == "no such thing"
    assert what_it_says("", 502) == "HTTP status 502"


async def test_lines_are_whole_whatever_comes_at_once() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"o", b"ne\r\ntw", "ö\n".encode()[:1], "ö\n".encode()[1:], b"\nend"):
            yield piece

    assert [line async for line in lines_of(pieces())] == ["one", "twö", "", "end"]


async def test_a_line_without_an_end_is_shown_all_the_same_in_parts() -> None:
    """A bar of progress is written over itself for hours, and never ends its line."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"=" * 2**12
        yield b"done\n"

    found = [line async for line in lines_of(pieces())]
    assert "".join(found) == "=" * 100 * 2**12 + "done"
    assert max(map(len, found)) <= LONGEST_LINE + 2**12


async def _take(lines: AsyncIterator[str], count: int) -> list[str]:
    found: list[str] = []
    async for line in lines:
        found.append(line)
        if len(found) == count:
            break
    return found


def test_resources_inside_a_placement_group_have_their_plain_names() -> None:
    group = "c0" * 18
    row = {"held": {f"CPU_group_{group}": 2.0, f"CPU_group_0_{group}": 2.0, f"bundle_group_{group}": 0.001, "GPU": 1.0}}
    assert dict(state_rows.held(row, "held")) == {"CPU": 2.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (None, ""),
        ({}, ""),
        (DIED, "The actor died."),
        ({"oom_context": {"error_message": "out of memory", "fail_immediately": True}}, "out of memory"),
        ({"runtime_env_failed_context": {"x": 1}}, "runtime env failed"),
        ("text of another release", ""),
    ],
)
def test_how_an_actor_died(cause: Any, said: str) -> None:
    assert state_rows.death_cause(cause) == said


def test_what_another_release_leaves_out_is_left_empty() -> None:
    for made in (state_rows.actor, state_rows.task, state_rows.worker, state_rows.object_, state_rows.job):
        row: Any = made({})
        assert not any(value for value in vars_of(row) if value is not None)


def vars_of(row: Any) -> list[Any]:
    return [getattr(row, name) for name in type(row).__slots__]
