"""Limits on any resource, on the money of a day and on launches per minute; exact counts."""

from typing import Any

import pytest
from tests.unit.planner.looking import found, launched, leaving, planned, unmet

from rayfleet.model import FrozenMap, Order, OrderKind, Phase, Plan, ReasonCode, Resources, Spent
from rayfleet.planner import plan
from rayfleet.planner.orders import effective_policy
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, snapshot, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)
GPU = pool("gpu", 10.0, CPU=8, GPU=2)
HOUR_S = 3600.0


def most(**amounts: float) -> FrozenMap[int]:
    return FrozenMap({name: round(amount * 10_000) for name, amount in amounts.items()})


# ---- resources -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpus", "machines"), [(0, 0), (3, 0), (4, 1), (11, 2), (12, 3), (100, 5)])
def test_no_more_of_a_resource_is_launched_than_allowed(cpus: int, machines: int) -> None:
    result = planned(CPU4, tasks(20, CPU=1), max_resources=most(CPU=cpus))
    assert sum(launched(result).values()) == machines
    left = 20 - 4 * machines
    assert unmet(result) == ([("tasks", 0, left, ReasonCode.MAX_RESOURCES)] if left else [])


def test_what_exists_and_what_leaves_counts() -> None:
    have = [claim("m1", "cpu4", used={"CPU": 4}), claim("m2", "cpu4", Phase.RELEASING)]
    result = planned(CPU4, *have, tasks(9, CPU=1), max_resources=most(CPU=12))
    assert launched(result) == {"cpu4": 1}
    assert result.unmet[0].reason.text == "machines have 12 CPU, and 12 are allowed"


def test_one_limited_resource_does_not_limit_machines_without_it() -> None:
    result = planned(CPU4, GPU, tasks(8, CPU=1), tasks(6, GPU=1), max_resources=most(GPU=4))
    assert launched(result) == {"gpu": 2, "cpu4": 0} or launched(result) == {"gpu": 2}
    assert unmet(result) == [("tasks", 1, 2, ReasonCode.MAX_RESOURCES)]


def test_what_a_node_really_has_counts() -> None:
    big = claim("m1", "cpu4", total={"CPU": 8}, used={"CPU": 8})
    assert launched(planned(CPU4, big, tasks(8, CPU=1), max_resources=most(CPU=12))) == {"cpu4": 1}


def test_gangs_minimums_requested_resources_and_buffers_keep_to_it() -> None:
    four = most(CPU=4)
    assert launched(planned(CPU4, gang("PACK", {"CPU": 4}, {"CPU": 4}), max_resources=four)) == {}
    assert launched(planned(CPU4, requested(8, CPU=1), max_resources=four)) == {"cpu4": 1}
    assert launched(planned(CPU4, buffers=(buffer(8, CPU=1),), max_resources=four)) == {"cpu4": 1}
    keeps = planned(pool("cpu4", 1.0, CPU=4, min_workers=2), max_resources=four)
    assert (launched(keeps), found(keeps)) == ({"cpu4": 1}, [("cpu4", ReasonCode.MIN_WORKERS)])
    assert keeps.findings[0].reason.text == "pool cpu4 keeps at least 2; machines have 4 CPU, and 4 are allowed"


def test_a_gang_says_which_limit_it_misses() -> None:
    result = planned(CPU4, gang("PACK", {"CPU": 4}, {"CPU": 4}), max_resources=most(CPU=4))
    (missing,) = result.unmet
    assert [missing.reason.code, *(link.code for link in missing.reason.chain)] == [
        ReasonCode.GANG_TOO_WIDE, ReasonCode.MAX_RESOURCES,
    ]  # fmt: skip


def test_a_limit_that_is_lowered_makes_the_least_used_machines_that_have_it_leave() -> None:
    have = [
        claim("c1", "cpu4", used={"CPU": 4}),
        claim("g1", "gpu", used={"GPU": 2}),
        claim("g2", "gpu", used={"GPU": 1}),
        claim("g3", "gpu", Phase.BOOTING),
    ]
    result = planned(CPU4, GPU, *have, max_resources=most(GPU=2))
    assert leaving(result) == {"g3": ReasonCode.OVER_RESOURCES, "g2": ReasonCode.OVER_RESOURCES}
    assert result.drains[0].reason.text == "machines have 6 GPU, 2 are allowed"


