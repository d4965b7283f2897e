"""Whether a cluster is fit for work, and how many CPUs it has or can start."""

import asyncio
from pathlib import Path

import pytest

from rayfleet.engines.ray.settings import RaySettings, new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher.health import Room, health, room_in
from rayfleet.launcher.home import Home
from rayfleet.model import (
    Backoff,
    Claim,
    Demand,
    Host,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Policy,
    Pool,
    Resources,
    Snapshot,
    TaskDemand,
    TickReport,
    Trouble,
)
from rayfleet.planner import plan
from rayfleet.reports.history import History

NOW = 1000.0
CPU4 = Resources.of({"CPU": 4})


def claim(name: str, used: float, phase: Phase = Phase.READY) -> Claim:
    node = NodeFact.ALIVE if phase is Phase.READY else NodeFact.ABSENT
    host = Host(name, f"m-{name}", "ab", node=node, total=CPU4, used=Resources.of({"CPU": used}))
    return Claim(name, OfferKey("cpu4"), phase, (host,), NOW - 10, NOW - 20)


def report(
    *claims: Claim, most: int | None = 4, speed: float | None = None, orders: tuple[Order, ...] = (), waiting: int = 0
) -> TickReport:
    policy = Policy((Pool("cpu4", CPU4, max_workers=most),), upscaling_speed=speed)
    demand = Demand((TaskDemand(Resources.of({"CPU": 1}), waiting),) if waiting else ())
    snapshot = Snapshot(NOW, policy, claims, demand, orders=orders)
    return TickReport(1, "one", snapshot, plan(snapshot))


def test_free_and_startable_are_told_apart() -> None:
    room = room_in(report(claim("a", used=1.5), claim("b", used=4)), cpus=1)
    assert (room.free, room.startable, room.more) == (2.5, 8, False)
    assert room.text == "2.5 CPUs are free, 8 can be started besides"
    assert room.why


def test_a_machine_on_its_way_is_startable() -> None:
    room = room_in(report(claim("a", used=0, phase=Phase.BOOTING), most=1), cpus=1)
    assert (room.free, room.startable) == (0, 4)


def test_how_fast_machines_may_start_does_not_matter() -> None:
    order = Order("o1", OrderKind.SET, "upscaling_speed", "1", at=NOW)
    assert room_in(report(most=100, speed=1.0, orders=(order,)), cpus=1).startable == 400


def test_without_a_limit_there_is_at_least_so_much() -> None:
    room = room_in(report(most=None), cpus=5000)
    assert (room.startable, room.more, room.why) == (5000, True, "")


def test_what_waits_comes_first() -> None:
    assert room_in(report(most=2, waiting=5), cpus=1).startable == 3


def test_what_is_out_of_stock_cannot_be_started() -> None:
    """Though limits would allow it."""
    found = report()
    backoff = Backoff(OfferKey("cpu4"), NOW + 100, Trouble.OUT_OF_STOCK, 3, "none left")
    snapshot = Snapshot(NOW, found.snapshot.policy, backoffs=(backoff,))
    room = room_in(TickReport(1, "one", snapshot, plan(snapshot)), cpus=1)
    assert (room.free, room.startable) == (0, 0)
    assert room.why


# ---- the whole -----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = homes.create("one")
    found.write(found.config, "cluster_name: one\n")
    found.write(found.controller, "{}")
    new_settings("one", found.path).save()
    return found


async def record(home: Home, found: TickReport) -> None:
    history = History(home.history)
    await history.write(found)
    await history.close()


async def answers(_: RaySettings) -> str:
    return ""


async def is_silent(_: RaySettings) -> str:
    return "the GCS does not answer"


def looked(home: Home, cpus: int = 1, now: float = NOW + 1) -> tuple[bool, dict[str, str]]:
    found = health(home, cpus, answers, lambda: now)
    return found.ok, {check.name: check.text for check in found.checks if not check.ok}


@pytest.mark.parametrize(("cpus", "ok"), [(0, True), (1, True), (10, True), (11, False)])
def test_enough_is_free_or_startable(home: Home, cpus: int, ok: bool) -> None:
    asyncio.run(record(home, report(claim("a", used=2), most=3)))
    found = looked(home, cpus)
    assert found[0] is ok
    shortage = "2 CPUs are free, 8 can be started besides, 11 are wanted (pool_max_workers: is at its maximum of 3)"
    assert ok or found[1]["room"] == f"{shortage}: rayfleet why --shape CPU=1 --count 11"


def test_a_silent_controller_starts_nothing(home: Home) -> None:
    asyncio.run(record(home, report()))
    ok, wrong = looked(home, now=NOW + 100)
    assert not ok
    assert wrong["controller"] == "the controller has been silent for 100 s"
    assert "nobody starts machines" in wrong["room"]


def test_a_tick_that_failed_is_no_good_sign(home: Home) -> None:
    failed = report()
    asyncio.run(record(home, TickReport(2, "one", failed.snapshot, failed.plan, error="Traceback\nValueError: x")))
    assert looked(home)[1]["controller"] == "the controller's last tick failed: ValueError: x"


def test_a_head_that_does_not_answer(home: Home) -> None:
    asyncio.run(record(home, report()))
    found = health(home, 1, is_silent, lambda: NOW)
    assert [(check.name, check.ok) for check in found.checks] == [("head", False), ("controller", True), ("room", True)]
    assert found.as_json()["cpus"] == {"wanted": 1, "free": 0, "startable": 16, "or_more": False}


def test_what_was_never_started(home: Home) -> None:
    home.forget_ray()
    found = health(home, 1, answers, lambda: NOW)
    assert not any(check.ok for check in found.checks)
    assert found.as_json()["cpus"]["free"] is None


def test_room_is_told_in_words() -> None:
    assert Room(1.0, 1000, more=True).text == "1 CPUs are free, 1000 or more can be started besides"
