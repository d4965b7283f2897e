"""Outdated machines that only `request_resources` holds: the new one is made first, and then the old one leaves."""

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan

from rayfleet.model import DisruptionBudget, Drain, Phase, ReasonCode, reason
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import claim, pool, requested, snapshot, tasks

POOL = pool("c", CPU=4)


def old(name: str, **fields: object) -> object:
    given = {"idle_s": 999.0, "drifted": True, **fields}
    return claim(name, "c", **given)  # type: ignore[arg-type]  # as `claim` takes


def test_the_new_one_satisfies_the_request_before_the_old_one_leaves() -> None:
    first = snapshot(POOL, old("m1"), requested(4, CPU=1))  # type: ignore[arg-type]  # parts of a snapshot
    made = sound_plan(first)
    assert (launched(made), leaving(made)) == ({"c": 1}, {})
    assert {k.host: k.reason.text for k in made.kept} == {
        "m1": "leaves when what takes its place is up; was started from an older configuration of pool c"
    }
    starting = sound_plan(snapshot(POOL, *made.claims, requested(4, CPU=1), serial=made.serial))
    assert (launched(starting), leaving(starting)) == ({}, {})
    up = carried_out(first, made)
    then = sound_plan(up)
    assert (launched(then), leaving(then)) == ({}, {"m1": ReasonCode.DRIFTED})
    assert sound_plan(carried_out(up, then)).actions == ()


@pytest.mark.parametrize(
    ("machines", "made", "gone"), [(6, 3, 0), (5, 2, 0), (4, 1, 0), (3, 0, 3), (2, 0, 3), (1, 0, 3)]
)
def test_half_of_a_pool_is_replaced_at_a_time(machines: int, made: int, gone: int) -> None:
    """Of six; `machines` of them are requested, and what the others leave without a place is made."""
    result = planned(POOL, *(old(f"m{n}") for n in range(6)), requested(4 * machines, CPU=1))  # type: ignore[arg-type]
    assert (sum(launched(result).values()), len(leaving(result))) == (made, gone)
    assert sum(code is ReasonCode.REPLACING for code in kept(result).values()) == 3 - gone


def test_where_no_room_is_left_it_goes_first() -> None:
    result = planned(POOL, old("m1"), requested(4, CPU=1), max_workers=1)  # type: ignore[arg-type]
    assert (launched(result), leaving(result)) == ({}, {"m1": ReasonCode.DRIFTED})


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"do_not_disrupt": True}, {}),
        ({"used": {"CPU": 1}, "idle_s": 0.0}, {}),
        ({"retry_at": 1001.0}, {}),
        ({}, {"disruption_budgets": (DisruptionBudget(0),)}),
        ({"drifted": False}, {}),
    ],
    ids=["do not disrupt", "in use", "refused just now", "a budget", "up to date"],
)
def test_it_stays_for_what_keeps_any_machine(fields: dict[str, object], more: dict[str, object]) -> None:
    result = planned(POOL, old("m1", **fields), requested(4, CPU=1), **more)  # type: ignore[arg-type]
    assert (launched(result), leaving(result)) == ({}, {})


def test_a_machine_that_waiting_work_is_about_to_use_is_left_to_it() -> None:
    result = planned(POOL, old("m1"), requested(4, CPU=1), tasks(1, CPU=1))  # type: ignore[arg-type]
    assert (launched(result), leaving(result)) == ({}, {})


def test_a_replica_is_replaced_whole_however_few_there_are() -> None:
    wide = pool("c", CPU=4, hosts_per_replica=2)
    result = planned(wide, claim("r", "c", hosts=2, idle_s=999.0, drifted=True), requested(8, CPU=1))
    assert (launched(result), leaving(result)) == ({"c": 2}, {})


def test_outdated_machines_on_their_way_out_count_as_replaced() -> None:
    """Half of what is ready may be missing at a time, and those that leave already are missing."""
    why = reason(ReasonCode.DRIFTED, pool="c")
    away = [claim(f"a{n}", "c", Phase.DRAINING, drifted=True, drain=Drain(why, 999.0, 1300.0)) for n in range(2)]
    six = [old(f"m{n}") for n in range(6)]
    result = planned(POOL, *away, *six)  # type: ignore[arg-type]  # parts of a snapshot
    assert list(leaving(result).values()) == [ReasonCode.DRIFTED]
    assert len(leaving(planned(POOL, *six))) == 3  # type: ignore[arg-type]  # as above
