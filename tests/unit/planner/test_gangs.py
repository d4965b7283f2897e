"""Gangs (placement groups): all four strategies, whole or not at all."""

import pytest
from tests.unit.planner.looking import launched, placed, planned, unmet

from rayfleet.model import Backoff, Claim, OfferKey, ReasonCode, Trouble
from rayfleet.testing.snapshots import Demanded, claim, gang, pool, requested, tasks

CPU2 = pool("cpu2", CPU=2)
ONE = {"CPU": 1}


def test_strict_pack_takes_one_machine() -> None:
    """D1-20."""
    assert launched(planned(CPU2, gang("STRICT_PACK", ONE, ONE))) == {"cpu2": 1}


def test_strict_spread_takes_a_machine_per_bundle() -> None:
    """D1-20."""
    result = planned(CPU2, gang("STRICT_SPREAD", ONE, ONE))
    assert (launched(result), placed(result)) == ({"cpu2": 2}, {"new:0": 1, "new:1": 1})


def test_a_gang_that_no_machine_holds_is_infeasible_as_a_whole() -> None:
    """D1-20: 2 x 3 CPU together on machines of 2 CPUs: nothing is launched, one gang is unmet."""
    result = planned(CPU2, gang("STRICT_PACK", {"CPU": 3}, {"CPU": 3}))
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.NO_POOL_FITS)])


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
def test_a_gang_whose_pool_backs_off_is_not_called_impossible(strategy: str) -> None:
    resting = Backoff(OfferKey("cpu2"), 1010.0, Trouble.OUT_OF_STOCK)
    result = planned(CPU2, gang(strategy, ONE, ONE), backoffs=(resting,))
    assert unmet(result) == [("gang", 0, 1, ReasonCode.BACKED_OFF)]
    result = planned(CPU2, gang(strategy, ONE, {"CPU": 3}), backoffs=(resting,))
    assert unmet(result) == [("gang", 0, 1, ReasonCode.NO_POOL_FITS)]


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_SPREAD"])
def test_half_a_gang_is_never_launched(strategy: str) -> None:
    """D1-22: too wide for the maximum."""
    result = planned(CPU2, gang(strategy, *[{"CPU": 2}] * 4), max_workers=3)
    assert (launched(result), unmet(result)) == ({}, [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)])
    assert result.unmet[0].reason.text == (
        "a group of 4 bundles needs 1 more machines than allowed; the cluster is at its maximum of 3"
    )


def test_as_many_gangs_as_fit_are_served() -> None:
    result = planned(CPU2, gang("STRICT_SPREAD", *[{"CPU": 2}] * 2, count=3), max_workers=5)
    assert (launched(result), unmet(result)) == ({"cpu2": 4}, [("gang", 0, 1, ReasonCode.GANG_TOO_WIDE)])


def test_gangs_requests_tasks_and_minimums_add_up() -> None:
    """D1-21: a worked total.

    One machine runs, full. The minimum of 2 gives another (2 CPUs free). The strict spread gang takes one CPU of it
    and one of a new machine; requested 8 CPUs in all need 4 machines, so a fourth; tasks then fill what is left.
    """
    cpu2 = pool("cpu2", CPU=2, min_workers=2, max_workers=10)
    parts: list[Claim | Demanded] = [
        claim("m1", "cpu2", used={"CPU": 2}),
        gang("STRICT_SPREAD", ONE, ONE),
        requested(8, CPU=1),
        tasks(6, CPU=1),
    ]
    result = planned(cpu2, *parts)
    assert (launched(result), unmet(result)) == ({"cpu2": 4}, [])


def test_different_gangs_share_machines() -> None:
    """D1-27, D4-103: many strict spread gangs share nodes."""
    gangs = gang("STRICT_SPREAD", ONE, ONE, count=2)
    assert launched(planned(CPU2, gangs)) == {"cpu2": 2}
    alone = [gang("STRICT_SPREAD", {"CPU": 0.1}) for _ in range(10)]
    assert launched(planned(pool("cpu1", CPU=1), *alone)) == {"cpu1": 1}


