"""A grace beyond the maximum age: what runs on an old machine may go on for so long, and is ended then."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan

from rayfleet.model import Claim, Disruption, DisruptionBudget, Order, OrderKind, Plan, ReasonCode, Snapshot
from rayfleet.planner.invariants import check
from rayfleet.planner.orders import effective_policy
from rayfleet.testing.snapshots import claim, pool, requested, snapshot

CPU4 = pool("cpu4", 1.0, CPU=4)
AGED = {"max_age_s": 100.0, "max_age_grace_s": 1000.0}


def old(name: str = "m", *, age_s: float = 150.0, **fields: object) -> Claim:
    """Return a machine in use."""
    return claim(name, "cpu4", since=0.0, created=1000.0 - age_s, used={"CPU": 2}, **fields)  # type: ignore[arg-type]  # as `claim` takes them


def drains(of: Plan) -> list[tuple[str, bool, float, list[ReasonCode]]]:
    """Return what is drained: whether Ray may refuse, by when, and what the reason's chain says."""
    return [(d.claim, d.voluntary, d.deadline, [link.code for link in d.reason.chain]) for d in of.drains]


def test_without_a_grace_work_that_cannot_be_restarted_is_never_ended() -> None:
    assert leaving(planned(CPU4, old(age_s=99_999.0), max_age_s=100.0)) == {}


@pytest.mark.parametrize(("age_s", "leaves"), [(99.0, False), (100.0, True)])
def test_from_its_maximum_age_on_a_machine_takes_no_new_work_until_its_grace_is_over(
    age_s: float, leaves: bool
) -> None:
    result = planned(CPU4, old(age_s=age_s), **AGED)
    told = [("m", False, 1000.0 - age_s + 1100.0, [ReasonCode.GRACE])] if leaves else []
    assert (drains(result), launched(result)) == (told, {})


def test_its_work_gets_no_room_elsewhere_while_it_may_finish() -> None:
    """Only `drain_timeout_s` before the end, for what still runs then."""
    first = snapshot(CPU4, old(), **AGED)
    claims = sound_plan(first).claims
    assert sound_plan(replace(first, claims=claims, now=1500.0)).launches == ()
    late = sound_plan(replace(first, claims=claims, now=1650.0))
    assert [launch.reason.code for launch in late.launches] == [ReasonCode.REPLACEMENT]


def test_a_grace_that_is_over_leaves_the_time_of_any_drain_and_room_is_made_first() -> None:
    first = snapshot(CPU4, old(age_s=5000.0), **AGED)
    one = sound_plan(first)
    assert (launched(one), leaving(one), kept(one)["m"]) == ({"cpu4": 1}, {}, ReasonCode.REPLACING)
    up = claim("new", "cpu4", since=999.0, created=999.0)
    assert drains(planned(CPU4, old(age_s=5000.0), up, **AGED)) == [("m", False, 1300.0, [ReasonCode.GRACE])]


def test_a_pools_own_grace_goes_first() -> None:
    never = replace(CPU4, max_age_grace_s=50.0)
    assert drains(planned(never, old(age_s=100.0), **{**AGED, "max_age_grace_s": None}))[:1] == []
    assert [
        deadline for _, _, deadline, _ in drains(planned(replace(never, max_age_grace_s=600.0), old(), **AGED))
    ] == [1550.0]


def test_restartable_work_may_finish_too() -> None:
    result = planned(replace(CPU4, restartable=True), old(), **AGED)
    assert drains(result) == [("m", False, 1950.0, [ReasonCode.GRACE])]


def test_an_idle_machine_is_only_asked() -> None:
    result = planned(CPU4, claim("m", "cpu4", created=1.0, idle_s=1.0), **AGED)
    assert [(d.voluntary, d.reason.chain) for d in result.drains] == [(True, ())]


def test_a_minimum_and_requested_resources_are_replaced_before_it_leaves() -> None:
    held = replace(CPU4, min_workers=1)
    assert [
        (launched(p), leaving(p))
        for p in (planned(held, old(), **AGED), planned(CPU4, old(), requested(1, CPU=4), **AGED))
    ] == [
        ({"cpu4": 1}, {}),
        ({"cpu4": 1}, {}),
    ]


def test_do_not_disrupt_and_budgets_hold_it() -> None:
    assert leaving(planned(CPU4, old(do_not_disrupt=True), **AGED)) == {}
    none = (DisruptionBudget(0, reasons=(Disruption.EXPIRED,)),)
    assert leaving(planned(CPU4, old(), disruption_budgets=none, **AGED)) == {}
    many = [old(f"m{n}") for n in range(20)]
    assert list(leaving(planned(CPU4, *many, **AGED))) == ["m0", "m1"]


def test_the_check_of_plans_knows_a_grace_that_the_policy_does_not_give() -> None:
    of = snapshot(CPU4, old(), **AGED)
    made = sound_plan(of)
    strict: Snapshot = replace(of, policy=replace(of.policy, max_age_grace_s=None))
    assert [finding.subject for finding in check(strict, made)] == ["m"]


def test_it_can_be_set_while_the_cluster_runs() -> None:
    orders = (
        Order("a", OrderKind.SET, "max_age_grace_s", "3600"),
        Order("b", OrderKind.SET, "cpu4.max_age_grace_s", "60"),
        Order("c", OrderKind.SET, "keep_starting_share", "0"),
    )
    policy = effective_policy(snapshot(CPU4, orders=orders))
    assert (policy.max_age_grace_s, policy.pools[0].max_age_grace_s, policy.keep_starting_share) == (3600.0, 60.0, 0.0)
