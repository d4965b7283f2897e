"""Machines on their way hold the packing that they were launched for, whatever limit they have just used up.

Two machines of 10 CPU hold these tasks as 5 + 3 + 2 and 4 + 4 + 2 only: whoever places one task after the other, the
largest first, leaves one without a place.
"""

from typing import Any

import pytest
from tests.unit.planner.looking import launched, leaving, planned, sound_plan, unmet

from rayfleet.model import FrozenMap, Phase, ReasonCode
from rayfleet.testing.snapshots import claim, pool, snapshot, tasks

TEN = pool("ten", 1.0, CPU=10)
TASKS = (tasks(1, CPU=5), tasks(2, CPU=4), tasks(1, CPU=3), tasks(2, CPU=2))
LIMITS: dict[str, dict[str, Any]] = {
    "machines": {"max_workers": 2},
    "money of an hour": {"max_usd_per_hour": 2.0},
    "money of the day": {"max_usd_per_day": 47.5},
    "a resource": {"max_resources": FrozenMap({"CPU": 200_000})},
    "launches": {"max_launches_per_min": 2},
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_the_next_plan_changes_nothing_though_the_limit_is_used_up(limit: dict[str, Any]) -> None:
    first = sound_plan(snapshot(TEN, *TASKS, **limit))
    assert (launched(first), unmet(first)) == ({"ten": 2}, [])
    then = planned(TEN, *first.claims, *TASKS, serial=first.serial, **limit)
    assert (then.actions, unmet(then)) == ((), [])


def test_the_limits_of_that_plan_let_no_third_machine_be_made() -> None:
    """So that the test above speaks of limits that are used up."""
    for limit in LIMITS.values():
        assert launched(planned(TEN, *TASKS, tasks(10, CPU=1), **limit)) == {"ten": 2}


def test_a_pools_own_limit_may_be_used_up_as_well() -> None:
    two = pool("ten", 1.0, CPU=10, max_workers=2)
    first = sound_plan(snapshot(two, *TASKS))
    then = planned(two, *first.claims, *TASKS, serial=first.serial)
    assert (launched(first), then.actions, unmet(then)) == ({"ten": 2}, (), [])


@pytest.mark.parametrize(("since", "left"), [(999.0, []), (900.0, [ReasonCode.MAX_WORKERS])])
def test_so_do_machines_that_have_just_joined(since: float, left: list[ReasonCode]) -> None:
    """It is not known yet whether somebody uses them; those that are up for long are simply filled up."""
    up, starting = claim("m1", "ten", since=since), claim("m2", "ten", Phase.BOOTING)
    result = planned(TEN, up, starting, *TASKS, max_workers=2)
    assert (launched(result), leaving(result), [code for _, _, _, code in unmet(result)]) == ({}, {}, left)


MORE: dict[str, dict[str, Any]] = {
    "machines": {"max_workers": 3},
    "money of an hour": {"max_usd_per_hour": 3.0},
    "money of the day": {"max_usd_per_day": 72.0},
    "a resource": {"max_resources": FrozenMap({"CPU": 300_000})},
    "launches": {"max_launches_per_min": 3},
}


@pytest.mark.parametrize("limit", MORE.values(), ids=MORE)
def test_what_has_come_since_gets_what_the_limit_leaves(limit: dict[str, Any]) -> None:
    first = sound_plan(snapshot(TEN, *TASKS, **limit))
    then = planned(TEN, *first.claims, *TASKS, tasks(1, CPU=10), serial=first.serial, **limit)
    assert (launched(then), leaving(then), unmet(then)) == ({"ten": 1}, {}, [])


def test_a_replica_on_its_way_is_as_good_as_a_new_one() -> None:
    """Its hosts come after that of another machine, which is in use."""
    pair = pool("pair", 0.5, CPU=10, hosts_per_replica=2)
    busy = claim("a", "ten", used={"CPU": 10})
    first = sound_plan(snapshot(pair, TEN, busy, *TASKS, max_workers=3))
    assert (launched(first), unmet(first)) == ({"pair": 2}, [])
    replica = claim("r", "pair", Phase.BOOTING, hosts=2)
    then = planned(pair, TEN, busy, replica, *TASKS, max_workers=3)
    assert (launched(then), leaving(then), unmet(then)) == ({}, {}, [])


@pytest.mark.parametrize("usd", [0.1, 10.0])
def test_what_fits_onto_a_dearer_machine_on_its_way_launches_no_cheaper_one(usd: float) -> None:
    small, big = pool("small", usd, CPU=10), pool("big", 2 * usd, CPU=20)
    result = planned(small, big, claim("b", "big", Phase.BOOTING), tasks(2, CPU=5))
    assert (launched(result), leaving(result)) == ({}, {})
