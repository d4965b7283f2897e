"""One machine of any pool in the place of several, or of one that is too big: consolidation across pools."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planner.looking import kept, launched, leaving, planned, sound_plan
from tests.unit.planner.test_outgoing import until_quiet

from rayfleet.model import (
    Backoff,
    Claim,
    Disruption,
    DisruptionBudget,
    Market,
    OfferKey,
    Phase,
    ReasonCode,
    Trouble,
    Window,
)
from rayfleet.testing.carrying_out import carried_out
from rayfleet.testing.snapshots import claim, gang, offer, pool, requested, snapshot, tasks

CPU8 = pool("cpu8", 1.0, CPU=8, restartable=True)
CPU16 = pool("cpu16", 1.5, CPU=16, restartable=True)
CPU64 = pool("cpu64", 5.0, CPU=64, restartable=True)
POOLS = (CPU8, CPU16, CPU64)
ANY = (DisruptionBudget(100, percent=True),)
ON: dict[str, Any] = {"consolidation_threshold": 0.4, "disruption_budgets": ANY}


def running(name: str, cpus: float, of: str = "cpu8", **fields: object) -> Claim:
    """Return a machine in use that has been up for long."""
    return claim(name, of, since=0.0, used={"CPU": cpus}, **fields)  # type: ignore[arg-type]  # as `claim` takes them


THREE = tuple(running(name, 5) for name in "abc")


def test_three_half_used_machines_give_way_to_one_that_is_larger() -> None:
    """Launched first; they are drained in the plan in which it is up, and the cluster is cheaper and at rest."""
    first = snapshot(*POOLS, *THREE, **ON)
    one = sound_plan(first)
    assert (launched(one), leaving(one)) == ({"cpu16": 1}, {})
    assert one.launches[0].reason.code is ReasonCode.REPLACEMENT
    assert {kept(one)[name] for name in "abc"} == {ReasonCode.REPLACING}
    on_its_way = replace(first, claims=one.claims, serial=one.serial, now=1003.0)
    again = sound_plan(on_its_way)
    assert (again.actions, kept(again)[one.launches[0].claims[0]]) == ((), ReasonCode.STANDS_IN)
    plans, rest = until_quiet(first)
    assert [(launched(p), sorted(leaving(p))) for p in plans] == [({"cpu16": 1}, []), ({}, ["a", "b", "c"])]
    assert [c.pool for c in rest.claims] == ["cpu16"]


def test_the_score_weighs_what_is_saved_against_the_work_that_starts_again() -> None:
    """3.0 - 1.5 saved; 3 x 5/8 of work, and 1.5 for 420 s of two at a time."""
    second = carried_out(snapshot(*POOLS, *THREE, **ON), planned(*POOLS, *THREE, **ON))
    exact = 1.5 / (1.5 + 15 / 8 + 1.5 * 420 / 3600)
    assert launched(planned(*POOLS, *THREE, **{**ON, "consolidation_threshold": exact - 0.001})) == {"cpu16": 1}
    assert launched(planned(*POOLS, *THREE, **{**ON, "consolidation_threshold": exact + 0.001})) == {}
    told = sound_plan(second).drains[0].reason
    assert (told.code, told.details["usd_per_hour"]) == (ReasonCode.UNDERUSED, 1.5)
    assert told.details["score"] == pytest.approx(1.5 / (1.5 + 15 / 8))
    assert "3 machines give way to one of cpu16" in told.text


def test_a_machine_that_is_too_big_gives_way_to_a_smaller_one() -> None:
    plans, rest = until_quiet(snapshot(*POOLS, running("big", 10, "cpu64"), **ON))
    assert [(launched(p), sorted(leaving(p))) for p in plans] == [({"cpu16": 1}, []), ({}, ["big"])]
    assert [c.pool for c in rest.claims] == ["cpu16"]


def test_a_machine_whose_own_offer_has_become_cheaper_is_not_launched_anew_for_that() -> None:
    """It was launched at 1.0, which it does not cost any more; a machine that is dearer than its offer is another's."""
    halved = replace(CPU8, offers=(offer(0.5),))
    low = {**ON, "consolidation_threshold": 0.2}
    assert launched(planned(halved, running("a", 3, usd_per_hour=1.0), **low)) == {}
    near = replace(CPU8, name="near", offers=(offer(0.5),))
    assert launched(planned(CPU8, near, running("a", 3, usd_per_hour=1.0), **low)) == {"near": 1}


