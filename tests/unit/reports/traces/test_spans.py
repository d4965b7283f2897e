"""A launch as spans: of the loop's own reports on virtual time, so that what is told is what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from rayfleet.contracts import OutOfStock
from rayfleet.model import Phase, Plan, Policy, Pool, Resources, TickReport
from rayfleet.reports.traces.spans import MACHINES_FOLLOWED, WORK_PATIENCE_S, ScaleUps, Span
from rayfleet.testing.snapshots import pool, snapshot
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU4 = Resources.of({"CPU": 4})


def cpu4(min_workers: int = 0, max_workers: int | None = None) -> Pool:
    return pool("cpu4", 0.2, CPU=4, min_workers=min_workers, max_workers=max_workers)


def told(world: World, act: Callable[[World], Awaitable[None]]) -> list[Span]:
    """Return the spans of what a controller does while `act` acts."""

    async def story() -> None:
        async with world.controller():
            await act(world)

    run_virtual(story())
    scale_ups = ScaleUps()
    return [span for report in world.history.reports for span in scale_ups.take(report)]


def by_name(spans: list[Span]) -> dict[str, Span]:
    names = [span.name for span in spans]
    assert len({(span.trace, span.id) for span in spans}) == len(spans)
    return dict(zip(names, spans, strict=True))


def lasts(span: Span) -> float:
    return span.end - span.start


def test_from_the_demand_to_the_first_task() -> None:
    world = World(Policy(pools=(cpu4(),)), boot_s=20.0, join_s=5.0)

    async def act(world: World) -> None:
        world.engine.submit(CPU4, run_s=3)
        await world.until(lambda: world.engine.done == 1)

    spans = told(world, act)
    found = by_name(spans)
    (machine,) = (span for span in spans if span.name.startswith("machine "))
    root = found["scale up 1 cpu4"]
    assert spans[-1] == root
    assert root.parent is None
    assert {span.trace for span in spans} == {root.trace}
    assert {name: found[name].parent for name in ("plan", "request", machine.name)} == dict.fromkeys(
        ("plan", "request", machine.name), root.id
    )
    assert {found[name].parent for name in ("provision", "boot", "wait for work")} == {machine.id}
    assert lasts(found["provision"]) <= 1
    assert lasts(found["boot"]) == pytest.approx(25, abs=2)
    assert lasts(found["wait for work"]) <= 1
    assert lasts(root) == pytest.approx(25, abs=2)
    assert found["provision"].end == found["boot"].start
    assert found["boot"].end == found["wait for work"].start
    assert all(root.start <= span.start <= span.end <= root.end for span in spans)
    assert [span.error for span in spans] == [""] * len(spans)
    assert (root.attributes["rayfleet.cluster"], root.attributes["rayfleet.reason"]) == ("world", "tasks")
    assert machine.attributes["rayfleet.machine_id"]
    assert machine.attributes["rayfleet.node_id"]


def test_a_launch_of_several_has_a_span_for_each_and_one_for_all() -> None:
    world = World(Policy(pools=(cpu4(),)))

    async def act(world: World) -> None:
        world.engine.submit(CPU4, count=3, run_s=3)
        await world.until(lambda: world.engine.done == 3)

    spans = told(world, act)
    assert sum(span.name.startswith("machine ") for span in spans) == 3
    (root,) = (span for span in spans if span.parent is None)
    assert (root.name, root.attributes["rayfleet.failed"]) == ("scale up 3 cpu4", 0)


def test_a_launch_that_is_refused_says_why() -> None:
    world = World(Policy(pools=(cpu4(),)))
    world.provider.fail("launch", OutOfStock("none left in zone a"))

    async def act(world: World) -> None:
        world.engine.submit(CPU4, run_s=3)
        await world.until(lambda: bool(world.history.reports) and not world.claims and len(world.provider.calls) > 1)

    spans = told(world, act)
    (request,) = (span for span in spans if span.name == "request")
    assert request.error.startswith("OutOfStock")
    assert "none left in zone a" in request.error
    (root,) = (span for span in spans if span.parent is None)
    assert root.error
    assert root.attributes["rayfleet.failed"] == 1
    assert not [span for span in spans if span.name in {"provision", "boot"}]


def test_a_node_that_never_joins_is_an_error_of_its_machine() -> None:
    world = World(Policy(pools=(cpu4(max_workers=1),)))
    world.engine.never_join.add("cpu4")

    async def act(world: World) -> None:
        world.engine.submit(CPU4, run_s=3)
        await world.until(lambda: len(world.place.existing()) == 1)
        await world.until(lambda: not world.place.existing())

    spans = told(world, act)
    (machine,) = (span for span in spans if span.name.startswith("machine "))
    assert machine.error
    assert [span.name for span in spans if span.parent == machine.id] == ["provision"]


def test_machines_without_work_are_not_waited_for_for_ever() -> None:
    world = World(Policy(pools=(cpu4(min_workers=1),)))

    async def act(world: World) -> None:
        await world.until(lambda: bool(world.place.existing()))
        await asyncio.sleep(WORK_PATIENCE_S + 60)

    spans = told(world, act)
    names = {span.name.partition(" ")[0] for span in spans}
    assert names == {"plan", "request", "provision", "boot", "machine", "scale"}
    (root,) = (span for span in spans if span.parent is None)
    assert lasts(root) < WORK_PATIENCE_S, "it ends where the machine was ready"
    assert root.error == ""


def test_a_head_is_done_when_it_has_joined() -> None:
    world = World(Policy(head=pool("head", 0.1, CPU=0)))

    async def act(world: World) -> None:
        await world.until(lambda: any(claim.phase is Phase.READY for claim in world.claims))
        await asyncio.sleep(1)

    spans = told(world, act)
    assert [span.name for span in spans if span.parent is None] == ["scale up 1 head"]
    assert not [span for span in spans if span.name == "wait for work"]


def test_of_a_large_launch_some_machines_are_followed() -> None:
    world = World(Policy(pools=(cpu4(min_workers=MACHINES_FOLLOWED + 20),)))

    async def act(world: World) -> None:
        world.engine.submit(CPU4, count=MACHINES_FOLLOWED + 20, run_s=3)
        await world.until(lambda: world.engine.done)

    spans = told(world, act)
    roots = [span for span in spans if span.parent is None]
    assert sum(int(root.attributes["rayfleet.machines"]) for root in roots) == MACHINES_FOLLOWED + 20
    machines = [span for span in spans if span.name.startswith("machine ")]
    assert max(sum(span.parent == root.id for span in machines) for root in roots) == MACHINES_FOLLOWED


def test_what_was_not_saved_is_told_by_the_next_tick() -> None:
    report = TickReport(1, "demo", snapshot(cpu4()), Plan())
    scale_ups = ScaleUps()
    assert scale_ups.take(replace(report, saved=False)) == []
    assert scale_ups.take(replace(report, error="boom")) == []
