"""Schedules: what a cron window changes while it is open."""

from datetime import UTC, datetime

import pytest
from tests.unit.planner.looking import launched, leaving, planned

from rayfleet.loop.deadlines import next_deadline
from rayfleet.model import Order, OrderKind, Plan, Policy, ReasonCode, Schedule, Window
from rayfleet.planner.orders import effective_policy
from rayfleet.planner.schedules import next_schedule_change
from rayfleet.testing.snapshots import buffer, claim, pool, snapshot

DAY = Window("0 8 * * MON-FRI", 10 * 3600.0)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()  # a Monday
NIGHT = datetime(2026, 3, 2, 22, tzinfo=UTC).timestamp()
CPU4 = pool("cpu4", 1.0, CPU=4)


def scheduled(**changes: object) -> tuple[Schedule, ...]:
    return (Schedule("day", DAY, **changes),)  # type: ignore[arg-type]  # as Schedule takes them


def at(now: float, *parts: object, **fields: object) -> Plan:
    return planned(*parts, now=now, **fields)  # type: ignore[arg-type]  # as `planned` takes them


@pytest.mark.parametrize(("now", "count"), [(NOON, {"cpu4": 3}), (NIGHT, {})])
def test_a_minimum_holds_while_the_window_is_open(now: float, count: dict[str, int]) -> None:
    assert launched(at(now, CPU4, schedules=scheduled(pool="cpu4", min_workers=3))) == count


def test_the_reason_names_the_schedule() -> None:
    result = at(NOON, CPU4, schedules=scheduled(pool="cpu4", min_workers=3))
    assert result.launches[0].reason.text == "pool cpu4 keeps at least 3; schedule day is on"


def test_when_it_ends_the_machines_follow_the_idle_rules() -> None:
    have = [claim(f"m{n}", "cpu4", idle_s=99.0) for n in range(3)]
    day = scheduled(pool="cpu4", min_workers=3)
    assert leaving(at(NOON, CPU4, *have, schedules=day)) == {}
    assert leaving(at(NIGHT, CPU4, *have, schedules=day)) == dict.fromkeys(["m0", "m1", "m2"], ReasonCode.IDLE)


def test_a_maximum_is_lowered_like_any_other_the_least_used_go_with_a_deadline() -> None:
    have = [claim(f"m{n}", "cpu4", used={"CPU": n + 1}) for n in range(3)]
    result = at(NOON, CPU4, *have, schedules=scheduled(pool="cpu4", max_workers=1))
    assert leaving(result) == {"m0": ReasonCode.OVER_MAX, "m1": ReasonCode.OVER_MAX}
    assert result.drains[0].reason.text == "pool cpu4 has 3 machines, 1 are allowed; schedule day is on"
    assert leaving(at(NIGHT, CPU4, *have, schedules=scheduled(pool="cpu4", max_workers=1))) == {}


def test_a_maximum_may_be_raised_for_the_whole_cluster() -> None:
    spare = (buffer(12, CPU=1),)
    day = scheduled(max_workers=2)
    assert launched(at(NOON, CPU4, max_workers=1, buffers=spare, schedules=day)) == {"cpu4": 2}
    assert launched(at(NIGHT, CPU4, max_workers=1, buffers=spare, schedules=day)) == {"cpu4": 1}


def test_buffers_of_a_schedule_are_added_to_those_of_the_policy() -> None:
    day = scheduled(buffers=(buffer(4, CPU=1, name="rush"),))
    result = at(NOON, CPU4, buffers=(buffer(4, CPU=1),), schedules=day)
    assert [(ahead.name, ahead.count) for ahead in result.ahead] == [("spare", 4), ("rush", 4)]
    assert launched(result) == {"cpu4": 2}
    assert launched(at(NIGHT, CPU4, buffers=(buffer(4, CPU=1),), schedules=day)) == {"cpu4": 1}


def test_of_several_open_schedules_the_later_in_the_list_goes_first_limit_by_limit() -> None:
    first = Schedule("first", DAY, "cpu4", min_workers=3, max_workers=9)
    later = Schedule("later", Window("0 12 * * *", 3600.0), "cpu4", min_workers=1)
    policy = effective_policy(snapshot(CPU4, now=NOON, schedules=(first, later)))
    assert (policy.pools[0].min_workers, policy.pools[0].max_workers) == (1, 9)


def test_people_go_before_schedules() -> None:
    order = (Order("o", OrderKind.SET, "cpu4.min_workers", "1"),)
    assert launched(at(NOON, CPU4, schedules=scheduled(pool="cpu4", min_workers=3), orders=order)) == {"cpu4": 1}


def test_a_schedule_of_a_pool_that_is_gone_changes_nothing() -> None:
    assert launched(at(NOON, CPU4, schedules=scheduled(pool="gone", min_workers=3))) == {}


def test_the_loop_wakes_when_a_schedule_begins_or_ends() -> None:
    policy = Policy(pools=(CPU4,), schedules=scheduled(pool="cpu4", min_workers=1))
    eight = datetime(2026, 3, 3, 8, tzinfo=UTC).timestamp()
    assert next_schedule_change(policy, NIGHT) == next_deadline(policy, Plan(), NIGHT) == eight
    assert next_deadline(policy, Plan(), NOON) == datetime(2026, 3, 2, 18, tzinfo=UTC).timestamp()
    assert next_schedule_change(Policy(), NOON) is None