def test_strategies_mix() -> None:
    """D4-103: packed and spread gangs on the same two machines."""
    cpu4 = pool("cpu4", CPU=4)
    wants = [
        gang("STRICT_SPREAD", ONE, ONE),
        gang("STRICT_PACK", ONE, ONE),
        gang("PACK", ONE, ONE),
        gang("SPREAD", ONE, ONE),
    ]
    assert launched(planned(cpu4, *wants)) == {"cpu4": 2}


def test_pack_and_spread_cost_nothing() -> None:
    """Preferences choose between equal prices only."""
    dear = [pool("big", 5.0, CPU=4), pool("small", 1.0, CPU=1)]
    assert launched(planned(*dear, gang("PACK", *[ONE] * 4))) == {"small": 4}
    cheap = [pool("big", 3.0, CPU=4), pool("small", 1.0, CPU=1)]
    assert launched(planned(*cheap, gang("SPREAD", *[ONE] * 4))) == {"big": 1}
    equal = [pool("big", 4.0, CPU=4), pool("small", 1.0, CPU=1)]
    assert launched(planned(*equal, gang("PACK", *[ONE] * 4))) == {"big": 1}
    assert launched(planned(*equal, gang("SPREAD", *[ONE] * 4))) == {"small": 4}


def test_spread_uses_several_free_machines() -> None:
    cpu4 = pool("cpu4", CPU=4)
    free = [claim(f"m{n}", "cpu4") for n in (1, 2, 3)]
    assert placed(planned(cpu4, *free, gang("SPREAD", *[ONE] * 3))) == {"m1": 1, "m2": 1, "m3": 1}
    assert placed(planned(cpu4, *free, gang("PACK", *[ONE] * 3))) == {"m1": 3}


def test_placed_bundles_need_no_room() -> None:
    """D4-103: rescheduling after a node died asks for the missing bundle only."""
    left = claim("m1", "cpu2", used={"CPU": 2}, machine_id="i-1")
    wants = gang("STRICT_SPREAD", {"CPU": 2}, {"CPU": 2}, placed={"0": "i-1"})
    assert launched(planned(CPU2, left, wants)) == {"cpu2": 1}


def test_strict_spread_keeps_off_machines_that_hold_a_bundle_already() -> None:
    left = claim("m1", "cpu2", used={"CPU": 1}, machine_id="i-1")
    wants = gang("STRICT_SPREAD", ONE, ONE, placed={"0": "i-1"})
    assert placed(planned(CPU2, left, wants)) == {"new:0": 1}


def test_strict_pack_returns_to_the_machine_that_holds_a_bundle_already() -> None:
    left = claim("m1", "cpu2", used={"CPU": 1}, machine_id="i-1")
    wants = gang("STRICT_PACK", ONE, ONE, placed={"0": "i-1"})
    assert placed(planned(CPU2, left, claim("m2", "cpu2"), wants)) == {"m1": 1}


def test_a_gang_takes_free_machines_first() -> None:
    free = [claim(f"m{n}", "cpu2") for n in (1, 2)]
    assert launched(planned(CPU2, *free, gang("STRICT_SPREAD", *[ONE] * 3))) == {"cpu2": 1}


def test_gangs_pass_the_upscaling_speed_and_tasks_do_not() -> None:
    """D4-104."""
    cpu1 = pool("cpu1", CPU=1)
    result = planned(cpu1, gang("STRICT_SPREAD", *[ONE] * 8), tasks(8, CPU=1), upscaling_speed=1.0)
    assert (launched(result), unmet(result)) == ({"cpu1": 8}, [("tasks", 0, 8, ReasonCode.UPSCALING_SPEED)])


def test_the_hardest_gang_is_placed_first_whatever_the_order() -> None:
    cpu4 = pool("cpu4", CPU=4)
    small, big = gang("STRICT_PACK", ONE), gang("STRICT_PACK", {"CPU": 2}, {"CPU": 2})
    for wants in ([small, big], [big, small]):
        result = planned(cpu4, *wants, max_workers=1)
        assert [entry[0] for entry in unmet(result)] == ["gang"]
        assert result.unmet[0].demand == small