def test_multi_host_replicas_are_never_split_by_it() -> None:
    pair = pool("pair", 1.0, CPU=4, hosts_per_replica=2)
    assert launched(planned(pair, tasks(16, CPU=1), max_resources=most(CPU=15))) == {"pair": 2}


@pytest.mark.parametrize(("value", "units"), [("16", 16), ("0", 0), ("1.5", 1.5), ("2Gi", 2 * 2**30)])
def test_it_is_changed_at_run_time(value: str, units: float) -> None:
    order = (Order("o", OrderKind.SET, "max_resources:GPU", value),)
    assert effective_policy(snapshot(GPU, orders=order)).max_resources == most(GPU=units)
    gone = (Order("o", OrderKind.SET, "max_resources:GPU", "null"),)
    assert effective_policy(snapshot(GPU, max_resources=most(GPU=1), orders=gone)).max_resources == {}


# ---- the money of a day ----------------------------------------------------------------------------------------------


def at_hour(hour: float, *parts: object, **fields: object) -> Plan:
    return planned(*parts, now=hour * HOUR_S, **fields)  # type: ignore[arg-type]  # as `planned` takes them


@pytest.mark.parametrize(
    ("hour", "spent", "machines"),
    [
        (0, 0.0, 2),  # 48 USD for 24 hours
        (12, 0.0, 4),
        (12, 24.0, 2),
        (12, 36.0, 1),
        (12, 36.1, 0),
        (23, 44.5, 3),
    ],
)
def test_machines_are_launched_when_todays_money_is_enough_until_midnight(
    hour: float, spent: float, machines: int
) -> None:
    result = at_hour(hour, CPU4, tasks(20, CPU=1), max_usd_per_day=48.0, spent_today_usd=spent)
    assert sum(launched(result).values()) == machines
    assert unmet(result) == [("tasks", 0, 20 - 4 * machines, ReasonCode.DAY_BUDGET)]


def test_the_reason_says_what_was_spent() -> None:
    result = at_hour(12, CPU4, tasks(1, CPU=1), max_usd_per_day=48.0, spent_today_usd=40.0)
    assert result.unmet[0].reason.text == "would cost more than 48.00 USD today, of which 40.00 are spent"


def test_what_runs_is_paid_for_first() -> None:
    busy = [claim(f"m{n}", "cpu4", used={"CPU": 4}) for n in range(3)]
    result = at_hour(12, CPU4, *busy, tasks(8, CPU=1), max_usd_per_day=48.0)
    assert launched(result) == {"cpu4": 1}


def test_money_is_counted_from_what_was_written_down() -> None:
    busy = [claim(f"m{n}", "cpu4", used={"CPU": 4}) for n in range(2)]
    result = at_hour(12, CPU4, *busy, spent_today_usd=5.0, spent_at=9 * HOUR_S)
    assert result.spent == Spent(11.0, 12 * HOUR_S)


def test_at_midnight_it_begins_anew() -> None:
    busy = claim("m1", "cpu4", used={"CPU": 4})
    result = at_hour(24.5, CPU4, busy, spent_today_usd=100.0, spent_at=23 * HOUR_S)
    assert result.spent == Spent(0.5, 24.5 * HOUR_S)


def test_a_clock_that_was_set_back_takes_no_money_back() -> None:
    busy = claim("m1", "cpu4", used={"CPU": 4})
    assert at_hour(10, CPU4, busy, spent_today_usd=7.0, spent_at=11 * HOUR_S).spent == Spent(7.0, 10 * HOUR_S)


def test_nothing_is_ended_for_what_it_will_cost_but_when_the_money_is_gone() -> None:
    parts = (CPU4, pool("free", CPU=4), claim("m1", "cpu4", used={"CPU": 4}), claim("f1", "free", used={"CPU": 1}))
    dear = at_hour(1, *parts, max_usd_per_day=10.0, spent_today_usd=9.99)
    assert leaving(dear) == {}
    gone = at_hour(1, *parts, max_usd_per_day=10.0, spent_today_usd=10.0)
    assert leaving(gone) == {"m1": ReasonCode.OVER_DAY_BUDGET}
    assert gone.drains[0].reason.text == "10.00 USD were spent today, 10.00 are allowed"