def test_on_demand_gives_way_to_spot_of_another_pool() -> None:
    spot = pool("spot8", CPU=8, offers=(offer(0.3, spot=True),))
    assert launched(planned(CPU8, spot, running("a", 3), **ON)) == {"spot8": 1}
    out = (Backoff(OfferKey("spot8", market=Market.SPOT), 2000.0, Trouble.OUT_OF_STOCK),)
    assert launched(planned(CPU8, spot, running("a", 3), backoffs=out, **ON)) == {}


def test_what_saves_most_is_launched() -> None:
    twelve = [running(f"m{n}", 5) for n in range(12)]
    assert launched(planned(*POOLS, *twelve, **ON)) == {"cpu64": 1}


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("off", {"consolidation_threshold": None}),
        ("young", {"consolidate_after_s": 2000.0}),
        ("too many at a time", {"disruption_budgets": (DisruptionBudget(1),)}),
        ("no room", {"max_workers": 3}),
        ("no money", {"max_usd_per_hour": 4.0}),
        (
            "night only",
            {
                "disruption_budgets": (
                    DisruptionBudget(0, reasons=(Disruption.UNDERUSED,), window=Window("* * * * *", 60.0)),
                )
            },
        ),
    ],
)
def test_nothing_is_exchanged(why: str, changed: dict[str, object]) -> None:
    result = planned(CPU8, CPU16, *THREE, **{**ON, **changed})
    assert (launched(result), leaving(result)) == ({}, {}), why


@pytest.mark.parametrize(
    "more",
    [
        [tasks(1, CPU=1)],
        [tasks(9, CPU=8)],
        [requested(3, CPU=8)],
        [gang("PACK", {"CPU": 1})],
        [claim("new", "cpu8", Phase.BOOTING)],
    ],
    ids=["waiting", "growing", "requested", "gang", "starting"],
)
def test_nothing_is_launched_for_it_while_something_else_moves_or_needs_them(more: list[object]) -> None:
    result = planned(CPU8, CPU16, *THREE, *more, **ON)  # type: ignore[arg-type]  # parts of a snapshot
    assert ReasonCode.REPLACEMENT not in [launch.reason.code for launch in result.launches]
    assert ReasonCode.UNDERUSED not in leaving(result).values()


def test_minimums_labels_priorities_accelerators_and_work_that_must_not_be_ended_stand() -> None:
    for held in (
        replace(CPU8, min_workers=3),
        replace(CPU8, restartable=False),
        replace(CPU8, priority=1),
        pool("cpu8", 1.0, CPU=8, restartable=True, labels={"tier": "web"}),
    ):
        assert launched(planned(held, CPU16, *THREE, **ON)) == {}
    gpu = pool("gpu", 1.2, CPU=16, GPU=1)
    assert launched(planned(CPU8, gpu, *THREE, **ON)) == {}
    safe = [running(name, 5, do_not_disrupt=True) for name in "abc"]
    assert launched(planned(CPU8, CPU16, *safe, **ON)) == {}


def test_an_idle_machine_is_no_reason_to_move_when_it_costs_as_much() -> None:
    """It leaves by itself; to move a little work onto it would keep it."""
    have = [running("a", 1), claim("idle", "cpu64", since=0.0, idle_s=5.0)]
    assert leaving(planned(*POOLS, *have, **ON)) == {}


def test_when_the_work_has_grown_beyond_the_new_machine_the_old_ones_stay() -> None:
    one = planned(*POOLS, *THREE, **ON)
    up = carried_out(snapshot(*POOLS, *THREE, **ON), one)
    grown = replace(
        up, claims=tuple(replace(c, hosts=running(c.id, 8).hosts) if c.pool == "cpu8" else c for c in up.claims)
    )
    after = sound_plan(grown)
    assert (leaving(after), launched(after)) == ({}, {})


def test_a_waiting_task_does_not_give_the_new_machine_up() -> None:
    first = snapshot(*POOLS, *THREE, **ON)
    one = sound_plan(first)
    busy = replace(first, claims=one.claims, serial=one.serial, now=1003.0, demand=snapshot(tasks(1, CPU=1)).demand)
    assert sound_plan(busy).actions == ()