def test_a_gang_of_gpus_takes_the_cheapest_machine_that_holds_it() -> None:
    pools = [
        pool("p3.16x", 24.48, CPU=64, GPU=8),
        pool("g5.48x", 16.288, CPU=192, GPU=8),
        pool("g5.x", 1.0, CPU=4, GPU=1),
    ]
    assert launched(planned(*pools, gang("STRICT_PACK", *[{"GPU": 1}] * 8))) == {"g5.48x": 1}


def test_bundles_that_need_nothing() -> None:
    assert launched(planned(CPU2, gang("STRICT_SPREAD", {}, {}))) == {"cpu2": 2}
    assert launched(planned(CPU2, gang("PACK", {}, {}))) == {"cpu2": 1}


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
def test_a_gang_that_needs_nothing_goes_onto_what_others_launch(strategy: str) -> None:
    """Also where a cheaper machine would hold it, which would be launched for it if it came first."""
    pools = [pool("small", 1.0, CPU=1), pool("big", 5.0, CPU=16)]
    wants: list[Demanded] = [gang(strategy, {}, {}), tasks(2, CPU=16), requested(2, CPU=16)]
    result = planned(*pools, *wants)
    assert (launched(result), unmet(result)) == ({"big": 2}, [])


def test_a_bundle_that_needs_nothing_does_not_choose_the_machine_for_the_others() -> None:
    pools = [pool("gpu", 0.5, GPU=1), pool("cpu4", 1.0, CPU=4)]
    assert launched(planned(*pools, gang("PACK", {}, {"CPU": 4}))) == {"cpu4": 1}


def test_packed_gangs_fill_the_machines_that_tasks_need() -> None:
    """The gang would have two small machines by itself; beside the GPU task there is room for it."""
    pools = [pool("small", 1.0, CPU=2), pool("gpu", 5.0, CPU=8, GPU=1)]
    for strategy in ("PACK", "SPREAD"):
        result = planned(*pools, gang(strategy, {"CPU": 2}, {"CPU": 2}), tasks(1, GPU=1))
        assert (launched(result), unmet(result)) == ({"gpu": 1}, [])


def test_what_can_never_be_placed_does_not_keep_the_rest_from_sharing() -> None:
    pools = [pool("small", 1.0, CPU=2), pool("gpu", 5.0, CPU=8, GPU=1)]
    possible: list[Demanded] = [gang("PACK", {"CPU": 2}, {"CPU": 2}), tasks(1, GPU=1)]
    never: list[Demanded] = [gang("PACK", {"CPU": 1}, {"GPU": 64}), tasks(1, GPU=64), gang("STRICT_PACK", {"GPU": 64})]
    result = planned(*pools, *possible, *never)
    assert launched(result) == {"gpu": 1}
    assert [entry[:3] for entry in unmet(result)] == [("gang", 1, 1), ("gang", 2, 1), ("tasks", 1, 1)]


@pytest.mark.parametrize(
    ("strategy", "bundles", "count", "gangs"),
    [
        ("STRICT_SPREAD", [ONE, ONE, ONE], 1, 1),
        ("STRICT_SPREAD", [ONE, ONE, ONE], 2, 2),
        ("STRICT_PACK", [ONE, ONE], 3, 3),
        ("PACK", [ONE, {"CPU": 2}], 2, 2),
        ("SPREAD", [ONE, ONE], 4, 4),
    ],
)
def test_a_launch_says_for_how_many_gangs_it_is(
    strategy: str, bundles: list[dict[str, float]], count: int, gangs: int
) -> None:
    (launch,) = planned(CPU2, gang(strategy, *bundles, count=count)).launches
    assert (launch.reason.code, dict(launch.reason.details)) == (ReasonCode.GANG, {"gangs": gangs})


def test_a_gang_that_is_partly_on_what_is_there_is_one_gang() -> None:
    have = claim("m1", "cpu2", used={"CPU": 1})
    (launch,) = planned(CPU2, have, gang("STRICT_SPREAD", ONE, ONE, ONE)).launches
    assert (launch.count, dict(launch.reason.details)) == (2, {"gangs": 1})
