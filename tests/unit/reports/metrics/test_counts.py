"""What has happened since the start: what each report adds, and what must not count twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.reports.examples import REPORT
from tests.unit.reports.metrics.seen import by_labels

from rayfleet.model import (
    Buffer,
    Claim,
    DemandKind,
    Drain,
    DrainNodes,
    Launch,
    Market,
    Offer,
    OfferKey,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    Policy,
    Reason,
    ReasonCode,
    RequestedDemand,
    Resources,
    TickReport,
    Timings,
    Trouble,
    Unmet,
    reason,
)
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.counts import Counts
from rayfleet.reports.metrics.families import Family
from rayfleet.testing.snapshots import claim, pool, snapshot

CPU = OfferKey("cpu4", "fake", "r", "a", Market.SPOT)
OF_CPU = ("cpu4", "fake", "r", "a", "spot")
TASKS = reason(ReasonCode.TASKS, tasks=2)
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
DIED = reason(ReasonCode.NODE_DIED)


def tick(before: tuple[Claim, ...] = (), after: tuple[Claim, ...] = (), now: float = 1000.0, **more: Any) -> TickReport:
    """Return a tick that found `before` and leaves `after`; fields of Plan go there, `outcomes` to the snapshot."""
    outcomes = more.pop("outcomes", ())
    scene = snapshot(pool("cpu4", 0.2, CPU=4), *before, now=now, outcomes=outcomes)
    return TickReport(1, "demo", scene, Plan(claims=after, **more))


def counted(*reports: TickReport) -> Counts:
    counts = Counts()
    for report in reports:
        counts.take(report)
    return counts


def counted_in(counts: Counts, family: Family) -> dict[tuple[str, ...], float]:
    """Return what is more than the 0 at which it began."""
    return {labels: value for (one, labels), value in counts.counters.items() if one is family and value}


def launch(count: int = 2, *, again: bool = False) -> Launch:
    return Launch(CPU, ("a",), "b", count, TASKS, again)


def test_what_alerts_ask_for_is_there_before_it_happens() -> None:
    """Prometheus takes a series that appears with 1 for one that has always been 1: the first failure would be lost."""
    counts = counted(tick())
    offers = (("cpu4", "", "", "", "on_demand"),)
    for offer in offers:
        assert {trouble: counts.counters[of.LAUNCH_FAILURES, (*offer, trouble)] for trouble in ("Denied", "Flaky")} == {
            "Denied": 0,
            "Flaky": 0,
        }
        assert counts.counters[of.STOCK_OUTS, offer] == 0
        for why in ("tasks", "gang", "min_workers", "scale_order"):
            assert counts.counters[of.LAUNCHED, (*offer, why)] == 0
    assert counts.counters[of.GONE, ("cpu4", "on_demand", "boot_timeout")] == 0
    assert counts.counters[of.FOUND, ("adopted",)] == 0
    for outcome in ("left", "deadline", "refused", "other"):
        assert counts.counters[of.DRAIN_ENDS, ("cpu4", outcome)] == 0
    assert counts.counters[of.DRAINS, ("cpu4", "idle")] == 0
    assert counts.counters[of.EVENTS, ("launch",)] == 0
    for whom, call, result in (("", "launch", "ok"), ("", "launch", "OutOfStock"), ("", "release", "ok")):
        assert counts.counters[of.CALLS, (whom, call, result)] == 0
    for result in ("ok", "Refused", "Flaky"):
        assert counts.counters[of.CALLS, ("ray", "drain", result)] == 0


def test_a_pool_that_is_added_later_has_its_series_too() -> None:
    later = TickReport(2, "demo", snapshot(pool("cpu4", CPU=4), pool("gpu1", GPU=1)), Plan())
    counts = counted(tick(outcomes=(Outcome(OutcomeKind.LAUNCH, ("a",), 994.0),)), later, later)
    assert counts.counters[of.GONE, ("gpu1", "on_demand", "node_died")] == 0


def test_only_what_a_policy_lets_happen_is_told_before_it_does() -> None:
    """Each series costs whoever stores it: none is there for limits that are not set, nor for spot where none is."""
    spot = pool("spot1", CPU=4, offers=(Offer(1.0, Market.SPOT), Offer(1.0, Market.SPOT, "a")), max_age_s=60.0)
    plain, limited = Counts(), Counts()
    plain.begin(Policy((pool("cpu4", CPU=4),)))
    limited.begin(Policy((spot,), max_usd_per_hour=1.0, buffers=(Buffer("b", Resources.of({"CPU": 1}), 1),)))

    def codes(counts: Counts, family: Family) -> set[str]:
        return {labels[-1] for one, labels in counts.counters if one is family}

    unset = {"interrupted", "expired", "over_budget"}
    assert not codes(plain, of.DRAINS) & unset
    assert codes(limited, of.DRAINS) == codes(plain, of.DRAINS) | unset
    assert codes(limited, of.GONE) >= unset
    assert codes(limited, of.LAUNCHED) - codes(plain, of.LAUNCHED) == {"buffer"}
    assert len(plain.counters) < 120


def test_launches_count_machines_by_offer_and_reason_and_are_timed_from_ray_s_answer() -> None:
    report = replace(tick(launches=(launch(),)), timings=Timings(seen_at=1000.0, acted_at=1000.2))
    counts = counted(report)
    assert counts.counters[of.LAUNCHED, (*OF_CPU, "tasks")] == 2
    latency = counts.histograms[of.DEMAND_TO_LAUNCH, ()]
    assert latency.total == pytest.approx(0.2)
    assert latency.upto()[-1] == 1


def test_a_launch_that_is_asked_for_again_or_could_not_be_saved_does_not_count() -> None:
    counts = counted(tick(launches=(launch(again=True),)), replace(tick(launches=(launch(),)), saved=False))
    assert not counted_in(counts, of.LAUNCHED)


def test_a_call_that_went_well_is_timed_by_its_offer() -> None:
    asked = claim("a", CPU, Phase.REQUESTED, hosts=2, created=990.0)
    done = Outcome(OutcomeKind.LAUNCH, ("a",), 994.0)
    counts = counted(tick((asked,), (asked,), outcomes=(done,)))
    assert counts.counters[of.CALLS, ("fake", "launch", "ok")] == 1
    assert counts.counters[of.RAY_STARTED, ()] == 2
    observed = counts.histograms[of.LAUNCH, OF_CPU]
    assert (observed.total, observed.upto()[:3]) == (4.0, [0, 0, 1])  # within 5 s, not within 2.5


def test_a_stock_out_counts_as_call_failure_and_stock_out_and_its_nodes_as_recently_failed() -> None:
    asked = claim("a", CPU, Phase.REQUESTED, hosts=2)
    failed = Outcome(OutcomeKind.LAUNCH, ("a",), 999.0, Trouble.OUT_OF_STOCK)
    counts = counted(tick((asked,), (), outcomes=(failed,)))
    assert counts.counters[of.CALLS, ("fake", "launch", "OutOfStock")] == 1
    assert counts.counters[of.LAUNCH_FAILURES, (*OF_CPU, "OutOfStock")] == 1
    assert counts.counters[of.STOCK_OUTS, OF_CPU] == 1
    assert counts.counters[of.RAY_CREATE_FAILED, ()] == 2
    assert counts.counters[of.RAY_STOPPED, ()] == 0  # it was never there
    assert by_labels(counts.gauges(1000.0, ("cpu4",)), of.RAY_FAILED) == {("cpu4",): 2}
    assert by_labels(counts.gauges(1700.0, ("cpu4",)), of.RAY_FAILED) == {("cpu4",): 0}


def test_a_flaky_call_is_a_failed_call_but_no_failed_node() -> None:
    asked = claim("a", CPU, Phase.REQUESTED)
    counts = counted(tick((asked,), (asked,), outcomes=(Outcome(OutcomeKind.LAUNCH, ("a",), 999.0, Trouble.FLAKY),)))
    assert counts.counters[of.LAUNCH_FAILURES, (*OF_CPU, "Flaky")] == 1
    assert counts.counters[of.RAY_CREATE_FAILED, ()] == 0


def test_what_could_not_be_saved_counts_once() -> None:
    asked = claim("a", CPU, Phase.REQUESTED)
    report = tick((asked,), (), outcomes=(Outcome(OutcomeKind.LAUNCH, ("a",), 999.0, Trouble.DENIED),))
    counts = counted(replace(report, saved=False), replace(report, error="Traceback\nboom"), report)
    assert counts.counters[of.LAUNCH_FAILURES, (*OF_CPU, "Denied")] == 1
    assert counts.counters[of.RAY_LOOP_EXCEPTIONS, ()] == 1
    assert counts.counters[of.TICKS, ()] == 3


def test_a_node_that_joins_is_timed_from_when_it_was_asked_for() -> None:
    booting = claim("a", CPU, Phase.BOOTING, created=960.0)
    counts = counted(tick((booting,), (replace(booting, phase=Phase.READY),)))
    observed = counts.histograms[of.BOOT, OF_CPU]
    assert (observed.total, observed.upto()[-1]) == (40.0, 1)


@pytest.mark.parametrize(
    ("ending", "code", "failed"), [(DIED, "node_died", 1), (IDLE, "idle", 0), (None, "machine_lost", 1)]
)
def test_nodes_that_are_gone_count_by_their_reason(ending: Reason | None, code: str, failed: int) -> None:
    leaving = claim("a", CPU, Phase.RELEASING if ending else Phase.READY, ending=ending)
    counts = counted(tick((leaving,), ()))
    assert counts.counters[of.GONE, ("cpu4", "spot", code)] == 1
    assert counts.counters[of.RAY_STOPPED, ()] == 1
    assert by_labels(counts.gauges(1000.0, ()), of.RAY_FAILED).get(("cpu4",), 0) == failed


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ({"phase": Phase.RELEASING, "ending": reason(ReasonCode.DRAINED)}, "left"),
        ({"phase": Phase.RELEASING, "ending": reason(ReasonCode.DRAIN_DEADLINE)}, "deadline"),
        ({"phase": Phase.RELEASING, "ending": DIED}, "other"),
        ({"phase": Phase.STANDBY}, "left"),
        ({"phase": Phase.READY}, "refused"),
        (None, "left"),
    ],
)
def test_each_way_in_which_a_drain_ends(after: dict[str, Any] | None, outcome: str) -> None:
    draining = claim("a", CPU, Phase.DRAINING, drain=Drain(IDLE, 990.0, 1040.0))
    left = (replace(draining, drain=None, **after),) if after else ()
    counts = counted(tick((draining,), left))
    assert counted_in(counts, of.DRAIN_ENDS) == {("cpu4", outcome): 1}


def test_a_drain_counts_when_it_begins_not_when_it_is_asked_again() -> None:
    ready = claim("a", CPU, hosts=2)
    draining = replace(ready, phase=Phase.DRAINING, drain=Drain(IDLE, 1000.0, 1040.0))
    asked = DrainNodes("a", ("a.0", "a.1"), ("n0", "n1"), 1040.0, IDLE, voluntary=True)
    counts = counted(tick((ready,), (draining,), drains=(asked,)), tick((draining,), (draining,), drains=(asked,)))
    assert counts.counters[of.DRAINS, ("cpu4", "idle")] == 2  # hosts
    assert not counted_in(counts, of.DRAIN_ENDS)


def test_a_refused_drain_is_an_answer_and_one_that_is_lost_an_error() -> None:
    ready = claim("a", CPU)
    refused, lost = (Outcome(OutcomeKind.DRAIN, ("a",), 999.0, why) for why in (Trouble.REFUSED, Trouble.FLAKY))
    counts = counted(tick((ready,), (ready,), outcomes=(refused, lost)))
    assert counts.counters[of.CALLS, ("ray", "drain", "Refused")] == 1
    assert counts.counters[of.CALLS, ("ray", "drain", "Flaky")] == 1
    assert counts.counters[of.RAY_DRAIN_EXCEPTIONS, ()] == 1


def test_unmet_demand_that_does_not_know_its_age_has_that_since_it_is_unmet() -> None:
    asked = RequestedDemand(Resources.of({"CPU": 1}))
    unmet = Unmet(DemandKind.REQUESTED, 0, asked, 1, reason(ReasonCode.NO_POOL_FITS, shape="{CPU: 1}"))
    counts = counted(tick(now=100.0, unmet=(unmet,)), tick(now=160.0, unmet=(unmet,)))
    assert by_labels(counts.gauges(160.0, ()), of.UNMET_AGE)["requested",] == 60.0
    counts.take(tick(now=170.0))
    counts.take(tick(now=180.0, unmet=(unmet,)))
    assert by_labels(counts.gauges(180.0, ()), of.UNMET_AGE)["requested",] == 0.0


def test_while_ray_does_not_answer_unmet_demand_keeps_its_age() -> None:
    counts = counted(REPORT)
    blind = replace(REPORT, snapshot=replace(REPORT.snapshot, engine_up=False), plan=Plan())
    counts.take(blind)
    assert by_labels(counts.gauges(0.0, ()), of.UNMET_AGE)["tasks",] == 90.0


def test_troubles_that_last_are_told_once_and_findings_each_time() -> None:
    counts = counted(REPORT, REPORT)
    assert counts.counters[of.EVENTS, ("trouble",)] == 1
    assert counts.counters[of.FOUND, ("adopted",)] == 2


def test_a_copy_stays_as_it_is() -> None:
    counts = counted(REPORT)
    copy = counts.copy()
    counts.take(REPORT)
    assert copy.counters[of.TICKS, ()] == 1
    assert copy.histograms[of.RAY_UPDATE, ()].upto()[-1] == 1
    assert counts.counters[of.TICKS, ()] == 2
