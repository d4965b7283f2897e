"""Gangs whose machines agree on a label: all in one zone, for example."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import launched, placed, planned, sound_plan, unmet

from rayfleet.model import Backoff, Demand, Market, OfferKey, Plan, ReasonCode, Trouble
from rayfleet.planner.invariants import check
from rayfleet.testing.snapshots import Demanded, bundle, claim, gang, offer, pool, snapshot, tasks

ZONE = "ray.io/availability-zone"
A, B = (OfferKey("cpu4", zone=zone, market=Market.ON_DEMAND) for zone in "ab")
CPU4 = pool("cpu4", CPU=4, offers=(offer(1.0, "a"), offer(1.1, "b")))
FOUR = {"CPU": 4}
ALL = ["PACK", "SPREAD", "STRICT_SPREAD"]


def zones(of: Plan) -> dict[str | None, int]:
    return {launch.offer.zone: launch.count for launch in of.launches}


@pytest.mark.parametrize("strategy", ALL)
def test_machines_there_are_draw_the_others_into_their_zone(strategy: str) -> None:
    """One machine runs in the dearer zone: a second there is cheaper than two in the cheap one."""
    there = claim("m1", B)
    assert zones(planned(CPU4, there, gang(strategy, FOUR, FOUR))) == {"a": 1}
    together = planned(CPU4, there, gang(strategy, FOUR, FOUR, same_label=ZONE))
    assert (zones(together), placed(together)) == ({"b": 1}, {"m1": 1, "new:0": 1})


@pytest.mark.parametrize("strategy", ALL)
def test_bundles_that_ask_for_different_machines_meet_in_one_zone(strategy: str) -> None:
    """Each kind is cheapest in another zone; together zone b is."""
    gpu = pool("gpu", CPU=1, GPU=1, offers=(offer(9.0, "a"), offer(2.0, "b")))
    result = planned(CPU4, gpu, gang(strategy, FOUR, {"GPU": 1}, same_label=ZONE))
    assert {(launch.offer.pool, launch.offer.zone) for launch in result.launches} == {("cpu4", "b"), ("gpu", "b")}


def test_a_zone_in_which_one_machine_cannot_be_had_is_none() -> None:
    gpu = pool("gpu", CPU=1, GPU=1, offers=(offer(2.0, "a"), offer(2.0, "b")))
    back = (Backoff(OfferKey("gpu", zone="a", market=Market.ON_DEMAND), 1200.0, Trouble.OUT_OF_STOCK),)
    result = planned(CPU4, gpu, gang("PACK", FOUR, {"GPU": 1}, same_label=ZONE), backoffs=back)
    assert {launch.offer.zone for launch in result.launches} == {"b"}


def test_when_no_zone_has_room_for_all_of_it_the_reason_says_so() -> None:
    """One machine of each zone is there and no more can be had."""
    cpu4 = replace(CPU4, max_workers=2)
    wants = gang("STRICT_SPREAD", FOUR, FOUR, same_label=ZONE)
    result = planned(cpu4, claim("m1", A), claim("m2", B), wants)
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)])
    only = [pool("a4", CPU=4, offers=(offer(1.0, "a"),)), pool("g1", GPU=1, offers=(offer(1.0, "b"),))]
    result = planned(*only, gang("PACK", FOUR, {"GPU": 1}, same_label=ZONE))
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.GANG_APART)])
    assert result.unmet[0].reason.text == f"its machines must agree on {ZONE}, and nowhere is room for all of them"


def test_several_gangs_may_be_in_different_zones() -> None:
    """Each of two full zones has room for one."""
    there = [claim(f"m{n}", key) for n, key in enumerate((A, A, B, B))]
    wants = gang("STRICT_SPREAD", FOUR, FOUR, count=2, same_label=ZONE)
    assert (launched(planned(CPU4, *there, wants)), unmet(planned(CPU4, *there, wants))) == ({}, [])


def test_bundles_that_are_placed_say_where_the_others_go() -> None:
    left = claim("m1", B, used=FOUR, machine_id="i-1")
    wants = gang("STRICT_SPREAD", FOUR, FOUR, placed={"0": "i-1"}, same_label=ZONE)
    assert zones(planned(CPU4, left, wants)) == {"b": 1}


def test_selectors_of_bundles_hold_too() -> None:
    wants = gang("STRICT_SPREAD", bundle(FOUR, {ZONE: "b"}), FOUR, same_label=ZONE)
    assert zones(planned(CPU4, wants)) == {"b": 2}


def test_where_no_machine_has_the_label_all_agree() -> None:
    assert launched(planned(pool("cpu4", CPU=4), gang("SPREAD", FOUR, FOUR, same_label=ZONE))) == {"cpu4": 2}


def test_the_policy_may_want_it_of_all_gangs() -> None:
    """A gang's own key goes before it; tasks are not meant."""
    there = claim("m1", B)
    wants: list[Demanded] = [gang("STRICT_SPREAD", FOUR, FOUR), tasks(1, CPU=4)]
    result = planned(CPU4, there, *wants, gangs_same_label=ZONE)
    assert zones(result) == {"b": 1, "a": 1}


def test_the_next_plan_changes_nothing() -> None:
    before = snapshot(CPU4, claim("m1", B), gang("SPREAD", *[FOUR] * 3, count=2, same_label=ZONE), tasks(5, CPU=3))
    made = sound_plan(before)
    again = sound_plan(replace(before, claims=made.claims, serial=made.serial, now=before.now + 3))
    assert (again.launches, again.releases, again.unmet) == ((), (), ())


def test_an_invariant_tells_a_plan_that_mixes_zones() -> None:
    there = [claim("m1", A), claim("m2", B)]
    mixed = planned(CPU4, *there, gang("SPREAD", FOUR, FOUR))
    bound = snapshot(CPU4, *there, gang("SPREAD", FOUR, FOUR, same_label=ZONE))
    assert isinstance(bound.demand, Demand)
    assert [f.subject for f in check(bound, mixed)] == ["gang 0"]
