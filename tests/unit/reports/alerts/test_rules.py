"""What is wrong, from one report: each rule on a situation that the real planner has planned."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.config.alerting import THRESHOLDS, Rule, Threshold
from rayfleet.model import (
    Backoff,
    Claim,
    Host,
    MachineFact,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    Snapshot,
    TickReport,
    Trouble,
)
from rayfleet.planner import plan
from rayfleet.reports.alerts.rules import Condition, Judged, Memory, Severity, judge
from rayfleet.testing.snapshots import NOW, claim, gang, offer, pool, requested, snapshot, tasks

ALL = {Rule(name): threshold for name, threshold in THRESHOLDS.items()}
CPU4 = pool("cpu4", 1.0, CPU=4)


def report(of: Snapshot, **fields: Any) -> TickReport:
    return TickReport(7, "demo", of, fields.pop("plan", None) or plan(of), **fields)


def judged(*reports: TickReport, thresholds: dict[Rule, Threshold] | None = None) -> Judged:
    """Return what is judged of the last of these reports, after the others."""
    found = Judged((), frozenset(), Memory())
    for each in reports:
        found = judge(each, found.memory, ALL if thresholds is None else thresholds)
    return found


def only(*reports: TickReport) -> Condition:
    (found,) = judged(*reports).holds
    return found


def nothing(*reports: TickReport) -> bool:
    return not judged(*reports).holds


# ---- demand ----------------------------------------------------------------------------------------------------------


def test_demand_that_no_machine_is_on_its_way_for() -> None:
    found = only(*(report(snapshot(CPU4, tasks(3, CPU=64), now=NOW + s)) for s in (0, 60, 120)))
    assert (found.rule, found.key, found.severity) == (Rule.UNMET_DEMAND, "unmet_demand", Severity.WARNING)
    assert found.since == NOW
    assert found.text == (
        "3 tasks of {CPU: 64} have waited for 2 min 0 s and no machine is on the way: no pool can ever hold {CPU: 64}"
    )
    assert "rayfleet why" in found.advice


def test_demand_is_known_by_what_it_is_not_by_how_much() -> None:
    story = [(0, tasks(3, CPU=64)), (60, tasks(9, CPU=64)), (90, tasks(2, CPU=32))]
    reports = [report(snapshot(CPU4, wanted, now=NOW + s)) for s, wanted in story]
    assert only(*reports[:2]).since == NOW
    assert only(*reports).since == NOW + 90


def test_the_oldest_demand_is_told_and_the_others_counted() -> None:
    first = report(snapshot(CPU4, tasks(3, CPU=64)))
    both = snapshot(CPU4, tasks(3, CPU=64), gang("PACK", {"CPU": 9}), requested(2, CPU=99), now=NOW + 5)
    found = only(first, report(both))
    assert found.text.startswith("3 tasks of {CPU: 64} have waited for 5 s")
    assert found.text.endswith(", and 2 more kinds of demand wait")
    groups = only(report(snapshot(CPU4, gang("STRICT_PACK", {"CPU": 3}, {"CPU": 3}, count=2))))
    assert groups.text.startswith("2 placement groups of 2 bundles have waited for 0 s")


def test_demand_that_is_served_is_nothing_to_tell() -> None:
    assert nothing(report(snapshot(CPU4, tasks(3, CPU=2))))


def test_after_a_long_absence_nobody_knows_since_when() -> None:
    found = only(*(report(snapshot(CPU4, tasks(3, CPU=64), now=NOW + s)) for s in (0, 901)))
    assert found.since == NOW + 901


def test_a_budget_that_holds_launches_back() -> None:
    of = snapshot(CPU4, claim("m1", "cpu4", used={"CPU": 4}, usd_per_hour=1.0), tasks(8, CPU=4), max_usd_per_hour=3.0)
    found = {each.rule: each for each in judged(report(of)).holds}
    assert found[Rule.BUDGET].text == ("the budget of 3.00 USD/h holds launches back: 6 wait (3.00 USD/h are in use)")
    assert "rayfleet set max_usd_per_hour N" in found[Rule.BUDGET].advice
    assert found.keys() == {Rule.BUDGET, Rule.UNMET_DEMAND}
    enough = replace(of, policy=replace(of.policy, max_usd_per_hour=30.0))
    assert nothing(report(enough))


def test_a_budget_of_the_day() -> None:
    of = snapshot(CPU4, tasks(8, CPU=4), max_usd_per_day=20.0, spent_today_usd=21.0, spent_at=NOW)
    found = {each.rule: each for each in judged(report(of)).holds}
    assert "the budget of 20.00 USD a day holds launches back: 8 wait" in found[Rule.BUDGET].text


# ---- launches --------------------------------------------------------------------------------------------------------


def failed(n: int, trouble: Trouble = Trouble.FLAKY, at: float = NOW, message: str = "no answer") -> Outcome:
    return Outcome(OutcomeKind.LAUNCH, (f"c{n}",), at, trouble, message)


def requested_claims(count: int) -> list[Claim]:
    return [claim(f"c{n}", "cpu4", Phase.REQUESTED, since=NOW) for n in range(count)]


def after(*outcomes: Outcome, now: float = NOW) -> TickReport:
    return report(snapshot(CPU4, *requested_claims(3), now=now, outcomes=outcomes), plan=Plan(claims=()))


def test_three_launches_of_a_pool_that_failed() -> None:
    assert nothing(after(failed(0), failed(1)))
    found = only(after(failed(0)), after(failed(1), now=NOW + 5), after(failed(2), now=NOW + 9))
    assert (found.key, found.severity) == ("launch_failures:cpu4", Severity.WARNING)
    assert found.text == "3 launches of pool cpu4 failed within 10 min, the last one with Flaky: no answer"


def test_a_denial_is_told_at_once_and_is_critical() -> None:
    found = only(after(failed(0, Trouble.DENIED, message="UnauthorizedOperation: you may not")))
    assert found.severity is Severity.CRITICAL
    assert found.text.startswith("1 launch of pool cpu4 failed within 10 min, the last one with Denied: Unauthorized")


def test_failures_are_forgotten_and_counted_once() -> None:
    again = after(failed(0), failed(1))
    assert nothing(again, again, again)
    assert nothing(after(failed(0), failed(1)), after(failed(2, at=NOW + 700), now=NOW + 700))


def test_want_of_stock_is_no_failure() -> None:
    assert nothing(after(*(failed(n, Trouble.OUT_OF_STOCK) for n in range(3))))


def test_machines_that_never_joined_count_as_failed() -> None:
    hosts: dict[str, Any] = {"machine_id": "i-1", "machine": MachineFact.PRESENT, "node": NodeFact.ABSENT}
    late = [claim(f"c{n}", "cpu4", Phase.BOOTING, since=NOW - 400, **hosts) for n in range(3)]
    of = snapshot(pool("cpu4", CPU=4, min_workers=3), *late, listed_at={})
    (found,) = (each for each in judged(report(of)).holds if each.rule is Rule.LAUNCH_FAILURES)
    assert "3 launches of pool cpu4 failed within 10 min, the last one with c2 did not join within 300 s" in found.text


def booting(n: int, at: float, asked_at: float, **more: Any) -> TickReport:
    """Return a report of one machine that was asked for then, and of what the planner makes of it now."""
    hosts: dict[str, Any] = {"machine_id": f"i-{n}", "machine": MachineFact.PRESENT, "node": NodeFact.ABSENT} | more
    one = claim(f"c{n}", "cpu4", Phase.BOOTING, since=asked_at, created=asked_at, **hosts)
    return report(snapshot(pool("cpu4", 1.0, CPU=4, min_workers=1), one, now=at))


def test_machines_that_never_boot_one_at_a_time_are_told_at_the_second() -> None:
    """Five minutes each and the back-off between them: never three within ten minutes."""
    first, second = booting(1, NOW + 301, NOW), booting(2, NOW + 902, NOW + 601)
    assert nothing(first)
    assert nothing(first, booting(2, NOW + 890, NOW + 601)), "the second may still join"
    found = only(first, second)
    assert (found.key, found.severity) == ("launch_failures:cpu4", Severity.WARNING)
    assert found.text == "2 machines of pool cpu4 in a row have not joined: c2 did not join within 300 s"
    assert only(first, second, booting(3, NOW + 1600, NOW + 1502)).key == found.key, "it lasts during the third boot"


def test_it_is_over_when_one_joins() -> None:
    joins = booting(3, NOW + 1540, NOW + 1502, node=NodeFact.ALIVE)
    before = booting(1, NOW + 301, NOW), booting(2, NOW + 902, NOW + 601)
    assert nothing(*before, joins)
    assert nothing(*before, joins, booting(4, NOW + 2100, NOW + 1790)), "one in a row"


def test_some_of_many_that_do_not_boot_are_not_in_a_row() -> None:
    joins = booting(3, NOW + 60, NOW, node=NodeFact.ALIVE)
    assert nothing(joins, booting(1, NOW + 301, NOW), booting(2, NOW + 301, NOW))


def test_how_many_in_a_row_goes_by_the_count_of_the_file() -> None:
    two = booting(1, NOW + 301, NOW), booting(2, NOW + 902, NOW + 601)
    three = (*two, booting(3, NOW + 1803, NOW + 1502))
    four = ALL | {Rule.LAUNCH_FAILURES: Threshold(count=4)}
    assert not judged(*two, thresholds=four).holds
    assert judged(*three, thresholds=four).holds


# ---- stock -----------------------------------------------------------------------------------------------------------

TWO_ZONES = pool("gpu1", GPU=1, offers=(offer(1.0, "a", spot=True), offer(3.0, "b")))


def backed_off(zone: str | None, until: float, trouble: Trouble = Trouble.OUT_OF_STOCK) -> Backoff:
    return Backoff(OfferKey("gpu1", zone=zone), until, trouble, since=NOW - 5)


@pytest.mark.parametrize(
    ("backoffs", "told"),
    [
        ((backed_off("a", NOW + 90), backed_off("b", NOW + 60)), "none of its 2 offers has any; asked again in 1 min"),
        ((backed_off(None, NOW + 60, Trouble.QUOTA_REACHED),), "none of its 2 offers has any"),
        ((backed_off("a", NOW + 60),), ""),
        ((backed_off("a", NOW + 60), backed_off("b", NOW - 1)), ""),
        ((backed_off("a", NOW + 60), backed_off("b", NOW + 60, Trouble.FLAKY)), ""),
    ],
)
def test_no_offer_of_a_pool_has_machines(backoffs: tuple[Backoff, ...], told: str) -> None:
    found = judged(report(snapshot(CPU4, TWO_ZONES, backoffs=backoffs), plan=Plan(backoffs=backoffs))).holds
    assert [each.key for each in found] == (["stock_out:gpu1"] if told else [])
    assert told in "".join(each.text for each in found)


# ---- the head, the loop, the edges -----------------------------------------------------------------------------------


def test_ray_does_not_answer() -> None:
    head = claim("head", "head", head=True)
    down = snapshot(CPU4, head, engine_up=False)
    found = judged(report(down, troubles=("engine ray: no answer",)))
    assert [each.rule for each in found.holds] == [Rule.HEAD_DOWN]
    assert found.holds[0].severity is Severity.CRITICAL
    assert {Rule.UNMET_DEMAND, Rule.BUDGET} <= found.unknown


def test_a_head_that_is_on_its_way_is_not_down() -> None:
    coming = snapshot(CPU4, claim("head", "head", Phase.BOOTING, head=True), engine_up=False)
    assert nothing(report(coming, plan=Plan(claims=coming.claims)))


def test_a_head_that_cannot_be_had_is_down() -> None:
    of_head = pool("head", CPU=1)
    refused = Backoff(OfferKey("head"), NOW + 300, Trouble.FLAKY)
    gone = snapshot(CPU4, head=of_head, engine_up=False)
    assert nothing(report(gone))  # another one is asked for at once
    away = snapshot(CPU4, head=of_head, engine_up=False, backoffs=(refused,))
    assert [each.rule for each in judged(report(away)).holds] == [Rule.HEAD_DOWN]


def test_what_waited_is_remembered_while_ray_is_away() -> None:
    story = [
        report(snapshot(CPU4, tasks(3, CPU=64))),
        report(snapshot(CPU4, now=NOW + 60, engine_up=False)),
        report(snapshot(CPU4, tasks(3, CPU=64), now=NOW + 120)),
    ]
    assert only(*story).since == NOW


def test_a_ledger_that_cannot_be_written() -> None:
    of = snapshot(CPU4, tasks(4, CPU=4))
    found = only(report(of, saved=False, troubles=("the ledger cannot be written: disk full; 1 launches are held",)))
    assert (found.rule, found.severity) == (Rule.LEDGER, Severity.CRITICAL)
    assert found.text.startswith("what is decided cannot be saved, 1 launches are held: the ledger cannot be written")


def test_other_troubles_are_not_the_ledger_s() -> None:
    troubles = ("provider aws: list: no answer", "disk full; 0 launches are held")
    found = judged(report(snapshot(CPU4, claim("m1", "cpu4")), saved=False, troubles=troubles)).holds
    assert {each.rule: each.text.rpartition(": ")[2] for each in found} == {
        Rule.LEDGER: "disk full; 0 launches are held",
        Rule.TROUBLE: "no answer",
    }


def test_a_ledger_that_cannot_be_read_leaves_everything_else_open() -> None:
    found = judged(report(snapshot(CPU4), plan=Plan(), saved=False, troubles=("no disk",)))
    assert [each.rule for each in found.holds] == [Rule.LEDGER]
    assert found.unknown == frozenset(ALL) - {Rule.LEDGER, Rule.TICK_FAILED}


def test_a_tick_that_failed() -> None:
    error = "Traceback (most recent call last):\n  File ...\nKeyError: 'zone'\n"
    found = judged(report(snapshot(CPU4), plan=Plan(), error=error, saved=False))
    assert [each.rule for each in found.holds] == [Rule.TICK_FAILED]
    assert found.holds[0].text == "tick 7 failed with KeyError: 'zone'; the next one is tried"
    assert Rule.STOCK_OUT in found.unknown


def test_a_tick_that_failed_says_nothing_of_the_ledger() -> None:
    found = judged(report(snapshot(CPU4), plan=Plan(), error="Traceback\nKeyError: 'zone'\n", saved=False))
    assert Rule.LEDGER in found.unknown


def test_an_edge_that_does_not_answer() -> None:
    found = only(report(snapshot(CPU4), troubles=("provider aws: list: could not connect",)))
    assert (found.rule, found.key) == (Rule.TROUBLE, "trouble:provider aws")
    assert found.text == "provider aws: list: could not connect"


def test_an_edge_that_does_not_answer_is_not_over_because_ray_does_not_either() -> None:
    down = snapshot(CPU4, claim("head", "head", head=True), engine_up=False)
    found = judged(report(down, troubles=("engine: no answer", "provider aws: no route")))
    assert {each.rule: each.text for each in found.holds if each.rule is Rule.TROUBLE} == {
        Rule.TROUBLE: "provider aws: no route"
    }


def test_long_texts_of_others_are_cut() -> None:
    found = only(report(snapshot(CPU4), troubles=("provider aws: " + "x\n" * 500,)))
    assert len(found.text) == 240
    assert "\n" not in found.text


# ---- machines --------------------------------------------------------------------------------------------------------


def stray(n: int) -> Snapshot:
    from rayfleet.model import Stray

    return snapshot(CPU4, strays=(Stray(f"i-{n}", OfferKey("cpu4"), launched_at=NOW - 50),), now=NOW + n)


def test_machines_that_nobody_had_asked_for() -> None:
    found = only(report(stray(1)), report(stray(2)), report(stray(2)), report(snapshot(CPU4, now=NOW + 300)))
    assert found.momentary
    assert found.text == "2 machines carried this cluster's tag and nobody had asked for them: i-2, i-1"
    assert nothing(report(stray(1)), report(snapshot(CPU4, now=NOW + 601)))


def test_a_machine_that_was_given_back_and_stays() -> None:
    def leaving(since: float) -> TickReport:
        host = Host("c1", "i-77", machine=MachineFact.PRESENT)
        stuck = replace(claim("c1", "cpu4", Phase.RELEASING, since=since, usd_per_hour=1.5), hosts=(host,))
        return report(snapshot(CPU4), plan=Plan(claims=(stuck,)))

    assert nothing(leaving(NOW - 599))
    found = only(leaving(NOW - 660))
    assert found.since == NOW - 660
    assert found.text == "1 machine given back up to 11 min 0 s ago and still there, at 1.50 USD/h: i-77"


def churned(minute: int, count: int, stay: int = 0) -> TickReport:
    """Return a report in which `count` machines are launched and as many have gone."""
    from rayfleet.model import Launch, ReasonCode, reason

    gone = [claim(f"old{minute}-{n}", "cpu4", Phase.RELEASING) for n in range(count)]
    kept = tuple(claim(f"kept{n}", "cpu4") for n in range(stay))
    launch = Launch(OfferKey("cpu4"), (), "b", count, reason(ReasonCode.TASKS, tasks=1))
    return report(snapshot(CPU4, *gone, *kept, now=NOW + 60 * minute), plan=Plan(launches=(launch,), claims=kept))


def test_machines_that_come_and_go() -> None:
    assert nothing(*(churned(minute, 10) for minute in range(2)))
    found = only(*(churned(minute, 10) for minute in range(3)))
    assert found.text == "machines come and go: 30 launched and 30 gone within an hour, 0 there now"
    assert nothing(*(churned(minute, 10, stay=31) for minute in range(3)))
    assert nothing(*(churned(31 * n, 10) for n in range(3)))


# ---- which rules -----------------------------------------------------------------------------------------------------


def test_a_rule_that_is_off_says_nothing() -> None:
    of = report(snapshot(CPU4, tasks(3, CPU=64)))
    off = ALL | {Rule.UNMET_DEMAND: Threshold(enabled=False)}
    assert judged(of, thresholds=off).holds == ()


def test_a_cluster_that_is_being_ended_has_nothing_to_tell() -> None:
    end = Order("o1", OrderKind.SHUTDOWN)
    of = snapshot(CPU4, claim("head", "head", head=True), engine_up=False, orders=(end,))
    found = judged(report(of, plan=Plan(claims=of.claims)))
    assert found.holds == ()
    assert found.unknown == {Rule.CONTROLLER_DOWN}
