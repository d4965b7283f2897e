"""Machines on standby: how many wait, which come to work, which are given back, and what stands in the way."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planner.looking import claim_of, found, kept, launched, leaving, planned, sound_plan

from rayfleet.model import (
    Backoff,
    Claim,
    Drain,
    Host,
    How,
    MachineFact,
    Market,
    NodeFact,
    Offer,
    OfferKey,
    Order,
    OrderKind,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    ReasonCode,
    ReleaseMode,
    Standby,
    StandbyMode,
    Stray,
    Trouble,
    reason,
)
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import claim, gang, pool, requested, snapshot, tasks

TWO = pool("p", 1.0, CPU=4, standby=Standby(2))
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)


def waiting(name: str, of: str = "p", **fields: Any) -> Claim:
    """Return a machine at rest."""
    fields.setdefault("usd_per_hour", 0.0)
    return claim(name, of, Phase.STANDBY, machine_id=f"i-{name}", **fields)


def prepared(of: Plan) -> int:
    """Return how many machines are made to wait."""
    return sum(launch.count for launch in of.launches if launch.standby is not None)


def started(of: Plan) -> list[str]:
    """Return the machines on standby that are started."""
    return [machine for launch in of.launches for machine in launch.reuse]


def stopped(of: Plan) -> list[str]:
    """Return the machines that are drained to wait."""
    return [drain.claim for drain in of.drains if drain.mode is ReleaseMode.STOP]


# ---- filling ---------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_made_once_nothing_else_is_to_be_done() -> None:
    plan = planned(TWO)
    (launch,) = plan.launches
    assert (launch.count, launch.standby, launch.reason.code) == (2, StandbyMode.STOPPED, ReasonCode.STANDBY)
    assert [claim.phase for claim in plan.claims] == [Phase.STANDBY] * 2
    assert plan.cost.after == 0.0


def test_the_plan_after_that_does_nothing() -> None:
    before = snapshot(TWO)
    first = sound_plan(before)
    again = sound_plan(replace(before, claims=first.claims, serial=first.serial))
    assert again.actions == ()
    assert sound_plan(carried_out(before, first)).actions == ()


@pytest.mark.parametrize(
    "busy",
    [(tasks(1, CPU=1),), (claim("m", "p", Phase.BOOTING), tasks(1, CPU=1)), (requested(1, CPU=1),)],
)
def test_work_comes_first(busy: tuple[Any, ...]) -> None:
    assert prepared(planned(TWO, *busy)) == 0


def test_demand_that_can_never_be_met_does_not_stand_in_the_way() -> None:
    assert prepared(planned(TWO, tasks(1, GPU=1))) == 2


def test_a_percentage_is_of_the_ready_machines_rounded_up() -> None:
    share = replace(TWO, standby=Standby(1, percent=25.0))
    ready = [claim(f"m{n}", "p", used={"CPU": 4}) for n in range(9)]
    assert prepared(planned(share, *ready)) == 3
    assert prepared(planned(share)) == 1


def test_a_replica_waits_whole() -> None:
    pairs = pool("p", 1.0, CPU=4, hosts_per_replica=2, standby=Standby(3))
    plan = planned(pairs)
    assert prepared(plan) == 4
    assert [claim.count for claim in plan.claims] == [2, 2]


def test_the_cheapest_offer_that_is_not_backed_off_is_taken() -> None:
    offers = (Offer(1.0, zone="a"), Offer(0.5, zone="b"), Offer(0.7, zone="c"))
    backoff = Backoff(OfferKey("p", zone="b"), 1200.0, Trouble.OUT_OF_STOCK)
    plan = planned(replace(TWO, offers=offers), backoffs=(backoff,))
    assert {launch.offer.zone for launch in plan.launches} == {"c"}


def test_idle_machines_that_will_be_stopped_are_waited_for() -> None:
    """Two wait for their time-out: none is made in their place, unless a minimum, a label or demand holds them."""
    idle = [claim(name, "p", idle_s=1.0) for name in "ab"]
    assert planned(TWO, *idle).actions == ()
    assert prepared(planned(replace(TWO, min_workers=2), *idle)) == 2
    assert prepared(planned(TWO, idle[0], claim("b", "p", idle_s=1.0, do_not_disrupt=True))) == 1
    assert prepared(planned(TWO, *idle, requested(2, CPU=4))) == 2


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["pool", "cluster"])
def test_no_more_wait_than_could_work_beside_what_runs(limit: str) -> None:
    """They count in no maximum, so that work may have all of it; but one that could never work is not made."""
    own = replace(TWO, max_workers=2 if limit == "pool" else None)
    cluster = {} if limit == "pool" else {"max_workers": 2}
    plan = planned(own, claim("m", "p", used={"CPU": 4}), **cluster)
    assert prepared(plan) == 1
    full = planned(own, *(claim(n, "p", used={"CPU": 4}) for n in "mn"), waiting("s"), **cluster)
    assert leaving(full) == {}
    assert found(full) == []


def test_work_may_have_the_whole_maximum_whatever_waits() -> None:
    own = pool("p", 1.0, CPU=4, max_workers=2, standby=Standby(2))
    plan = planned(own, waiting("s", drifted=True), tasks(8, CPU=1))
    assert launched(plan) == {"p": 2}


def test_the_price_of_what_waits_is_in_the_cost_and_kept_within_the_budget() -> None:
    dear = pool("p", CPU=4, offers=(Offer(1.0, standby_usd_per_hour=0.2),), standby=Standby(3))
    plan = planned(dear, claim("m", "p", used={"CPU": 4}, usd_per_hour=1.0), max_usd_per_hour=1.5)
    assert prepared(plan) == 2
    assert plan.cost.after == pytest.approx(1.4)
    assert [(name, code) for name, code in found(plan)] == [("p", ReasonCode.STANDBY)]


def test_a_booted_machine_costs_what_it_costs_at_work() -> None:
    booted = replace(TWO, standby=Standby(2, mode=StandbyMode.BOOTED))
    assert planned(booted).cost.after == 2.0
    assert prepared(planned(booted, max_usd_per_hour=1.0)) == 1


def test_work_has_the_money_before_what_waits() -> None:
    """Four tasks need the machine for which the budget has room only without what waits."""
    booted = replace(TWO, standby=Standby(1, mode=StandbyMode.BOOTED))
    other = pool("q", 1.0, GPU=1)
    rests = waiting("s", usd_per_hour=1.0)
    plan = planned(booted, other, rests, tasks(1, GPU=1), max_usd_per_hour=1.0)
    assert launched(plan) == {"q": 1}
    assert leaving(plan) == {"s": ReasonCode.BUDGET}


def test_the_budget_of_the_day_ends_what_waits_before_work() -> None:
    rests = waiting("s", usd_per_hour=1.0)
    plan = planned(replace(TWO, standby=Standby(1)), rests, max_usd_per_day=10.0, spent_today_usd=10.0, spent_at=1000.0)
    assert leaving(plan) == {"s": ReasonCode.DAY_BUDGET}


def test_making_them_counts_in_the_launch_rate_and_the_resources() -> None:
    assert prepared(planned(TWO, max_launches_per_min=1)) == 1
    assert found(planned(TWO, max_launches_per_min=1)) == [("p", ReasonCode.STANDBY)]


# ---- coming to work --------------------------------------------------------------------------------------------------


def test_what_waits_is_started_before_new_machines_are_made() -> None:
    plan = planned(TWO, waiting("a"), waiting("b"), tasks(12, CPU=1))
    assert started(plan) == ["i-a", "i-b"]
    assert launched(plan) == {"p": 3}
    reused = [claim for claim in plan.claims if claim.reuse]
    assert [(c.phase, c.hosts[0].machine_id, c.usd_per_hour) for c in reused] == [
        (Phase.REQUESTED, "i-a", 1.0),
        (Phase.REQUESTED, "i-b", 1.0),
    ]
    assert ReasonCode.STANDBY_USED in {link.code for link in plan.launches[0].reason.chain}
    assert plan.cost.after == 3.0


@pytest.mark.parametrize("work", [gang("STRICT_SPREAD", {"CPU": 1}, {"CPU": 1}), requested(2, CPU=4)])
def test_gangs_and_requests_start_them_too(work: Any) -> None:
    assert started(planned(TWO, waiting("a"), waiting("b"), work)) == ["i-a", "i-b"]


def test_a_minimum_starts_them_too() -> None:
    assert started(planned(replace(TWO, min_workers=1), waiting("a"), waiting("b"))) == ["i-a"]


@pytest.mark.parametrize(
    "fact",
    [
        {"machine": MachineFact.PRESENT},
        {"drifted": True},
        {"interrupt_at": 1100.0},
        {"accepted": False},
        {"of": "other"},
    ],
)
def test_only_what_is_at_rest_as_its_pool_is_now_is_started(fact: dict[str, Any]) -> None:
    other = pool("other", 2.0, CPU=4, standby=Standby(2))
    plan = planned(TWO, other, waiting("a", fact.pop("of", "p"), **fact), tasks(1, CPU=1))
    assert started(plan) == []
    assert launched(plan) == {"p": 1}


def test_nothing_is_placed_on_what_waits() -> None:
    plan = planned(TWO, waiting("a"), tasks(1, CPU=1))
    assert {placement.on for placement in plan.placements} == {"new:0"}


def test_prices_choose_the_offer_not_what_waits() -> None:
    cheap = pool("cheap", 0.5, CPU=4)
    plan = planned(TWO, cheap, waiting("a"), tasks(1, CPU=1))
    assert launched(plan) == {"cheap": 1}


# ---- stopping --------------------------------------------------------------------------------------------------------


def test_idle_machines_are_stopped_while_too_few_wait() -> None:
    idle = [claim(name, "p", idle_s=99.0, node_id=name) for name in "abc"]
    plan = planned(TWO, *idle)
    assert stopped(plan) == ["a", "b"]
    assert leaving(plan) == dict.fromkeys("abc", ReasonCode.IDLE)
    assert prepared(plan) == 0
    assert {link.code for link in plan.drains[0].reason.chain} == {ReasonCode.STANDBY}


def test_what_has_left_is_stopped_and_costs_its_disk() -> None:
    drain = Drain(IDLE, 990.0, 1020.0, ReleaseMode.STOP)
    dear = pool("p", CPU=4, offers=(Offer(1.0, standby_usd_per_hour=0.1),), standby=Standby(2))
    leaves = claim("a", "p", Phase.DRAINING, machine_id="i-a", node=NodeFact.DEAD, drain=drain)
    plan = planned(dear, leaves)
    (release,) = plan.releases
    assert (release.mode, release.machine_ids, release.wait) == (ReleaseMode.STOP, ("i-a",), StandbyMode.STOPPED)
    waits = claim_of(plan, "a")
    assert waits is not None
    assert (waits.phase, waits.standby, waits.usd_per_hour, waits.drain) == (Phase.STANDBY, True, 0.1, None)


def test_a_drain_that_hangs_ends_the_machine() -> None:
    drain = Drain(IDLE, 900.0, 930.0, ReleaseMode.STOP)
    leaves = claim("a", "p", Phase.DRAINING, node=NodeFact.DRAINING, drain=drain, since=999.0)
    plan = planned(TWO, leaves)
    assert [(r.claim, r.mode) for r in plan.releases] == [("a", ReleaseMode.END)]


def test_outdated_machines_are_given_back_not_stopped() -> None:
    plan = planned(TWO, claim("a", "p", idle_s=99.0, drifted=True))
    assert stopped(plan) == []
    assert leaving(plan) == {"a": ReasonCode.DRIFTED}


def test_what_still_runs_is_stopped_again() -> None:
    still = waiting("a", machine=MachineFact.PRESENT, retry_at=990.0)
    plan = planned(TWO, still, waiting("b"))
    assert [(r.claim, r.mode, r.reason.code) for r in plan.releases] == [
        ("a", ReleaseMode.STOP, ReasonCode.STILL_RUNNING)
    ]
    waits = claim_of(plan, "a")
    assert waits is not None
    assert waits.retry_at == 1020.0


# ---- giving back -----------------------------------------------------------------------------------------------------


def test_those_that_have_waited_longest_are_surplus_first() -> None:
    plan = planned(TWO, waiting("a", since=500.0), waiting("b", since=400.0), waiting("c", since=600.0))
    assert leaving(plan) == {"b": ReasonCode.STANDBY_SURPLUS}
    assert kept(plan) == {"a": ReasonCode.ON_STANDBY, "c": ReasonCode.ON_STANDBY}


def test_a_pool_without_standby_any_more_gives_all_back() -> None:
    plan = planned(pool("p", 1.0, CPU=4), waiting("a"))
    assert [(r.claim, r.how, r.mode) for r in plan.releases] == [("a", How.NOW, ReleaseMode.END)]


def test_what_waits_too_long_and_what_is_outdated_is_given_back() -> None:
    old = replace(TWO, standby=Standby(2, max_age_s=100.0))
    plan = planned(old, waiting("a", since=900.0), waiting("b", since=950.0, drifted=True), waiting("c", since=950.0))
    assert leaving(plan) == {"a": ReasonCode.EXPIRED, "b": ReasonCode.DRIFTED}


def test_what_is_taken_back_or_has_no_pool_goes_also_while_the_engine_is_down() -> None:
    plan = planned(TWO, waiting("a", interrupt_at=1100.0), waiting("b", "gone"), engine_up=False)
    assert leaving(plan) == {"a": ReasonCode.INTERRUPTED, "b": ReasonCode.POOL_REMOVED}


def test_nothing_else_happens_while_the_engine_is_down() -> None:
    assert planned(TWO, *(waiting(name) for name in "abc"), engine_up=False).actions == ()


def test_a_shutdown_ends_them_before_the_head() -> None:
    order = Order("o", OrderKind.SHUTDOWN)
    head = claim("h", "head", head=True)
    plan = planned(TWO, waiting("a"), head, orders=(order,), head=pool("head", CPU=0))
    assert leaving(plan) == {"a": ReasonCode.SHUTDOWN}


def test_people_may_drain_one() -> None:
    plan = planned(TWO, waiting("a"), waiting("b"), orders=(Order("o", OrderKind.DRAIN, "a"),))
    assert leaving(plan) == {"a": ReasonCode.ORDERED}


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("0", 0), ("null", 0)])
def test_people_may_change_how_many_wait(value: str, count: int) -> None:
    assert prepared(planned(TWO, orders=(Order("o", OrderKind.SET, "standby:p", value),))) == count


def test_no_order_makes_machines_wait_where_no_file_says_how() -> None:
    plan = planned(pool("p", 1.0, CPU=4), orders=(Order("o", OrderKind.SET, "standby:p", "3"),))
    assert found(plan) == [("o", ReasonCode.BAD_ORDER)]


# ---- facts and outcomes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "phase"),
    [(MachineFact.FAILED, Phase.RELEASING), (MachineFact.ABSENT, None), (MachineFact.STANDBY, Phase.STANDBY)],
)
def test_what_waits_is_judged_by_its_machine_alone(fact: MachineFact, phase: Phase | None) -> None:
    rests = waiting("a", machine=fact, node=NodeFact.DEAD, listed_at=999.0)
    after = claim_of(planned(replace(TWO, standby=Standby(1)), rests), "a")
    assert (after and after.phase) == phase


def asked(**fields: Any) -> Claim:
    """Return a claim whose machine was to be started."""
    fields.setdefault("machine", MachineFact.STANDBY)
    return claim("n", "p", Phase.REQUESTED, batch="n@1", machine_id="i-a", reuse=True, listed_at=999.0, **fields)


def outcome(kind: OutcomeKind, name: str, trouble: Trouble | None) -> tuple[Outcome, ...]:
    return (Outcome(kind, (name,), 1000.0, trouble, "as told"),)


def test_a_start_of_which_nobody_knows_is_asked_for_again_under_its_token() -> None:
    (launch,) = planned(TWO, asked(), tasks(4, CPU=1)).launches
    assert (launch.again, launch.batch, launch.reuse) == (True, "n@1", ("i-a",))


def test_making_one_wait_is_asked_for_again_too() -> None:
    lost = claim("s", "p", Phase.STANDBY, batch="s@1", accepted=False, machine=MachineFact.ABSENT, listed_at=999.0)
    (launch,) = planned(replace(TWO, standby=Standby(1)), lost).launches
    assert (launch.again, launch.batch, launch.standby) == (True, "s@1", StandbyMode.STOPPED)


def test_a_refused_start_leaves_the_machine_waiting_and_backs_its_offer_off() -> None:
    plan = planned(TWO, asked(), tasks(4, CPU=1), outcomes=outcome(OutcomeKind.LAUNCH, "n", Trouble.OUT_OF_STOCK))
    waits = claim_of(plan, "n")
    assert waits is not None
    assert (waits.phase, waits.reuse, waits.usd_per_hour) == (Phase.STANDBY, False, 0.0)
    assert plan.launches == ()
    assert [backoff.scope.pool for backoff in plan.backoffs] == ["p"]


def test_a_machine_that_is_gone_when_it_is_to_be_started_is_forgotten() -> None:
    plan = planned(TWO, asked(), tasks(4, CPU=1), outcomes=outcome(OutcomeKind.LAUNCH, "n", Trouble.GONE))
    assert claim_of(plan, "n") is None
    assert launched(plan) == {"p": 1}
    lost = planned(TWO, asked(machine=MachineFact.ABSENT, created=0.0), tasks(4, CPU=1))
    assert claim_of(lost, "n") is None


def test_one_that_does_not_start_in_time_is_given_back() -> None:
    plan = planned(TWO, asked(accepted=True, since=800.0), tasks(4, CPU=1))
    assert leaving(plan)["n"] is ReasonCode.REQUEST_TIMEOUT


def test_what_cannot_be_stopped_is_given_back() -> None:
    rests = waiting("a", machine=MachineFact.PRESENT)
    plan = planned(TWO, rests, outcomes=outcome(OutcomeKind.RELEASE, "a", Trouble.DENIED))
    assert [(r.claim, r.mode, r.reason.code) for r in plan.releases] == [("a", ReleaseMode.END, ReasonCode.CANNOT_STOP)]


def test_a_stray_that_waits_is_adopted_as_what_it_is() -> None:
    stray = Stray("i-x", OfferKey("p"), "b", 900.0, standby=True)
    plan = planned(replace(TWO, standby=Standby(1)), strays=(stray,))
    (adopted,) = plan.claims
    assert (adopted.phase, adopted.hosts[0]) == (
        Phase.STANDBY,
        Host(adopted.id, "i-x", machine=MachineFact.STANDBY),
    )
    assert plan.actions == ()


def test_a_machine_that_is_being_ended_counts_in_no_maximum() -> None:
    gone = claim("s", "p", Phase.RELEASING, standby=True, retry_at=1100.0, usd_per_hour=0.0)
    plan = planned(pool("p", 1.0, CPU=4, max_workers=1), gone, tasks(1, CPU=1))
    assert launched(plan) == {"p": 1}


def test_a_machine_that_makes_room_waits_too_where_too_few_do() -> None:
    """What waits counts in no maximum, so that it makes room as well as one that is given back."""
    gpu, idle = pool("g", 3.0, GPU=1), claim("a", "p", idle_s=70.0)
    first = snapshot(TWO, gpu, idle, tasks(1, GPU=1), max_workers=1)
    one = sound_plan(first)
    assert (stopped(one), leaving(one)) == (["a"], {"a": ReasonCode.MAKES_ROOM})
    second = carried_out(first, one)
    two = sound_plan(second)
    assert launched(two) == {"g": 1}
    assert [c.phase for c in two.claims if c.id == "a"] == [Phase.STANDBY]
    assert sound_plan(carried_out(second, two)).actions == ()


@pytest.mark.parametrize("drifted", [False, True])
@pytest.mark.parametrize("phase", [Phase.REQUESTED, Phase.BOOTING])
def test_what_is_still_being_made_for_standby_is_cancelled_when_its_pool_is_gone(phase: Phase, drifted: bool) -> None:
    plan = planned(TWO, claim("s", "gone", phase, standby=True, drifted=drifted))
    assert leaving(plan) == {"s": ReasonCode.POOL_REMOVED}
    assert found(plan) == [("s", ReasonCode.UNKNOWN_POOL)]


# ---- kept ------------------------------------------------------------------------------------------------------------

KEPT = pool("p", 1.0, CPU=4, max_workers=3, standby=Standby(keep=2))


def test_idle_machines_are_kept_but_none_is_made_for_it() -> None:
    assert planned(KEPT).actions == ()
    plan = planned(KEPT, claim("a", "p", idle_s=70.0))
    assert stopped(plan) == ["a"]
    assert plan.drains[0].reason.code is ReasonCode.IDLE
    assert prepared(plan) == 0


def test_the_plan_after_that_leaves_them_alone() -> None:
    before = snapshot(KEPT, waiting("s"), waiting("t"))
    assert sound_plan(before).actions == ()


def test_what_is_kept_comes_to_work_before_new_ones_are_made() -> None:
    plan = planned(KEPT, waiting("s"), tasks(8, CPU=1))
    assert started(plan) == ["i-s"]
    assert launched(plan) == {"p": 2}


def test_no_more_are_kept_than_may_be() -> None:
    """Of three idle ones two wait, the third is given back; so does the eldest of three that wait."""
    assert len(stopped(planned(KEPT, *(claim(name, "p", idle_s=70.0) for name in "abc")))) == 2
    assert stopped(planned(KEPT, waiting("s"), waiting("t"), claim("a", "p", idle_s=70.0))) == []
    plan = planned(KEPT, waiting("s", since=1.0), waiting("t", since=2.0), waiting("u", since=3.0))
    assert leaving(plan) == {"s": ReasonCode.STANDBY_SURPLUS}


def test_a_spot_machine_is_not_kept_and_is_stopped_where_it_is_wanted() -> None:
    spot = OfferKey("p", market=Market.SPOT)
    both = replace(KEPT, offers=(Offer(1.0, market=Market.SPOT), Offer(2.0)))
    idle = replace(claim("a", "p", idle_s=70.0), offer=spot)
    plan = planned(both, idle)
    assert (stopped(plan), [drain.claim for drain in plan.drains]) == ([], ["a"])
    assert stopped(planned(replace(both, standby=Standby(1, keep=2)), idle)) == ["a"]


def test_what_is_wanted_is_made_and_what_is_kept_comes_on_top() -> None:
    more = replace(KEPT, standby=Standby(1, keep=2))
    assert prepared(planned(more)) == 1
    plan = planned(more, waiting("s"), claim("a", "p", idle_s=70.0))
    assert (stopped(plan), prepared(plan)) == (["a"], 0)


def test_kept_too_long_it_is_given_back_and_none_is_made_instead() -> None:
    plan = planned(replace(KEPT, standby=Standby(keep=2, max_age_s=100.0)), waiting("s", since=0.0))
    assert leaving(plan) == {"s": ReasonCode.EXPIRED}
    assert plan.launches == ()


def test_down_ends_what_is_kept() -> None:
    plan = planned(KEPT, waiting("s"), orders=(Order("o", OrderKind.SHUTDOWN),))
    assert leaving(plan) == {"s": ReasonCode.SHUTDOWN}