def test_machines_without_a_price_do_not_count() -> None:
    free = pool("free", CPU=4)
    assert launched(at_hour(1, free, tasks(4, CPU=1), max_usd_per_day=0.0)) == {"free": 1}


def test_the_tighter_of_hour_and_day_holds() -> None:
    assert launched(at_hour(12, CPU4, tasks(20, CPU=1), max_usd_per_day=48.0, max_usd_per_hour=3.0)) == {"cpu4": 3}
    assert launched(at_hour(12, CPU4, tasks(20, CPU=1), max_usd_per_day=48.0, max_usd_per_hour=9.0)) == {"cpu4": 4}


# ---- launches per minute ---------------------------------------------------------------------------------------------


def test_no_more_is_launched_within_a_minute_than_allowed() -> None:
    of = snapshot(CPU4, tasks(40, CPU=1), max_launches_per_min=4)
    first = plan(of)
    assert launched(first) == {"cpu4": 4}
    assert unmet(first) == [("tasks", 0, 24, ReasonCode.LAUNCH_RATE)]
    assert first.unmet[0].reason.text == "4 machines were launched within a minute, 4 are allowed"
    soon = plan(carried_out(of, first, later_s=59.0))
    assert launched(soon) == {}
    later = plan(carried_out(of, first, later_s=60.0))
    assert launched(later) == {"cpu4": 4}


def test_launches_that_failed_within_the_minute_count_as_well() -> None:
    parts = (CPU4, tasks(40, CPU=1))
    assert launched(planned(*parts, max_launches_per_min=4, launched_last_min=3)) == {"cpu4": 1}
    young = claim("m1", "cpu4", Phase.REQUESTED, created=990.0)
    assert launched(planned(*parts, young, max_launches_per_min=4, launched_last_min=1)) == {"cpu4": 3}


def test_all_pools_share_it_and_minimums_keep_to_it() -> None:
    result = planned(CPU4, GPU, tasks(8, GPU=1), tasks(40, CPU=1), max_launches_per_min=5)
    assert sum(launched(result).values()) == 5
    least = planned(pool("cpu4", CPU=4, min_workers=9), max_launches_per_min=5)
    assert (launched(least), found(least)) == ({"cpu4": 5}, [("cpu4", ReasonCode.MIN_WORKERS)])


def test_it_turns_nothing_into_dearer_machines() -> None:
    dear = pool("dear", 3.0, CPU=16)
    result = planned(CPU4, dear, tasks(16, CPU=1), max_launches_per_min=1)
    assert launched(result) == {"dear": 1} or launched(result) == {"cpu4": 1}
    assert len(result.launches) == 1


def test_a_gang_that_is_larger_is_launched_whole_when_any_may_be() -> None:
    wide = gang("STRICT_SPREAD", *({"CPU": 1} for _ in range(6)))
    assert launched(planned(CPU4, wide, max_launches_per_min=2)) == {"cpu4": 6}
    late = planned(CPU4, wide, max_launches_per_min=2, launched_last_min=2)
    assert (launched(late), unmet(late)) == ({}, [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)])
    assert ReasonCode.LAUNCH_RATE in {link.code for link in late.unmet[0].reason.chain}


def test_of_several_gangs_only_one_may_overshoot() -> None:
    four = gang("PACK", *({"CPU": 4} for _ in range(4)), count=3)
    result = planned(CPU4, four, max_launches_per_min=5)
    assert launched(result) == {"cpu4": 8}
    assert unmet(result) == [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)]


def test_gangs_may_use_the_rate_up_to_the_last_launch() -> None:
    pair = gang("PACK", {"CPU": 4}, {"CPU": 4}, count=3)
    assert launched(planned(CPU4, pair, max_launches_per_min=4)) == {"cpu4": 4}


def test_the_head_is_free() -> None:
    head = pool("head", CPU=0)
    assert sum(launched(planned(CPU4, head=head, max_launches_per_min=0)).values()) == 1


def test_money_and_rate_are_changed_at_run_time() -> None:
    orders = (
        Order("a", OrderKind.SET, "max_usd_per_day", "12.5"),
        Order("b", OrderKind.SET, "max_launches_per_min", "7"),
    )
    policy = effective_policy(snapshot(CPU4, orders=orders))
    assert (policy.max_usd_per_day, policy.max_launches_per_min) == (12.5, 7)


