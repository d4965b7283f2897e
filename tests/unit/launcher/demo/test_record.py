"""What the demo reads from the record, on records written by hand."""

from dataclasses import replace

from rayfleet.launcher.demo import record
from rayfleet.launcher.demo.record import Spread
from rayfleet.model import (
    Claim,
    Demand,
    DemandKind,
    DrainNodes,
    Host,
    How,
    Launch,
    OfferKey,
    Phase,
    Plan,
    ReasonCode,
    Release,
    Resources,
    Snapshot,
    TaskDemand,
    TickReport,
    Timings,
    Unmet,
    reason,
)

WAITING = TaskDemand(Resources.of({"CPU": 1}), count=5)
TASKS = reason(ReasonCode.TASKS, tasks=5)
IDLE = reason(ReasonCode.IDLE, idle_s=3.0, idle_timeout_s=3.0)
HEAD = Claim("m1", OfferKey("head"), hosts=(Host("m1"),), head=True)


def worker(name: str, phase: Phase, pool: str = "cpu4") -> Claim:
    return Claim(name, OfferKey(pool), phase, hosts=(Host(name),))


def launch(*names: str) -> Launch:
    return Launch(OfferKey("cpu4"), names, "b1", len(names), TASKS)


def report(
    now: float, *claims: Claim, plan: Plan | None = None, demand: Demand | None = None, acted_at: float = 0.0
) -> TickReport:
    """Return a report of a cluster with a head and `claims`; its answer of Ray is 10 ms old."""
    decided = replace(plan or Plan(), claims=(HEAD, *claims))
    snapshot = Snapshot(now=now, demand=demand or Demand())
    return TickReport(1, "demo", snapshot, decided, Timings(seen_at=now - 0.01, acted_at=acted_at))


def test_only_workers_that_joined_count_as_up() -> None:
    seen = report(0, worker("m2", Phase.READY), worker("m3", Phase.BOOTING), worker("m4", Phase.DRAINING))
    assert record.up(seen) == 1
    assert len(record.workers(seen)) == 3


def test_a_node_joined_by_hand_is_no_worker_of_ours() -> None:
    assert record.workers(report(0, replace(worker("node-1", Phase.READY), foreign=True))) == ()


def test_the_peak_is_the_largest_number_at_one_time() -> None:
    two = (worker("m2", Phase.READY), worker("m3", Phase.READY))
    assert record.peak([report(0), report(1, *two), report(2, two[1], worker("m4", Phase.READY)), report(3)]) == 2
    assert record.peak([]) == 0


def test_demand_to_launch_is_from_the_answer_to_the_call() -> None:
    plan = Plan(launches=(launch("m2"),))
    assert record.demand_to_launch([report(10, worker("m2", Phase.REQUESTED), plan=plan, acted_at=10.02)]) == [
        10.02 - 9.99
    ]


def test_a_plan_that_hesitates_is_counted_from_its_first_sight_of_the_demand() -> None:
    unmet = Unmet(DemandKind.TASKS, 0, WAITING, 5, reason(ReasonCode.WAITING_FOR_HEAD))
    plan = Plan(launches=(launch("m2"),))
    reports = [
        report(10, plan=Plan(unmet=(unmet,))),
        report(12, plan=Plan(unmet=(unmet,))),
        report(14, worker("m2", Phase.REQUESTED), plan=plan, acted_at=14.02),
        report(16, worker("m3", Phase.REQUESTED), plan=Plan(launches=(launch("m3"),)), acted_at=16.02),
    ]
    assert record.demand_to_launch(reports) == [14.02 - 9.99, 16.02 - 15.99]


def test_waiting_for_a_limit_is_no_hesitation() -> None:
    unmet = Unmet(DemandKind.TASKS, 0, WAITING, 5, reason(ReasonCode.MAX_WORKERS, max_workers=4))
    launching = report(14, worker("m2", Phase.REQUESTED), plan=Plan(launches=(launch("m2"),)), acted_at=14.02)
    assert record.demand_to_launch([report(10, plan=Plan(unmet=(unmet,))), launching]) == [14.02 - 13.99]


def test_a_launch_that_was_held_back_still_counts_from_its_first_sight() -> None:
    """The ledger could not be saved at first, so no call was made."""
    asked = worker("m2", Phase.REQUESTED)
    plan = Plan(launches=(launch("m2"),))
    reports = [report(10, asked, plan=plan, acted_at=0.0), report(11, asked, plan=plan, acted_at=11.02)]
    assert record.demand_to_launch(reports) == [11.02 - 9.99]


def test_the_launch_of_the_head_is_not_answered_demand() -> None:
    head = Launch(OfferKey("head"), ("m1",), "b0", 1, reason(ReasonCode.HEAD))
    assert record.demand_to_launch([report(1, plan=Plan(launches=(head,)), acted_at=2.0)]) == []


def test_launch_to_node_takes_the_first_report_in_which_the_node_is_there() -> None:
    reports = [
        report(
            1,
            worker("m2", Phase.REQUESTED),
            worker("m3", Phase.REQUESTED),
            plan=Plan(launches=(launch("m2", "m3"),)),
            acted_at=1.5,
        ),
        report(2, worker("m2", Phase.BOOTING), worker("m3", Phase.BOOTING)),
        report(4, worker("m2", Phase.READY), worker("m3", Phase.BOOTING)),
        report(5, worker("m2", Phase.READY)),
    ]
    assert record.launch_to_node(reports) == [2.5]


def test_below_after_waits_for_the_moment_and_for_machines_that_are_leaving() -> None:
    reports = [
        report(1),
        report(2, worker("m2", Phase.READY)),
        report(5, worker("m2", Phase.RELEASING)),
        report(6),
    ]
    assert record.below_after(reports, 1.5, 0) == 6
    assert record.below_after(reports, 1.5, 1) == 2
    assert record.below_after(reports[:3], 1.5, 0) is None


def test_events_tell_a_life_in_order() -> None:
    waits = Demand(tasks=(WAITING,))
    drain = DrainNodes("m2", ("m2",), ("n2",), 20.0, IDLE, voluntary=True)
    release = Release("m2", ("m2",), ("p2",), "process", How.DRAIN, IDLE)
    reports = [
        report(1),
        report(2, worker("m2", Phase.REQUESTED), plan=Plan(launches=(launch("m2"),)), demand=waits),
        report(3, worker("m2", Phase.BOOTING), demand=waits),
        report(4, worker("m2", Phase.READY)),
        report(9, worker("m2", Phase.DRAINING), plan=Plan(drains=(drain,))),
        report(10, worker("m2", Phase.RELEASING), plan=Plan(releases=(release,))),
        report(11),
    ]
    told = [
        event
        for before, after in zip([None, *reports[:-1]], reports, strict=True)
        for event in record.events(before, after)
    ]
    assert [(event.at, event.kind, event.text) for event in told] == [
        (2, "waits", "5 x {CPU: 1}"),
        (2, "launches", "1 x cpu4: 5 tasks wait for machines"),
        (4, "joined", "m2 (cpu4)"),
        (9, "drains", "m2 (cpu4): idle for 3 s (time-out 3 s)"),
        (10, "releases", "m2 (cpu4): idle for 3 s (time-out 3 s)"),
        (11, "gone", "m2 (cpu4)"),
    ]


def test_the_middle_and_the_largest() -> None:
    assert Spread.of([0.1, 0.3, 0.2]) == Spread(p50=0.2, max=0.3)
    assert Spread.of([]) is None
