"""Machines that are replaced although nothing forces them to leave: age, configuration, cheaper offers, little use."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan

from rayfleet.model import (
    Backoff,
    Claim,
    Disruption,
    DisruptionBudget,
    Drain,
    Market,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    Plan,
    Pool,
    ReasonCode,
    Snapshot,
    Trouble,
    reason,
)
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import claim, offer, pool, requested, snapshot, tasks

LABEL = "rayfleet.io/restartable"
CPU4 = pool("cpu4", 1.0, CPU=4, restartable=True)
BOTH = pool("cpu4", CPU=4, restartable=True, offers=(offer(1.0), offer(0.3, spot=True)))
SPOT = OfferKey("cpu4", market=Market.SPOT)
ON = {"consolidation_threshold": 0.5}


def running(name: str, cpus: float = 1.0, of: str | OfferKey = "cpu4", **fields: object) -> Claim:
    """Return a machine in use that has been up for long."""
    return claim(name, of, since=0.0, used={"CPU": cpus}, **fields)  # type: ignore[arg-type]  # as `claim` takes them


def until_quiet(of: Snapshot) -> tuple[list[Plan], Snapshot]:
    """Carry plan after plan out, with the work of machines that left started again, until nothing is to be done."""
    plans: list[Plan] = []
    for _ in range(30):
        made = sound_plan(of)
        if not made.actions:
            return plans, carried_out(of, made)
        plans.append(made)
        of = carried_out(of, made, later_s=1.0, restarted=True)
    raise AssertionError("it never comes to rest")


# ---- age ----


@pytest.mark.parametrize(("age_s", "leaves"), [(99.0, False), (100.0, True)])
def test_a_machine_leaves_at_its_maximum_age(age_s: float, leaves: bool) -> None:
    result = planned(CPU4, claim("m", "cpu4", created=1000.0 - age_s), max_age_s=100.0)
    assert leaving(result) == ({"m": ReasonCode.EXPIRED} if leaves else {})


def test_a_pools_own_age_goes_first_and_the_head_never_expires() -> None:
    old = pool("old", CPU=4, max_age_s=500.0)
    have = [claim("o", "old", idle_s=1.0), claim("m", "cpu4", idle_s=1.0), claim("h", "cpu4", head=True)]
    assert leaving(planned(old, CPU4, *have, max_age_s=50.0)) == {"m": ReasonCode.EXPIRED}


def test_work_gets_its_place_before_an_expired_machine_goes() -> None:
    """Make before break: launched now, drained when the new one is up, gone with the deadline of a forced drain."""
    first = snapshot(CPU4, running("m", 3), max_age_s=100.0)
    one = sound_plan(first)
    assert (launched(one), leaving(one), kept(one)) == ({"cpu4": 1}, {}, {"m": ReasonCode.REPLACING})
    assert one.launches[0].reason.code is ReasonCode.REPLACEMENT
    on_its_way = replace(first, claims=one.claims, serial=one.serial, now=1001.0)
    assert sound_plan(on_its_way).actions == ()
    two = sound_plan(carried_out(first, one))
    assert (launched(two), leaving(two)) == ({}, {"m": ReasonCode.EXPIRED})
    assert [(d.voluntary, d.deadline, [c.code for c in d.reason.chain]) for d in two.drains] == [
        (False, 1300.0, [ReasonCode.RESTARTABLE])
    ]
    plans, rest = until_quiet(first)
    assert ([launched(p) for p in plans], len(rest.claims)) == ([{"cpu4": 1}, {}], 1)


def test_work_that_fits_elsewhere_needs_no_new_machine() -> None:
    young = running("n", 1, created=999.0)
    assert leaving(planned(CPU4, running("m", 3), young, max_age_s=100.0)) == {"m": ReasonCode.EXPIRED}


@pytest.mark.parametrize(
    ("of_pool", "label", "leaves"),
    [(False, None, False), (True, None, True), (False, "true", True), (True, "false", False)],
)
def test_work_is_restartable_when_the_label_or_else_the_pool_says_so(
    of_pool: bool, label: str | None, leaves: bool
) -> None:
    labels = {LABEL: label} if label else {}
    old = running("m", 1, labels=labels)
    young = claim("n", "cpu4", created=999.0)
    result = planned(replace(CPU4, restartable=of_pool), old, young, max_age_s=100.0)
    assert leaving(result) == ({"m": ReasonCode.EXPIRED} if leaves else {})


def test_expired_machines_go_by_tenths_the_oldest_first() -> None:
    old = [claim(f"m{n}", "cpu4", created=100.0 + n) for n in range(20)]
    assert list(leaving(planned(CPU4, *old, max_age_s=100.0))) == ["m0", "m1"]
    all_ = (DisruptionBudget(100, percent=True),)
    assert len(leaving(planned(CPU4, *old, max_age_s=100.0, disruption_budgets=all_))) == 20
    none = (DisruptionBudget(0, reasons=(Disruption.EXPIRED,)),)
    assert leaving(planned(CPU4, *old, max_age_s=100.0, disruption_budgets=none)) == {}


def test_do_not_disrupt_holds_for_every_voluntary_reason() -> None:
    safe = [
        claim("a", "cpu4", created=0.0, do_not_disrupt=True, idle_s=999.0),
        running("b", 1, do_not_disrupt=True),
        claim("c", "cpu4", drifted=True, do_not_disrupt=True),
    ]
    budgets = (DisruptionBudget(100, percent=True),)
    result = planned(BOTH, *safe, max_age_s=10.0, disruption_budgets=budgets, **ON)
    assert (leaving(result), launched(result)) == ({}, {})


def test_a_minimum_is_never_given_up() -> None:
    held = pool("cpu4", 1.0, CPU=4, min_workers=2)
    first = snapshot(held, *(claim(f"m{n}", "cpu4", created=float(n)) for n in range(2)), max_age_s=100.0)
    one = sound_plan(first)
    assert (launched(one), leaving(one)) == ({"cpu4": 1}, {})
    plans, rest = until_quiet(first)
    assert [(launched(p), len(leaving(p))) for p in plans] == [({"cpu4": 1}, 0), ({}, 1), ({"cpu4": 1}, 0), ({}, 1)]
    assert len(rest.claims) == 2


def test_requested_capacity_is_never_given_up() -> None:
    first = snapshot(CPU4, claim("m", "cpu4", idle_s=500.0), requested(1, CPU=4), max_age_s=50.0)
    plans, _ = until_quiet(first)
    assert [(launched(p), len(leaving(p))) for p in plans] == [({"cpu4": 1}, 0), ({}, 1)]


def test_where_a_maximum_leaves_no_room_the_old_one_goes_first() -> None:
    full = pool("cpu4", 1.0, CPU=4, min_workers=1, max_workers=1)
    plans, rest = until_quiet(snapshot(full, claim("m", "cpu4", idle_s=1.0), max_age_s=50.0))
    assert [(launched(p), len(leaving(p))) for p in plans] == [({}, 1), ({"cpu4": 1}, 0)]
    assert [c.id for c in rest.claims] != ["m"]


# ---- configuration ----


def test_budgets_make_outdated_machines_roll() -> None:
    """Without a budget half of a pool is replaced at once (test_counts); with one, one after the other."""
    ten = pool("cpu4", 1.0, CPU=4, min_workers=4, restartable=True)
    old = [running(f"m{n}", 1, drifted=True) for n in range(4)]
    plans, rest = until_quiet(snapshot(ten, *old, disruption_budgets=(DisruptionBudget(1),)))
    assert all(sum(launched(p).values()) <= 1 and len(leaving(p)) <= 1 for p in plans)
    assert [c for c in rest.claims if c.drifted] == []
    assert len(rest.claims) == 4


# ---- cheaper offers ----


def test_on_demand_gives_way_to_spot_that_is_back() -> None:
    first = snapshot(BOTH, running("m", 2), **ON)
    one = sound_plan(first)
    assert [(x.offer.market, x.count) for x in one.launches] == [(Market.SPOT, 1)]
    assert one.kept[0].reason.text == (
        "leaves when what takes its place is up; cpu4 (spot) would do, which saves 0.7 USD/h (score 0.58)"
    )
    plans, rest = until_quiet(first)
    assert [c.offer for c in rest.claims] == [SPOT]
    assert (sound_plan(rest).cost.before, len(plans)) == (0.3, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"backoffs": (Backoff(SPOT, 1200.0, Trouble.OUT_OF_STOCK),)},
        {"consolidation_threshold": None},
        {"consolidation_threshold": 0.59},
        {"consolidate_after_s": 1001.0},
        {"disruption_budgets": (DisruptionBudget(0),)},
        {"engine_up": False},
    ],
    ids=["backed off", "off", "score", "young", "budget", "engine"],
)
def test_it_stays_on_demand_when(changes: dict[str, object]) -> None:
    result = planned(BOTH, running("m", 2), **{**ON, **changes})
    assert (launched(result), leaving(result)) == ({}, {})


@pytest.mark.parametrize(("price", "moves"), [(0.9, True), (0.91, False)])
def test_nothing_is_replaced_for_less_than_a_tenth(price: float, moves: bool) -> None:
    near = pool("cpu4", CPU=4, restartable=True, offers=(offer(1.0), offer(price, "b")))
    result = planned(near, running("m", 0.01), consolidation_threshold=0.0)
    assert bool(launched(result)) is moves


def test_an_idle_minimum_moves_to_the_cheaper_offer_and_ray_may_refuse() -> None:
    held = replace(BOTH, min_workers=1, restartable=False)
    plans, rest = until_quiet(snapshot(held, claim("m", "cpu4", since=0.0, idle_s=600.0), **ON))
    assert [[d.voluntary for d in p.drains] for p in plans] == [[], [True]]
    assert [c.offer for c in rest.claims] == [SPOT]


# ---- little use ----


def test_what_fits_on_others_leaves_and_nothing_comes_back() -> None:
    have = [running("a", 3), running("b", 2), running("c", 1)]
    plans, rest = until_quiet(snapshot(CPU4, *have, **ON))
    assert [leaving(p) for p in plans if leaving(p)] == [{"c": ReasonCode.UNDERUSED}]
    assert all(launched(p) == {} for p in plans)
    assert sorted(str(h.used) for c in rest.claims for h in c.hosts) == ["{CPU: 2}", "{CPU: 4}"]


@pytest.mark.parametrize(("threshold", "leaves"), [(None, False), (0.79, True), (0.8, True), (0.81, False)])
def test_the_score_weighs_the_saving_against_what_is_in_use(threshold: float | None, leaves: bool) -> None:
    """A quarter of the machine is in use: 1 / (1 + 0.25)."""
    result = planned(CPU4, running("a", 3), running("b", 1), consolidation_threshold=threshold)
    assert leaving(result) == ({"b": ReasonCode.UNDERUSED} if leaves else {})


@pytest.mark.parametrize(
    "more",
    [
        [claim("new", "cpu4", Phase.BOOTING), tasks(8, CPU=4)],
        [tasks(1, CPU=1)],
        [requested(2, CPU=4)],
    ],
    ids=["growing", "waiting", "requested"],
)
def test_nothing_is_consolidated_while_something_else_moves_or_needs_it(more: list[object]) -> None:
    have = [running("a", 3), running("b", 1)]
    result = planned(CPU4, *have, *more, **ON)  # type: ignore[arg-type]  # parts of a snapshot
    assert ReasonCode.UNDERUSED not in leaving(result).values()


def test_minimums_and_work_that_is_not_restartable_stay() -> None:
    have = [running("a", 3), running("b", 1)]
    for other in (replace(CPU4, min_workers=2), replace(CPU4, restartable=False)):
        assert leaving(planned(other, *have, **ON)) == {}


def test_work_goes_only_where_the_labels_of_its_pool_hold() -> None:
    web = Pool("web", CPU4.resources, pool("x", labels={"tier": "web"}).labels, restartable=True, offers=CPU4.offers)
    plain = replace(CPU4, restartable=False)
    assert leaving(planned(web, plain, running("a", 1, "web"), running("b", 3), **ON)) == {}
    assert leaving(planned(web, CPU4, running("a", 3, "web"), running("b", 1), **ON)) == {"b": ReasonCode.UNDERUSED}


# ---- interruptions ----


def test_work_on_a_machine_that_is_taken_back_gets_room_at_once() -> None:
    first = snapshot(CPU4, running("m", 3, interrupt_at=1120.0))
    one = sound_plan(first)
    assert (launched(one), leaving(one)) == ({"cpu4": 1}, {"m": ReasonCode.INTERRUPTED})
    again = sound_plan(replace(first, claims=one.claims, serial=one.serial, now=1001.0))
    assert (launched(again), leaving(again)) == ({}, {})


def test_room_that_there_is_already_is_kept_for_it() -> None:
    idle = claim("n", "cpu4", idle_s=500.0)
    result = planned(CPU4, running("m", 3, interrupt_at=1120.0), idle)
    assert (launched(result), kept(result)["n"]) == ({}, ReasonCode.STANDS_IN)
    assert leaving(planned(CPU4, claim("m", "cpu4", interrupt_at=1120.0), idle)) == {
        "m": ReasonCode.INTERRUPTED,
        "n": ReasonCode.IDLE,
    }


def test_an_ordered_drain_makes_no_room_ahead() -> None:
    """As before: what was ordered by hand is nobody's promise to replace it."""
    order = (Order("o", OrderKind.DRAIN, "m", by="me"),)
    assert launched(planned(CPU4, running("m", 3), orders=order)) == {}
    why = reason(ReasonCode.ORDERED, by="me", why="x")
    away = running("m", 3, phase=Phase.DRAINING, drain=Drain(why, 999.0, 1300.0))
    assert launched(planned(CPU4, away)) == {}
