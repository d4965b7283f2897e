"""Figures and the one word, from what was played and what was recorded."""

from dataclasses import astuple, replace

import pytest

from rayfleet.launcher.demo import story, verdict
from rayfleet.launcher.demo.drivers import Line, Ran
from rayfleet.launcher.demo.verdict import Played, Verdict
from rayfleet.model import (
    Claim,
    Host,
    Launch,
    OfferKey,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Resources,
    Snapshot,
    TickReport,
    Timings,
    reason,
)

_, ACTORS, _ = story.chapters(3.0)
POOLS = (Pool("cpu1", Resources.of({"CPU": 1})), Pool("cpu4", Resources.of({"CPU": 4})))


def report(now: float, *claims: Claim, launches: tuple[Launch, ...] = ()) -> TickReport:
    """Return a report whose answer of Ray is 20 ms older than its calls."""
    plan = Plan(launches=launches, claims=claims)
    snapshot = Snapshot(now=now, policy=Policy(pools=POOLS))
    return TickReport(1, "demo", snapshot, plan, Timings(seen_at=now - 0.01, acted_at=now + 0.01))


def up(name: str, pool: str = "cpu1", phase: Phase = Phase.READY) -> Claim:
    return Claim(name, OfferKey(pool), phase, hosts=(Host(name),))


def launch(name: str, pool: str = "cpu1") -> Launch:
    return Launch(OfferKey(pool), (name,), f"b-{name}", 1, reason(ReasonCode.TASKS, tasks=1))


def ran(text: str, at: float) -> Ran:
    return Ran("script.py", 0, (Line(at, text),), at + 0.5)


LIVES = "{} lives on node {}, 2.00 s after its creation"
PLAYED = Played(
    ACTORS,
    (
        ran(LIVES.format("actor1", "aa11"), 104.0),
        ran(LIVES.format("actor2", "bb22"), 108.0),
        ran("actor1 was ended", 110.0),
        ran("actor2 was ended", 115.0),
    ),
    began=100.0,
    ended=119.0,
)
m2, m3 = up("m2"), up("m3")
REPORTS = (
    report(101, replace(m2, phase=Phase.REQUESTED), launches=(launch("m2"),)),
    report(103, m2),
    report(105, m2, replace(m3, phase=Phase.REQUESTED), launches=(launch("m3"),)),
    report(107, m2, m3),
    report(113.5, m3),
    report(118.2),
)


def test_the_figures_of_a_chapter() -> None:
    own = verdict.of_chapter(PLAYED, REPORTS, idle_timeout_s=3.0)
    assert (own.nodes_peak, own.cpus_peak, own.tasks_done, own.first_task_s) == (2, 2, 0, None)
    assert own.demand_to_launch_s is not None
    assert own.launch_to_node_s is not None
    assert astuple(own.demand_to_launch_s) == pytest.approx((0.02, 0.02))
    assert astuple(own.launch_to_node_s) == pytest.approx((1.99, 1.99))
    assert own.scale_down_s == pytest.approx(0.5)  # of 113.5 - 110 and 118.2 - 115, the longer one, less 3
    assert verdict.complaints(PLAYED, own) == []


def test_reports_of_other_times_do_not_count() -> None:
    strange = report(99, m2, m3, up("m9", "cpu4"))
    assert verdict.of_chapter(PLAYED, (strange, *REPORTS), idle_timeout_s=3.0).nodes_peak == 2


def test_a_node_too_many_is_not_ok() -> None:
    own = verdict.of_chapter(PLAYED, (*REPORTS[:4], report(108, m2, m3, up("m4")), *REPORTS[4:]), 3.0)
    assert verdict.complaints(PLAYED, own) == ["actors: 3 nodes were up at once, 2 are right"]


def test_a_record_without_launches_or_departures_is_not_ok() -> None:
    own = verdict.of_chapter(PLAYED, (report(107, m2, m3),), 3.0)
    assert verdict.complaints(PLAYED, own) == [
        "actors: the record shows no launch",
        "actors: the record does not show that the workers went",
    ]


def test_json_has_what_scripts_ask_for() -> None:
    own = verdict.of_chapter(PLAYED, REPORTS, 3.0)
    told = Verdict("demo-1", own, ((ACTORS, own),), 5.12345, 1.0, 60.0, 0, ()).as_json()
    assert told["ok"] is True
    assert told["demand_to_launch_s"] == {"p50": 0.02, "max": 0.02}
    assert (told["nodes_peak"], told["left_behind"], told["scale_down_s"], told["up_s"]) == (2, 0, 0.5, 5.123)
    assert told["workloads"][0]["name"] == "actors"


def test_any_problem_is_not_ok() -> None:
    own = verdict.of_chapter(PLAYED, REPORTS, 3.0)
    assert not Verdict("demo-1", own, (), None, None, 1.0, 3, ("left behind: 12 raylet",)).ok
