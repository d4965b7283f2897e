"""What is read out of the record: newest reports, counts, and the steps that `up` waits for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import up, view
from rayfleet.launcher.errors import LauncherError, NotRunning, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.planning import plan_timed
from rayfleet.loop.clock import SystemClock
from rayfleet.model import (
    Claim,
    Host,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Plan,
    Policy,
    Pool,
    Resources,
    Snapshot,
    TickReport,
)
from rayfleet.reports.history import History

POLICY = Policy((Pool("one", Resources.of({"CPU": 1}), min_workers=2),), Pool("head", Resources()))


def claim(name: str, phase: Phase = Phase.READY, *, head: bool = False) -> Claim:
    return Claim(name, OfferKey("head" if head else "one"), phase, (Host(name),), head=head)


def report(*claims: Claim, at: float = 100.0, orders: tuple[Order, ...] = (), tick: int = 1) -> TickReport:
    return TickReport(tick, "one", Snapshot(at, POLICY, claims), Plan(claims=claims, orders=orders))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    return home


async def record(home: Home, *reports: TickReport) -> None:
    history = History(home.history)
    for each in reports:
        await history.write(each)
    await history.close()


async def test_the_newest_report_of_after_a_moment(home: Home) -> None:
    assert view.newest(home) is None
    with pytest.raises(NotRunning, match="recorded nothing yet"):
        view.latest(home)
    await record(home, report(at=100.0), report(claim("a"), at=102.0, tick=2))
    assert view.latest(home).tick == 2
    assert view.newest(home, since=101.0) == view.latest(home)
    assert view.newest(home, since=103.0) is None


async def test_what_is_in_use_on_each_node(home: Home) -> None:
    four, one = Resources.of({"CPU": 4}), Resources.of({"CPU": 1})
    works = replace(claim("a"), hosts=(Host("a", "i-1", node_id="f00", node=NodeFact.ALIVE, total=four, used=one),))
    await record(home, report(works))
    for words, shown in (
        (["status", "one", "-v"], True),
        (["status", "one", "--verbose"], True),
        (["status", "one"], False),
    ):
        told = CliRunner().invoke(app, words).stdout
        assert ("Node: a (one)\n Id: f00\n Usage:\n  1/4 CPU\n" in told) == shown
        assert "1/4 CPU" in told


async def test_old_news_are_called_so(home: Home) -> None:
    await record(home, report())
    assert view.warning(home) == "cluster one is down; this is how it was last"
    assert view.status_text(home).endswith("Warning: cluster one is down; this is how it was last")
    home.write(home.controller, "{}")
    assert "the controller of one is gone" in view.status_json(home)["warning"]


async def test_of_the_folder_of_a_record_only_its_age_is_told(tmp_path: Path) -> None:
    """Nobody notes there who controls the cluster: beside a RayCluster's head for one."""
    record_of = Home(tmp_path / "record")
    record_of.path.mkdir()
    await record(record_of, report())
    assert "has been silent for" in view.warning(record_of)
    await record(record_of, report(at=SystemClock().now(), tick=2))
    assert view.warning(record_of) == ""


async def test_a_recorded_tick_is_found_by_its_number(home: Home) -> None:
    await record(home, report(at=100.0), report(claim("a"), at=102.0, tick=2))
    assert view.recorded_tick(home, "1")["tick"] == 1
    assert view.recorded_tick(home, "last")["tick"] == 2
    with pytest.raises(LauncherError, match="no record of tick 3") as caught:
        view.recorded_tick(home, "3")
    assert caught.value.hint == "the newest that are held: 1, 2"


async def test_waiting_ends_when_it_is_so_or_time_is_up(home: Home) -> None:
    await record(home, report(tick=5))
    assert view.await_status(home, lambda status: status["tick"] == 5, 0.0)["tick"] == 5
    with pytest.raises(TookTooLong):
        view.await_status(home, lambda status: status["tick"] == 6, 0.0)


def test_machines_are_counted_by_phase() -> None:
    now = report(claim("a"), claim("b", Phase.BOOTING), claim("c", Phase.RELEASING))
    assert (view.ready(now, "one"), view.existing(now, "one")) == (1, 3)


def test_orders_change_what_is_waited_for() -> None:
    pool = POLICY.pools[0]
    assert view.least(report(), pool) == 2
    assert view.least(report(orders=(Order("a", OrderKind.SET, "one.min_workers", "5"),)), pool) == 5
    assert view.least(report(orders=(Order("b", OrderKind.SCALE, "one", "0"),)), pool) == 0


def test_up_waits_for_the_head_then_for_the_minimums() -> None:
    head = claim("h", head=True)
    assert up.head_step(None) is not None
    asked, booting = up.head_step(report()), up.head_step(report(claim("h", Phase.BOOTING, head=True)))
    assert asked is not None
    assert booting is not None
    assert (asked.text, booting.text) == ("the head is asked for", "the head is booting")
    assert up.head_step(report(head)) is None
    step = up.minimum_step(report(head, claim("a")))
    assert step is not None
    assert (step.text, step.done, step.total) == ("workers of one", 1, 2)
    assert up.minimum_step(report(head, claim("a"), claim("b"))) is None


def test_planning_time_is_the_median_of_three_calls_after_a_first() -> None:
    clock: Iterator[float] = iter([0.0, 5.0, 10.0, 11.0, 20.0, 23.0])
    assert plan_timed(Snapshot(policy=POLICY), lambda: next(clock)).planning_s == 3.0
