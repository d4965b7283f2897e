"""How many machines there may and must be: minimums, maximums, budget, speeds, back-offs, replicas."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import found, launched, leaving, placed, planned, unmet

from rayfleet.model import Backoff, Market, OfferKey, Phase, ReasonCode, Trouble
from rayfleet.testing.snapshots import claim, gang, offer, pool, requested, tasks

CPU1 = pool("cpu1", CPU=1)


# ---- minimums --------------------------------------------------------------------------------------------------------


def test_every_pool_gets_its_minimum_and_starting_machines_count() -> None:
    """D1-4, D4-98."""
    pools = [pool("a", CPU=1, min_workers=3), pool("b", CPU=1, min_workers=1)]
    have = [claim("a-1", "a"), claim("a-2", "a", Phase.REQUESTED)]
    result = planned(*pools, *have)
    assert launched(result) == {"a": 1, "b": 1}
    assert result.launches[0].reason.text == "pool a keeps at least 3"


def test_machines_of_other_pools_do_not_count_towards_a_minimum() -> None:
    """D1-4."""
    result = planned(pool("a", CPU=1, min_workers=1), claim("x-1", "x"))
    assert (launched(result), leaving(result)) == ({"a": 1}, {"x-1": ReasonCode.POOL_REMOVED})


@pytest.mark.parametrize("phase", [Phase.DRAINING, Phase.RELEASING])
def test_leaving_machines_count_in_maximums_but_not_in_minimums(phase: Phase) -> None:
    away = claim("a-1", "a", phase)
    assert launched(planned(pool("a", CPU=1, min_workers=1), away)) == {"a": 1}
    result = planned(pool("a", CPU=1, min_workers=1, max_workers=1), away)
    assert (launched(result), found(result)) == ({}, [("a", ReasonCode.MIN_WORKERS)])


def test_the_head_counts_neither_towards_a_minimum_nor_a_maximum() -> None:
    """D1-5, D4-107."""
    head = claim("h", "a", head=True)
    one = pool("a", CPU=1, min_workers=1, max_workers=1)
    assert launched(planned(one, head, max_workers=1)) == {"a": 1}


def test_a_minimum_that_a_limit_forbids_is_reported() -> None:
    result = planned(pool("a", CPU=1, min_workers=3), max_workers=2)
    assert launched(result) == {"a": 2}
    assert [f.reason.text for f in result.findings] == ["pool a keeps at least 3; the cluster is at its maximum of 2"]


def test_minimums_pass_the_upscaling_speed() -> None:
    """D4-104."""
    assert launched(planned(pool("a", CPU=1, min_workers=20), upscaling_speed=1.0)) == {"a": 20}


# ---- maximums --------------------------------------------------------------------------------------------------------


def test_a_lowered_pool_maximum_takes_starting_machines_first_then_the_least_used() -> None:
    """D1-6."""
    four = pool("a", CPU=4, max_workers=2)
    have = [
        claim("a-1", "a", used={"CPU": 3}),
        claim("a-2", "a", used={"CPU": 1}),
        claim("a-3", "a", used={"CPU": 2}),
        claim("a-4", "a", Phase.BOOTING),
    ]
    result = planned(four, *have)
    assert leaving(result) == {"a-4": ReasonCode.OVER_MAX, "a-2": ReasonCode.OVER_MAX}
    assert [drain.voluntary for drain in result.drains] == [False]


@pytest.mark.parametrize(("most", "gone"), [(0, 2), (2, 0)])
def test_machines_that_have_not_joined_are_ended_when_the_maximum_drops(most: int, gone: int) -> None:
    """D1-7, D2-66 to D2-68: BOOTING and REQUESTED; untouched at the cap."""
    have = [claim("a-1", "a", Phase.BOOTING), claim("a-2", "a", Phase.REQUESTED)]
    result = planned(pool("a", CPU=1, max_workers=most), *have, tasks(2, CPU=1))
    assert [release.how.value for release in result.releases] == ["cancel"] * gone


def test_the_cluster_maximum_takes_starting_then_idle_then_least_used_machines() -> None:
    """D1-8."""
    have = [
        claim("a-1", "a", used={"CPU": 1}),
        claim("a-2", "a", used={"CPU": 3}),
        claim("a-3", "a", idle_s=5.0),
        claim("b-1", "b", Phase.REQUESTED),
    ]
    pools = [pool("a", CPU=4), pool("b", CPU=4)]
    order = ["b-1", "a-3", "a-1", "a-2"]
    for most in (3, 2, 1, 0):
        assert sorted(leaving(planned(*pools, *have, max_workers=most))) == sorted(order[: 4 - most])


def test_the_cause_of_the_pool_wins_over_the_cause_of_the_cluster() -> None:
    """D1-8."""
    have = [claim(f"a-{n}", "a") for n in (1, 2, 3)]
    result = planned(pool("a", CPU=1, max_workers=2), *have, max_workers=1)
    scopes = sorted(drain.reason.text for drain in result.drains)
    assert scopes == ["pool a has 3 machines, 2 are allowed", "the cluster has 2 machines, 1 are allowed"]


def test_what_leaves_holds_its_place_until_it_is_gone() -> None:
    """D2-69: at the maximum with one timed-out machine: released now, replaced later; no loop."""
    late = claim("a-1", "a", Phase.BOOTING, since=0.0)
    one = pool("a", CPU=1, max_workers=1, offers=(offer(1.0), offer(2.0, spot=True)))
    result = planned(one, late, tasks(1, CPU=1))
    assert (launched(result), leaving(result)) == ({}, {"a-1": ReasonCode.BOOT_TIMEOUT})
    again = planned(one, *result.claims, tasks(1, CPU=1), backoffs=result.backoffs)
    assert (launched(again), leaving(again)) == ({}, {})
    after = planned(one, tasks(1, CPU=1), backoffs=result.backoffs)
    assert [launch.offer.market for launch in after.launches] == [Market.SPOT]


def test_down_to_the_pool_maximum_and_up_elsewhere_in_one_plan() -> None:
    """D5-129."""
    have = [claim(f"a-{n}", "a", used={"CPU": 1}) for n in (1, 2)]
    result = planned(pool("a", CPU=1, max_workers=1), pool("b", CPU=1), *have, tasks(1, CPU=1))
    assert (launched(result), leaving(result)) == ({"b": 1}, {"a-2": ReasonCode.OVER_MAX})


def test_machines_joined_by_hand_are_neither_counted_nor_released() -> None:
    """D5-120."""
    by_hand = claim("n1", "a", foreign=True, used={"CPU": 1})
    result = planned(pool("a", CPU=1, max_workers=1), by_hand, tasks(1, CPU=1), max_workers=1)
    assert (launched(result), leaving(result)) == ({"a": 1}, {})
    idle = claim("n1", "gone", foreign=True, idle_s=9999.0)
    assert leaving(planned(CPU1, idle, max_workers=0)) == {}


# ---- budget ----------------------------------------------------------------------------------------------------------


def test_a_budget_cuts_launches() -> None:
    result = planned(pool("a", 0.5, CPU=1), tasks(10, CPU=1), max_usd_per_hour=2.0)
    assert (launched(result), unmet(result)) == ({"a": 4}, [("tasks", 0, 6, ReasonCode.BUDGET)])


def test_a_budget_counts_what_runs_and_the_head() -> None:
    have = [claim("h", "h", head=True, usd_per_hour=1.0), claim("a-1", "a", used={"CPU": 1})]
    result = planned(pool("a", 0.5, CPU=1), *have, tasks(10, CPU=1), max_usd_per_hour=2.0)
    assert launched(result) == {"a": 1}


def test_a_lowered_budget_ends_the_least_used_machines() -> None:
    have = [claim(f"a-{n}", "a", used={"CPU": n}) for n in (1, 2, 3)]
    result = planned(pool("a", 1.0, CPU=4), *have, max_usd_per_hour=2.0)
    assert leaving(result) == {"a-1": ReasonCode.OVER_BUDGET}


def test_machines_without_a_price_cost_nothing_and_are_counted() -> None:
    result = planned(CPU1, tasks(3, CPU=1), max_usd_per_hour=0.0)
    assert (launched(result), result.cost.unpriced) == ({"cpu1": 3}, 3)


# ---- speed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "ready", "starting", "expected"),
    [
        (1.0, 0, 0, 5),
        (1.0, 0, 3, 2),
        (1.0, 10, 0, 10),
        (1.0, 20, 5, 15),
        (25.0, 1, 0, 25),
        (9999.0, 1, 0, 50),
        (None, 0, 0, 50),
    ],
)
def test_the_upscaling_speed_limits_how_many_start_at_a_time(
    speed: float | None, ready: int, starting: int, expected: int
) -> None:
    """D4-104, D2-50: starting <= max(5, ceil(speed x READY))."""
    have = [claim(f"r-{n}", "cpu1", used={"CPU": 1}) for n in range(ready)]
    have += [claim(f"s-{n}", "cpu1", Phase.REQUESTED) for n in range(starting)]
    result = planned(CPU1, *have, tasks(50 + starting, CPU=1), upscaling_speed=speed)
    assert launched(result) == {"cpu1": expected}


def test_the_speed_holds_launches_back_and_does_not_turn_to_a_dearer_pool() -> None:
    result = planned(pool("cheap", 1.0, CPU=1), pool("dear", 2.0, CPU=1), tasks(20, CPU=1), upscaling_speed=1.0)
    assert (launched(result), unmet(result)) == ({"cheap": 5}, [("tasks", 0, 15, ReasonCode.UPSCALING_SPEED)])


# ---- back-offs -------------------------------------------------------------------------------------------------------

TWO_OFFERS = pool("a", CPU=1, offers=(offer(0.1, "z1", spot=True), offer(1.0, "z1")))


def test_the_speed_holds_launches_back_and_does_not_turn_to_a_later_selector() -> None:
    pools = [pool("a", CPU=1, labels={"t": "a"}), pool("b", CPU=1, labels={"t": "b"})]
    wants = tasks(8, {"t": "a"}, {"t": "b"}, CPU=1)
    result = planned(*pools, wants, upscaling_speed=1.0)
    assert (launched(result), unmet(result)) == ({"a": 5}, [("tasks", 0, 3, ReasonCode.UPSCALING_SPEED)])
    assert placed(planned(*pools, claim("b-1", "b"), wants, upscaling_speed=1.0))["b-1"] == 1


def test_a_backed_off_offer_is_passed_over() -> None:
    key = OfferKey("a", zone="z1", market=Market.SPOT)
    backoff = Backoff(key, until=1300.0, trouble=Trouble.OUT_OF_STOCK)
    result = planned(TWO_OFFERS, tasks(1, CPU=1), backoffs=(backoff,))
    assert [launch.offer.market for launch in result.launches] == [Market.ON_DEMAND]
    later = planned(TWO_OFFERS, tasks(1, CPU=1), backoffs=(backoff,), now=1300.0)
    assert [launch.offer.market for launch in later.launches] == [Market.SPOT]


def test_a_backed_off_pool_says_so() -> None:
    backoff = Backoff(OfferKey("a"), until=1300.0, trouble=Trouble.QUOTA_REACHED, message="32 vCPUs")
    result = planned(TWO_OFFERS, tasks(1, CPU=1), backoffs=(backoff,))
    assert unmet(result) == [("tasks", 0, 1, ReasonCode.BACKED_OFF)]
    assert result.unmet[0].reason.text == "backs off for 300 s more after QuotaReached: 32 vCPUs"


# ---- replicas of several hosts ---------------------------------------------------------------------------------------

TPU = pool("tpu", CPU=8, TPU=4, hosts_per_replica=4)


def test_replicas_are_launched_whole_and_counted_in_hosts() -> None:
    result = planned(TPU, tasks(5, TPU=4))
    assert launched(result) == {"tpu": 8}
    assert [len(launch.claims) for launch in result.launches] == [2]
    assert [host.id for host in result.claims[0].hosts] == ["tpu-101.0", "tpu-101.1", "tpu-101.2", "tpu-101.3"]


@pytest.mark.parametrize(("most", "expected"), [(3, 0), (4, 4), (7, 4), (8, 8)])
def test_a_maximum_rounds_down_to_whole_replicas(most: int, expected: int) -> None:
    tpu = pool("tpu", CPU=8, TPU=4, hosts_per_replica=4, max_workers=most)
    assert sum(launched(planned(tpu, tasks(100, TPU=4))).values()) == expected


def test_a_minimum_rounds_up_to_whole_replicas() -> None:
    tpu = pool("tpu", CPU=8, TPU=4, hosts_per_replica=4, min_workers=5)
    assert launched(planned(tpu)) == {"tpu": 8}


def test_a_replica_is_never_split_by_the_speed() -> None:
    wide = pool("wide", CPU=1, hosts_per_replica=8)
    assert launched(planned(wide, tasks(30, CPU=1), upscaling_speed=1.0)) == {"wide": 8}


def test_a_replica_leaves_whole() -> None:
    """D6-147."""
    result = planned(TPU, claim("tpu-1", "tpu", hosts=4, idle_s=999.0))
    assert [drain.hosts for drain in result.drains] == [("tpu-1.0", "tpu-1.1", "tpu-1.2", "tpu-1.3")]


def test_a_gang_may_spread_over_the_hosts_of_a_replica() -> None:
    assert launched(planned(TPU, gang("STRICT_SPREAD", *[{"TPU": 4}] * 4))) == {"tpu": 4}


def test_requested_resources_count_every_host() -> None:
    assert launched(planned(TPU, claim("tpu-1", "tpu", hosts=4), requested(5, TPU=4))) == {"tpu": 4}


# ---- pools that were removed, configurations that changed ------------------------------------------------------------


def test_machines_of_a_removed_pool_leave_and_the_head_stays() -> None:
    """D1-2, D5-113."""
    have = [claim("x-1", "x", used={"CPU": 1}), claim("x-2", "x", Phase.BOOTING), claim("h", "x", head=True)]
    result = planned(CPU1, *have)
    assert leaving(result) == {"x-1": ReasonCode.POOL_REMOVED, "x-2": ReasonCode.POOL_REMOVED}
    assert [drain.deadline for drain in result.drains] == [1300.0]


def test_outdated_machines_are_replaced_by_halves_when_they_are_idle() -> None:
    """D1-16, D5-118: never all at once, busy ones later, the head never."""
    old = [claim(f"a-{n}", "a", drifted=True) for n in range(10)]
    result = planned(pool("a", CPU=1, min_workers=10), *old, claim("h", "a", head=True, drifted=True))
    assert (launched(result), len(result.drains)) == ({"a": 10}, 5)
    busy = claim("a-1", "a", drifted=True, used={"CPU": 1})
    assert leaving(planned(pool("a", CPU=1), busy)) == {}


def test_machines_that_replace_outdated_ones_stay_for_as_long_as_the_minimum_needs_them() -> None:
    """Outdated ones that are still busy do not count towards the minimum: idle new ones are no surplus."""
    small = pool("a", CPU=1, min_workers=2)
    busy = [claim(f"old-{n}", "a", drifted=True, used={"CPU": 1}) for n in range(2)]
    new = [claim(f"new-{n}", "a", make=small.make, idle_s=999.0) for n in range(3)]
    assert leaving(planned(small, *busy, *new[:2])) == {}
    assert len(leaving(planned(small, *busy, *new))) == 1


def test_an_outdated_machine_that_only_starts_is_cancelled_when_its_replacement_holds_the_minimum() -> None:
    small = pool("a", CPU=1, min_workers=1)
    result = planned(small, claim("old", "a", Phase.BOOTING, drifted=True))
    assert (launched(result), leaving(result)) == ({"a": 1}, {"old": ReasonCode.UNNEEDED})


def test_a_machine_is_outdated_when_its_pool_has_changed_since_it_was_launched() -> None:
    """D5-113, D5-123: also when the change is taken back, and never the head."""
    small, large = pool("a", CPU=1), pool("a", CPU=2)
    (made,) = planned(small, tasks(1, CPU=1)).claims
    ready = replace(made, phase=Phase.READY)
    assert (leaving(planned(large, ready)), leaving(planned(small, ready))) == ({made.id: ReasonCode.DRIFTED}, {})
    assert leaving(planned(small, replace(ready, drifted=True))) == {}
    assert leaving(planned(large, replace(ready, head=True))) == {}


def test_limits_and_prices_of_a_pool_make_no_machine_outdated() -> None:
    before = pool("a", 0.1, CPU=1)
    assert before.make == pool("a", 0.2, CPU=1, max_workers=3, priority=1, idle_timeout_s=5).make
    assert before.make != pool("a", 0.1, CPU=1, labels={"tier": "x"}).make


def test_a_minimum_is_made_of_the_cheapest_offer_and_of_one_without_a_price_only_where_there_is_no_other() -> None:
    unknown, dear, cheap = offer(None, "a"), offer(5.0, "b"), offer(2.0, "c")
    for offers, zone in [((unknown, dear, cheap), "c"), ((unknown, dear), "b"), ((unknown,), "a")]:
        (launch,) = planned(pool("p", CPU=1, min_workers=1, offers=offers)).launches
        assert (launch.offer.zone, launch.count) == (zone, 1)


def test_a_machine_that_was_joined_by_hand_is_kept_for_who_has_joined_it() -> None:
    (why,) = planned(pool("p", CPU=1), claim("f", "p", foreign=True)).kept
    assert why.reason.text == "kept for whoever joined it by hand"
