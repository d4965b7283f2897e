"""Buffers: room that is kept free, of the lowest rank; counts are exact."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import kept, launched, leaving, placed, planned, unmet

from rayfleet.model import (
    Backoff,
    Expected,
    NodeFact,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Plan,
    ReasonCode,
    Resources,
    Schedule,
    Trouble,
    Window,
)
from rayfleet.planner import plan
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, snapshot, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)
GPU = pool("gpu", 10.0, CPU=8, GPU=1)


def wanted(of: Plan) -> list[tuple[str, int]]:
    return [(ahead.name, ahead.count) for ahead in of.ahead]


# ---- how much --------------------------------------------------------------------------------------------------------


def test_a_buffer_is_launched_when_nothing_is_free() -> None:
    result = planned(CPU4, buffers=(buffer(6, CPU=1),))
    assert launched(result) == {"cpu4": 2}
    assert result.launches[0].reason.text == "6 pieces of room are kept free (spare)"
    assert wanted(result) == [("spare", 6)]


def test_it_is_served_from_what_is_free_first() -> None:
    used = claim("m1", "cpu4", used={"CPU": 1})
    result = planned(CPU4, used, buffers=(buffer(6, CPU=1),))
    assert launched(result) == {"cpu4": 1}
    assert placed(result) == {"m1": 3, "new:0": 3}
    assert launched(planned(CPU4, used, buffers=(buffer(3, CPU=1),))) == {}


def test_demand_comes_first_and_the_buffer_is_beyond_it() -> None:
    free = claim("m1", "cpu4", idle_s=500.0)
    result = planned(CPU4, free, tasks(4, CPU=1), buffers=(buffer(1, CPU=1),))
    assert {(p.kind.value, p.on) for p in result.placements} == {("tasks", "m1"), ("buffer", "new:0")}
    assert launched(result) == {"cpu4": 1}


def test_room_for_demand_and_buffer_together_is_found_on_one_machine() -> None:
    assert launched(planned(CPU4, tasks(3, CPU=1), buffers=(buffer(1, CPU=1),))) == {"cpu4": 1}


def test_requested_resources_are_about_totals_and_leave_room_for_the_buffer() -> None:
    assert launched(planned(CPU4, requested(4, CPU=1), buffers=(buffer(4, CPU=1),))) == {"cpu4": 1}


@pytest.mark.parametrize(
    ("percent", "used", "count"),
    [(50, 4, 2), (25, 4, 1), (20, 4, 1), (10, 40, 4), (30, 10, 3), (0, 4, 0), (100, 0, 0), (33.3, 3, 1)],
)
def test_a_percentage_is_of_what_is_in_use_rounded_up(percent: float, used: int, count: int) -> None:
    machines = [claim(f"m{n}", "cpu4", used={"CPU": min(4, used - 4 * n)}) for n in range((used + 3) // 4)]
    assert wanted(planned(CPU4, *machines, buffers=(buffer(percent=percent, CPU=1),))) == [("spare", count)]


def test_a_percentage_counts_what_this_plan_places_too() -> None:
    """Else the next plan would launch again, for what this one has launched."""
    of = snapshot(CPU4, tasks(8, CPU=1), gang("PACK", {"CPU": 2}), buffers=(buffer(percent=40, CPU=1),))
    result = plan(of)
    assert wanted(result) == [("spare", 4)]
    assert launched(result) == {"cpu4": 4}
    again = plan(carried_out(of, result))
    assert (wanted(again), launched(again), leaving(again)) == ([("spare", 4)], {}, {})


def test_a_percentage_is_of_the_resource_that_is_used_most() -> None:
    big = pool("big", 1.0, CPU=8, memory=8e9)
    used = claim("m1", "big", used={"CPU": 2, "memory": 6e9})
    assert wanted(planned(big, used, buffers=(buffer(percent=50, CPU=1, memory=1e9),))) == [("spare", 3)]


def test_a_percentage_with_selectors_is_of_the_machines_that_are_meant() -> None:
    web, batch = (pool(name, 1.0, CPU=4, labels={"tier": name}) for name in ("web", "batch"))
    have = [claim("w1", "web", used={"CPU": 4}), claim("b1", "batch", used={"CPU": 4})]
    spare = buffer(0, {"tier": "web"}, percent=50, CPU=1)
    result = planned(web, batch, *have, tasks(2, {"tier": "web"}, CPU=1), buffers=(spare,))
    assert wanted(result) == [("spare", 3)]
    assert launched(result) == {"web": 2}


def test_of_count_and_percentage_the_larger_holds() -> None:
    used = claim("m1", "cpu4", used={"CPU": 4})
    assert wanted(planned(CPU4, used, buffers=(buffer(1, percent=50, CPU=1),))) == [("spare", 2)]
    assert wanted(planned(CPU4, used, buffers=(buffer(3, percent=50, CPU=1),))) == [("spare", 3)]


def test_several_buffers_add_up() -> None:
    both = (buffer(2, CPU=2, name="a"), buffer(3, CPU=1, name="b"))
    result = planned(CPU4, buffers=both)
    assert launched(result) == {"cpu4": 2}
    assert result.launches[0].reason.text == "5 pieces of room are kept free (a, b)"


def test_alternatives_of_a_buffer_are_tried_in_order() -> None:
    web = pool("web", 2.0, CPU=4, max_workers=1, labels={"tier": "web"})
    result = planned(web, CPU4, buffers=(buffer(6, {"tier": "web"}, {}, CPU=1),))
    assert launched(result) == {"web": 1, "cpu4": 1}


# ---- what it keeps ---------------------------------------------------------------------------------------------------


def test_what_is_beyond_the_buffer_follows_the_idle_rules() -> None:
    have = [claim(f"m{n}", "cpu4", idle_s=70.0 + n) for n in range(3)]
    result = planned(CPU4, *have, buffers=(buffer(5, CPU=1),))
    assert (len(leaving(result)), set(leaving(result).values())) == (1, {ReasonCode.IDLE})
    stays = [k.reason.text for k in result.kept]
    assert stays == ["kept for buffer"] * 2


def test_a_buffer_makes_nothing_leave_and_moves_no_work() -> None:
    busy = [claim(f"m{n}", "cpu4", used={"CPU": 4}) for n in range(3)]
    result = planned(CPU4, *busy, max_workers=3, buffers=(buffer(4, CPU=1),))
    assert leaving(result) == {}
    assert unmet(result) == [("buffer", 0, 4, ReasonCode.MAX_WORKERS)]


def test_a_starting_machine_serves_a_buffer_and_is_not_cancelled() -> None:
    result = planned(CPU4, claim("m1", "cpu4", Phase.BOOTING), buffers=(buffer(4, CPU=1),))
    assert (launched(result), leaving(result), kept(result)) == ({}, {}, {"m1": ReasonCode.NEEDED})


def test_machines_in_use_are_filled_before_idle_ones_are_held() -> None:
    have = [claim("idle", "cpu4", idle_s=99.0), claim("used", "cpu4", used={"CPU": 2})]
    result = planned(CPU4, *have, buffers=(buffer(2, CPU=1),))
    assert (placed(result), leaving(result)) == ({"used": 2}, {"idle": ReasonCode.IDLE})


def test_a_small_buffer_does_not_hold_an_idle_accelerator() -> None:
    idle = claim("g1", "gpu", idle_s=99.0)
    result = planned(CPU4, GPU, idle, buffers=(buffer(1, CPU=1),))
    assert (launched(result), leaving(result)) == ({"cpu4": 1}, {"g1": ReasonCode.IDLE})
    # unless nothing else would do, or the machine stays anyway, or it is in use
    assert leaving(planned(GPU, idle, buffers=(buffer(1, CPU=1),), max_workers=1)) == {}
    keeps = pool("gpu", 10.0, CPU=8, GPU=1, min_workers=1)
    assert launched(planned(CPU4, keeps, idle, buffers=(buffer(1, CPU=1),))) == {}
    busy = claim("g1", "gpu", used={"GPU": 1})
    assert launched(planned(CPU4, GPU, busy, buffers=(buffer(1, CPU=1),))) == {}


def test_a_small_buffer_goes_to_the_accelerator_that_a_minimum_has_made_anyway() -> None:
    least, other = pool("least", 10.0, CPU=8, GPU=1, min_workers=1), claim("g1", "gpu", idle_s=99.0)
    result = planned(CPU4, GPU, least, other, buffers=(buffer(1, CPU=1),))
    assert (launched(result), placed(result), leaving(result)) == ({"least": 1}, {"new:0": 1}, {"g1": ReasonCode.IDLE})


def test_a_buffer_of_accelerators_keeps_one() -> None:
    idle = claim("g1", "gpu", idle_s=99.0)
    result = planned(CPU4, GPU, idle, buffers=(buffer(1, GPU=1),))
    assert (launched(result), leaving(result)) == ({}, {})


def test_a_buffer_that_only_accelerated_machines_can_hold_launches_one_once() -> None:
    of = snapshot(GPU, buffers=(buffer(1, CPU=0.5),))
    first = plan(of)
    assert launched(first) == {"gpu": 1}
    starting = replace(of, claims=first.claims, serial=first.serial, now=of.now + 3)
    again = plan(starting)
    assert (launched(again), leaving(again)) == ({}, {})


def test_buffers_with_and_without_accelerators_go_to_different_machines() -> None:
    both = (buffer(2, CPU=1, name="c"), buffer(1, GPU=1, name="g"))
    assert launched(planned(CPU4, GPU, claim("g1", "gpu", idle_s=99.0), buffers=both)) == {}
    two = [claim(f"g{n}", "gpu", idle_s=99.0) for n in range(2)]
    result = planned(CPU4, GPU, *two, buffers=both)
    assert (launched(result), len(leaving(result))) == ({}, 1)


# ---- what it lacks ---------------------------------------------------------------------------------------------------


def test_every_limit_holds_for_buffers() -> None:
    assert unmet(planned(CPU4, max_workers=1, buffers=(buffer(6, CPU=1),))) == [
        ("buffer", 0, 2, ReasonCode.MAX_WORKERS)
    ]
    assert unmet(planned(CPU4, max_usd_per_hour=1.5, buffers=(buffer(6, CPU=1),))) == [
        ("buffer", 0, 2, ReasonCode.BUDGET)
    ]
    fast = planned(CPU4, upscaling_speed=1.0, buffers=(buffer(24, CPU=1),))
    assert (launched(fast), unmet(fast)) == ({"cpu4": 5}, [("buffer", 0, 4, ReasonCode.UPSCALING_SPEED)])
    waits = (Backoff(OfferKey("cpu4"), 1200.0, Trouble.OUT_OF_STOCK),)
    assert unmet(planned(CPU4, backoffs=waits, buffers=(buffer(1, CPU=1),))) == [
        ("buffer", 0, 1, ReasonCode.BACKED_OFF)
    ]


def test_a_buffer_that_fits_nowhere_is_told_with_every_pool() -> None:
    result = planned(CPU4, buffers=(buffer(1, CPU=5),))
    assert unmet(result) == [("buffer", 0, 1, ReasonCode.NO_POOL_FITS)]
    assert [(v.pool, v.reason.code) for v in result.unmet[0].pools] == [("cpu4", ReasonCode.TOO_SMALL)]


def test_under_a_limit_demand_is_served_before_buffers() -> None:
    result = planned(CPU4, tasks(4, CPU=1), max_workers=1, buffers=(buffer(4, CPU=1),))
    assert unmet(result) == [("buffer", 0, 4, ReasonCode.MAX_WORKERS)]


def test_while_nothing_may_be_scaled_nothing_is_kept_free() -> None:
    result = planned(CPU4, engine_up=False, buffers=(buffer(1, CPU=1),))
    assert (launched(result), wanted(result), unmet(result)) == ({}, [], [])


def test_a_node_that_has_not_reported_yet_serves_a_buffer() -> None:
    here = claim("m1", "cpu4", node=NodeFact.ABSENT, unseen_since=999.0)
    assert launched(planned(CPU4, here, buffers=(buffer(4, CPU=1),))) == {}


# ---- changed at run time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "count"), [("8", 8), ("50%", 2), ("null", 0)])
def test_people_may_change_its_size(value: str, count: int) -> None:
    busy = claim("m1", "cpu4", used={"CPU": 4})
    order = (Order("o", OrderKind.SET, "buffer:spare", value),)
    result = planned(CPU4, busy, buffers=(buffer(3, CPU=1),), orders=order)
    assert (wanted(result), len(result.orders)) == ([("spare", count)], 1)


@pytest.mark.parametrize(
    ("target", "value", "why"),
    [
        ("buffer:other", "1", "there is no buffer 'other'; there is spare"),
        (
            "buffer:spare",
            "many",
            "buffer:spare cannot be 'many'; it is a number of pieces, or a percentage",
        ),
        ("buffer:spare", "-1", "-1 is not a number of machines from 0 to 100,000"),
        ("buffer:spare", "99999%", "99999% is more than 10000%"),
        ("puffer:spare", "1", "'puffer:spare' cannot be set"),
    ],
)
def test_an_order_about_it_that_makes_no_sense_is_answered(target: str, value: str, why: str) -> None:
    result = planned(CPU4, buffers=(buffer(1, CPU=1),), orders=(Order("o", OrderKind.SET, target, value),))
    assert result.answered == ("o",)
    assert why in result.findings[0].reason.text
    assert wanted(result) == [("spare", 1)]


def test_an_order_about_a_buffer_of_a_closed_schedule_stands() -> None:
    night = Schedule("night", Window("0 23 * * *", 3600.0), buffers=(buffer(1, CPU=1, name="rush"),))
    order = (Order("o", OrderKind.SET, "buffer:rush", "8"),)
    closed = planned(CPU4, schedules=(night,), orders=order)
    assert (wanted(closed), closed.answered, closed.findings) == ([], (), ())
    assert wanted(planned(CPU4, schedules=(night,), orders=order, now=23.5 * 3600)) == [("rush", 8)]


# ---- forecasts -------------------------------------------------------------------------------------------------------


def soon(count: int, error_percent: float | None = None) -> tuple[Expected, ...]:
    return (Expected("CPU", Resources.of({"CPU": 1}), count, error_percent=error_percent),)


def test_what_is_expected_is_made_room_for_as_far_as_it_is_not_there() -> None:
    busy = claim("m1", "cpu4", used={"CPU": 4})
    result = planned(CPU4, busy, tasks(2, CPU=1), expected=soon(16, 12.5))
    assert wanted(result) == [("CPU, 12.5% off on average", 10)]
    assert launched(result) == {"cpu4": 3}
    assert result.launches[0].reason.chain[0].text == (
        "10 pieces of room are for what is expected soon (CPU, 12.5% off on average)"
    )


def test_what_is_expected_and_there_already_asks_for_nothing() -> None:
    busy = claim("m1", "cpu4", used={"CPU": 4})
    assert wanted(planned(CPU4, busy, expected=soon(4))) == [("CPU", 0)]


def test_buffers_are_beyond_what_is_expected() -> None:
    result = planned(CPU4, expected=soon(4), buffers=(buffer(4, CPU=1),))
    assert (wanted(result), launched(result)) == ([("CPU", 4), ("spare", 4)], {"cpu4": 2})