def test_resources_of_a_claim_whose_pool_is_gone_count_nothing() -> None:
    result = planned(CPU4, claim("x", "gone", Phase.DRAINING), tasks(4, CPU=1), max_resources=most(CPU=4))
    assert launched(result) == {"cpu4": 1}
    assert Resources.of({"CPU": 4}).fits(CPU4.resources)


# ---- limits that do not apply ----------------------------------------------------------------------------------------

FREE = pool("free", CPU=4)


def named(of: Plan) -> list[ReasonCode]:
    """Return every limit that the first unmet demand names, pool by pool."""
    (first, *_) = of.unmet
    return [code for verdict in first.pools for code in [verdict.reason.code, *(x.code for x in verdict.reason.chain)]]


def test_a_machine_without_a_resource_uses_none_of_it_up() -> None:
    """The first machine is that of the minimum; the last of the resource is left for the second."""
    least = pool("cpu4", 1.0, CPU=4, min_workers=1)
    result = planned(least, GPU, tasks(1, GPU=2), max_resources=most(GPU=2))
    assert (launched(result), unmet(result)) == ({"cpu4": 1, "gpu": 1}, [])


def test_a_machine_without_a_price_uses_no_money_up() -> None:
    least = pool("free", CPU=1, min_workers=2)
    result = planned(least, CPU4, tasks(4, CPU=1, memory=0), tasks(1, CPU=4), max_usd_per_hour=1.0)
    assert launched(result)["cpu4"] == 1


@pytest.mark.parametrize(
    "limits",
    [{"max_usd_per_day": 0.0}, {"max_usd_per_hour": 0.0}, {"max_resources": most(GPU=0)}],
    ids=["money of the day", "money of an hour", "a resource"],
)
def test_only_limits_that_concern_a_machine_are_named(limits: dict[str, Any]) -> None:
    result = planned(FREE, tasks(1, CPU=1), max_workers=0, **limits)
    assert named(result) == [ReasonCode.MAX_WORKERS]


def test_what_is_left_of_the_speed_or_of_the_rate_is_not_named_as_missing() -> None:
    four = [claim(f"m{n}", "free", Phase.BOOTING, used={"CPU": 4}) for n in range(4)]
    one_more = planned(FREE, *four, tasks(1, CPU=4), max_workers=4, upscaling_speed=1.0)
    assert named(one_more) == [ReasonCode.MAX_WORKERS]
    wide = gang("STRICT_SPREAD", {"CPU": 4}, {"CPU": 4})
    too_wide = planned(FREE, wide, max_workers=1, max_launches_per_min=1)
    assert ReasonCode.LAUNCH_RATE not in {link.code for link in too_wide.unmet[0].reason.chain}
    assert ReasonCode.LAUNCH_RATE not in named(too_wide)


@pytest.mark.parametrize(
    ("starting", "speed", "more"), [(0, 6.0, 5), (0, 1.0, 5), (3, 1.0, 2), (5, 1.0, 0), (7, 1.0, 0)]
)
def test_five_may_be_starting_where_none_is_ready_whatever_the_speed(starting: int, speed: float, more: int) -> None:
    have = [claim(f"m{n}", "free", Phase.BOOTING) for n in range(starting)]
    assert launched(planned(FREE, *have, tasks(100, CPU=1), upscaling_speed=speed)).get("free", 0) == more


def test_money_that_a_machine_on_its_way_has_used_up_is_not_spent_twice() -> None:
    """Nobody needs that machine any more, but it is there until it is gone."""
    gpu = pool("gpu", 1.0, CPU=4, GPU=1)
    result = planned(CPU4, gpu, claim("m1", "cpu4", Phase.BOOTING), tasks(1, GPU=1), max_usd_per_hour=1.0)
    assert (launched(result), unmet(result)) == ({}, [("tasks", 0, 1, ReasonCode.BUDGET)])


def test_every_host_of_a_replica_is_paid_for() -> None:
    pair = pool("pair", 1.0, CPU=4, hosts_per_replica=2, max_workers=2)
    busy = claim("r", "pair", hosts=2, used={"CPU": 4})
    assert launched(planned(CPU4, pair, busy, tasks(20, CPU=1), max_usd_per_hour=4.5)) == {"cpu4": 2}
