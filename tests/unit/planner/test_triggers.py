"""When machines are launched: enough work that waits, for long enough, and targets of utilisation; exact counts."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import launched, leaving, placed, planned, unmet

from rayfleet.model import FrozenMap, Order, OrderKind, PendingThreshold, Phase, Plan, ReasonCode, TaskDemand
from rayfleet.planner import plan
from rayfleet.planner.orders import effective_policy
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import buffer, claim, gang, pool, requested, snapshot, tasks

CPU4 = pool("cpu4", 1.0, CPU=4)
TEN = PendingThreshold(count=10)


def aged(count: int, age_s: float) -> TaskDemand:
    return replace(tasks(count, CPU=1), age_s=age_s)


# ---- pending work ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waiting", "machines"), [(9, {}), (10, {"cpu4": 3}), (11, {"cpu4": 3})])
def test_nothing_is_launched_until_enough_tasks_wait(waiting: int, machines: dict[str, int]) -> None:
    result = planned(CPU4, tasks(waiting, CPU=1), scale_up_pending_threshold=TEN)
    assert launched(result) == machines


def test_what_is_held_back_is_unmet_and_says_why() -> None:
    result = planned(CPU4, aged(9, 4.0), scale_up_pending_threshold=PendingThreshold(10, 30.0))
    assert unmet(result) == [("tasks", 0, 9, ReasonCode.PENDING_THRESHOLD)]
    assert result.unmet[0].reason.text == "9 tasks wait, one for 4 s: machines are launched at 10,30s"


@pytest.mark.parametrize(
    ("threshold", "count", "age_s", "launches"),
    [
        (PendingThreshold(age_s=30.0), 1, 29.9, False),
        (PendingThreshold(age_s=30.0), 1, 30.0, True),
        (PendingThreshold(age_s=30.0), 1000, 1.0, False),
        (PendingThreshold(10, 30.0), 1, 30.0, True),  # either suffices
        (PendingThreshold(10, 30.0), 10, 0.0, True),
        (PendingThreshold(10, 30.0), 9, 29.0, False),
    ],
)
def test_an_age_triggers_as_well(threshold: PendingThreshold, count: int, age_s: float, launches: bool) -> None:
    assert bool(planned(CPU4, aged(count, age_s), scale_up_pending_threshold=threshold).launches) is launches


def test_tasks_of_all_shapes_are_counted_together() -> None:
    many = (tasks(4, CPU=1), tasks(4, CPU=2), tasks(2, CPU=1))
    assert launched(planned(CPU4, *many, scale_up_pending_threshold=TEN)) == {"cpu4": 4}


def test_what_existing_and_starting_machines_take_does_not_wait() -> None:
    have = [claim("m1", "cpu4", used={"CPU": 2}), claim("m2", "cpu4", Phase.BOOTING)]
    result = planned(CPU4, *have, tasks(15, CPU=1), scale_up_pending_threshold=TEN)
    assert (launched(result), placed(result)) == ({}, {"m1": 2, "m2": 4})
    assert unmet(result) == [("tasks", 0, 9, ReasonCode.PENDING_THRESHOLD)]
    assert launched(planned(CPU4, *have, tasks(16, CPU=1), scale_up_pending_threshold=TEN)) == {"cpu4": 3}


def test_what_fits_nowhere_triggers_nothing() -> None:
    result = planned(CPU4, tasks(20, CPU=5), tasks(1, CPU=1), scale_up_pending_threshold=TEN)
    assert launched(result) == {}
    assert unmet(result) == [
        ("tasks", 0, 20, ReasonCode.NO_POOL_FITS),
        ("tasks", 1, 1, ReasonCode.PENDING_THRESHOLD),
    ]


def test_gangs_requested_resources_minimums_and_buffers_are_not_held_back() -> None:
    keeps = pool("cpu4", 1.0, CPU=4, min_workers=1)
    for part in (gang("PACK", {"CPU": 4}), requested(4, CPU=1)):
        assert launched(planned(CPU4, part, scale_up_pending_threshold=TEN)) == {"cpu4": 1}
    assert launched(planned(keeps, scale_up_pending_threshold=TEN)) == {"cpu4": 1}
    assert launched(planned(CPU4, buffers=(buffer(1, CPU=1),), scale_up_pending_threshold=TEN)) == {"cpu4": 1}


def test_with_a_threshold_that_is_reached_the_plan_is_the_same_as_without() -> None:
    alternatives = tasks(12, {"tier": "a"}, {}, CPU=1)
    pools = (pool("a", 2.0, CPU=4, labels={"tier": "a"}), CPU4)
    of = snapshot(*pools, claim("m1", "cpu4"), alternatives)
    held = snapshot(*pools, claim("m1", "cpu4"), alternatives, scale_up_pending_threshold=PendingThreshold(1))
    assert plan(held) == plan(of)


@pytest.mark.parametrize(
    ("value", "threshold"),
    [
        ("10", PendingThreshold(10)),
        ("30s", PendingThreshold(None, 30.0)),
        ("10, 30s", PendingThreshold(10, 30.0)),
        ("null", None),
        ("0", None),
    ],
)
def test_it_is_changed_at_run_time(value: str, threshold: PendingThreshold | None) -> None:
    order = (Order("o", OrderKind.SET, "scale_up_pending_threshold", value),)
    of = snapshot(CPU4, scale_up_pending_threshold=PendingThreshold(5), orders=order)
    assert effective_policy(of).scale_up_pending_threshold == threshold


# ---- utilisation -----------------------------------------------------------------------------------------------------


def busy(count: int, used: float = 4) -> list[object]:
    return [claim(f"m{n}", "cpu4", used={"CPU": used}) for n in range(count)]


def target(share: float, *parts: object, **fields: object) -> Plan:
    targets = FrozenMap({"CPU": share})
    return planned(CPU4, *parts, scale_up_utilization=targets, **fields)  # type: ignore[arg-type]  # as `planned` takes


@pytest.mark.parametrize(
    ("share", "machines", "new"),
    [
        (0.8, 4, 1),  # 16 of 16 in use: 20 are needed
        (0.8, 8, 2),
        (0.8, 9, 3),  # 36 in use: 45
        (0.5, 4, 4),
        (1.0, 4, 0),
    ],
)
def test_machines_are_launched_until_the_use_is_at_its_target(share: float, machines: int, new: int) -> None:
    result = target(share, *busy(machines))
    assert sum(launched(result).values()) == new
    total, used = 4 * (machines + new), 4 * machines
    assert used / total <= share


def test_nothing_is_launched_while_the_use_is_at_or_below_the_target() -> None:
    assert launched(target(0.75, *busy(4, 3))) == {}
    assert launched(target(0.74, *busy(4, 3))) == {"cpu4": 1}
    assert launched(target(0.5)) == {}


def test_waiting_tasks_count_as_use_so_that_one_plan_is_enough() -> None:
    of = snapshot(CPU4, tasks(16, CPU=1), scale_up_utilization=FrozenMap({"CPU": 0.8}))
    first = plan(of)
    assert launched(first) == {"cpu4": 5}
    assert first.launches[0].reason.text == (
        "16 tasks wait for machines; 4 pieces of room keep the use at or below its target (CPU 80%)"
    )
    second = plan(carried_out(of, first))
    assert (launched(second), leaving(second)) == ({}, {})


def test_the_headroom_is_not_released_for_being_idle_and_what_is_beyond_is() -> None:
    idle = [claim(f"i{n}", "cpu4", idle_s=99.0) for n in range(3)]
    assert len(leaving(target(0.8, *busy(4), *idle))) == 2


def test_what_buffers_keep_free_counts() -> None:
    assert launched(target(0.8, *busy(4), buffers=(buffer(3, CPU=1),))) == {"cpu4": 1}
    assert launched(target(0.8, *busy(4), buffers=(buffer(8, CPU=1),))) == {"cpu4": 2}


def test_limits_hold_and_what_is_missing_is_told() -> None:
    result = target(0.5, *busy(4), max_workers=5)
    assert unmet(result) == [("buffer", 0, 12, ReasonCode.MAX_WORKERS)]
    assert [ahead.name for ahead in result.ahead] == ["CPU 50%"]


def test_memory_is_counted_in_whole_gib() -> None:
    big = pool("big", 1.0, CPU=8, memory=16 * 2**30)
    used = claim("m1", "big", used={"memory": 15 * 2**30})
    result = planned(big, used, scale_up_utilization=FrozenMap({"memory": 0.75}))
    assert [(ahead.name, ahead.count) for ahead in result.ahead] == [("memory 75%", 5)]
    assert launched(result) == {"big": 1}


@pytest.mark.parametrize(("value", "share"), [("0.5", {"CPU": 0.5}), ("null", {})])
def test_a_target_is_changed_at_run_time(value: str, share: dict[str, float]) -> None:
    order = (Order("o", OrderKind.SET, "scale_up_utilization:CPU", value),)
    of = snapshot(CPU4, scale_up_utilization=FrozenMap({"CPU": 0.8}), orders=order)
    assert effective_policy(of).scale_up_utilization == share


@pytest.mark.parametrize(
    ("key", "value"),
    [("scale_up_utilization:CPU", "0"), ("scale_up_utilization:CPU", "1.5"), ("scale_up_utilization", "0.5"),
     ("scale_up_pending_threshold", "-3"), ("scale_up_pending_threshold", "soon")],
)  # fmt: skip
def test_nonsense_is_answered(key: str, value: str) -> None:
    result = planned(CPU4, orders=(Order("o", OrderKind.SET, key, value),))
    assert (result.answered, [f.reason.code for f in result.findings]) == (("o",), [ReasonCode.BAD_ORDER])


def test_when_nothing_waits_nothing_is_held_back() -> None:
    """All of it fits, or there is none of it."""
    for wanted in (tasks(4, CPU=1), tasks(0, CPU=1)):
        result = planned(CPU4, claim("m1", "cpu4"), wanted, scale_up_pending_threshold=TEN)
        assert (launched(result), unmet(result)) == ({}, [])


def test_tasks_with_and_without_alternatives_wait_together() -> None:
    few = (tasks(4, {"tier": "a"}, {}, CPU=1), tasks(5, CPU=2))
    pools = (pool("a", 2.0, CPU=4, labels={"tier": "a"}), CPU4)
    held = planned(*pools, claim("m1", "cpu4"), *few, scale_up_pending_threshold=TEN)
    assert launched(held) == {}
    # Two of the large ones fit: three and the four small ones are seven, of which ten are asked.
    assert unmet(held)[0][3] is ReasonCode.PENDING_THRESHOLD
    assert sum(count for _, _, count, _ in unmet(held)) == 7
