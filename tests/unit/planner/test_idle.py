"""What nobody needs leaves, and nothing else."""

import pytest
from tests.unit.planner.looking import claim_of, kept, launched, leaving, planned, sound_plan

from rayfleet.model import MachineFact, NodeFact, Phase, ReasonCode
from rayfleet.testing.snapshots import Demanded, claim, gang, pool, requested, snapshot, tasks

CPU1 = pool("cpu1", CPU=1)
IDLE = claim("m1", "cpu1", idle_s=70.0)


def test_a_machine_idle_for_the_time_out_is_drained() -> None:
    """D1-17, D5-140: asked once, released after it has left."""
    result = planned(CPU1, IDLE)
    assert [(d.claim, d.voluntary, d.reason.text) for d in result.drains] == [
        ("m1", True, "idle for 70 s (time-out 60 s)")
    ]
    after = claim_of(result, "m1")
    assert after is not None
    assert (after.phase, result.releases) == (Phase.DRAINING, ())
    assert planned(CPU1, *result.claims).drains == ()


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([requested(1, CPU=1)], ReasonCode.NEEDED),
        ([tasks(1, CPU=1)], ReasonCode.NEEDED),
        ([gang("STRICT_SPREAD", {"CPU": 1})], ReasonCode.NEEDED),
    ],
    ids=["requested", "tasks", "gang"],
)
def test_an_idle_machine_that_demand_needs_stays(parts: list[Demanded], why: ReasonCode) -> None:
    """D1-17, D5-140."""
    result = planned(CPU1, IDLE, *parts)
    assert (leaving(result), kept(result)) == ({}, {"m1": why})


def test_demand_that_it_cannot_serve_does_not_keep_it() -> None:
    assert leaving(planned(CPU1, IDLE, tasks(1, CPU=2))) == {"m1": ReasonCode.IDLE}


def test_the_idle_head_stays() -> None:
    """D1-17."""
    head = claim("h", "cpu1", head=True, idle_s=9999.0)
    result = planned(CPU1, head)
    assert (leaving(result), kept(result)) == ({}, {"h": ReasonCode.IS_HEAD})


def test_the_minimum_survives() -> None:
    """D1-18: the longest idle go, down to the minimum."""
    idle = [claim(f"m{n}", "cpu1", idle_s=100.0 + n) for n in (1, 2, 3)]
    result = planned(pool("cpu1", CPU=1, min_workers=1), *idle)
    assert leaving(result) == {"m3": ReasonCode.IDLE, "m2": ReasonCode.IDLE}
    assert kept(result)["m1"] is ReasonCode.NEEDED


def test_a_pools_own_time_out_overrides() -> None:
    """D1-19."""
    slow = pool("slow", CPU=1, idle_timeout_s=500)
    result = planned(slow, CPU1, claim("s", "slow", idle_s=70.0), IDLE)
    assert (leaving(result), kept(result)) == ({"m1": ReasonCode.IDLE}, {"s": ReasonCode.NOT_IDLE_YET})


@pytest.mark.parametrize("idle_s", [59.9, 60.0])
def test_the_time_out_is_exact(idle_s: float) -> None:
    assert bool(leaving(planned(CPU1, claim("m1", "cpu1", idle_s=idle_s)))) == (idle_s >= 60.0)


def test_a_machine_in_use_stays_however_long_its_idle_counter() -> None:
    result = planned(CPU1, claim("m1", "cpu1", used={"CPU": 0.001}, idle_s=999.0))
    assert kept(result) == {"m1": ReasonCode.BUSY}


def test_what_keeps_a_machine_busy_is_named() -> None:
    """D4-109: also what uses no resource."""
    result = planned(CPU1, claim("m1", "cpu1", activity=("object_store_memory in use",)))
    assert result.kept[0].reason.text == "in use: object_store_memory in use"
    both = planned(CPU1, claim("m1", "cpu1", activity=("a driver", "objects in use")))
    assert both.kept[0].reason.text == "in use: a driver, objects in use"


def test_a_refused_drain_is_not_repeated_at_once() -> None:
    """D5-119."""
    refused = claim("m1", "cpu1", idle_s=99.0, retry_at=1005.0)
    waits = planned(CPU1, refused)
    assert (kept(waits), dict(waits.kept[0].reason.details)) == ({"m1": ReasonCode.DRAIN_REFUSED}, {"retry_s": 5.0})
    assert leaving(planned(CPU1, refused, now=1005.0)) == {"m1": ReasonCode.IDLE}


def test_a_labelled_machine_is_not_disrupted() -> None:
    assert kept(planned(CPU1, claim("m1", "cpu1", idle_s=99.0, do_not_disrupt=True))) == {
        "m1": ReasonCode.DO_NOT_DISRUPT
    }


def test_the_downscaling_speed_limits_how_many_leave_at_a_time() -> None:
    idle = [claim(f"m{n}", "cpu1", idle_s=99.0) for n in range(20)]
    result = planned(CPU1, *idle, downscaling_speed=0.5)
    assert len(leaving(result)) == 10
    assert list(kept(result).values()) == [ReasonCode.DOWNSCALING_SPEED] * 10


def test_nothing_leaves_for_idleness_while_the_engine_is_down() -> None:
    result = planned(CPU1, IDLE, claim("m2", "cpu1", Phase.REQUESTED), engine_up=False)
    assert (leaving(result), launched(result)) == ({}, {})
    assert kept(result) == {"m1": ReasonCode.ENGINE_DOWN, "m2": ReasonCode.ENGINE_DOWN}


def test_no_metrics_no_change() -> None:
    """D5-130: no demand, nothing known of nodes."""
    result = planned(CPU1, claim("m1", "cpu1"))
    assert (launched(result), leaving(result)) == ({}, {})


def test_starting_machines_that_nobody_needs_any_more_are_cancelled() -> None:
    """D5-121."""
    starting = [claim(f"m{n}", "cpu1", Phase.REQUESTED) for n in (1, 2, 3)]
    result = planned(CPU1, *starting, tasks(1, CPU=1))
    assert leaving(result) == {"m2": ReasonCode.UNNEEDED, "m3": ReasonCode.UNNEEDED}
    assert [release.how.value for release in result.releases] == ["cancel", "cancel"]


def test_what_is_furthest_from_ready_is_cancelled_first() -> None:
    starting = [claim("m1", "cpu1", Phase.REQUESTED), claim("m2", "cpu1", Phase.BOOTING)]
    assert leaving(planned(pool("cpu1", CPU=1, min_workers=1), *starting)) == {"m1": ReasonCode.UNNEEDED}


def test_nothing_is_cancelled_right_after_a_node_has_joined() -> None:
    """Its task no longer waits, but is not reported as running yet: the others' tasks still need the others."""
    joined = claim("m1", "cpu1", since=999.0)
    others = [claim(f"m{n}", "cpu1", Phase.BOOTING) for n in (2, 3)]
    assert leaving(planned(CPU1, joined, *others, tasks(2, CPU=1))) == {}
    assert leaving(planned(CPU1, joined, *others, tasks(2, CPU=1), now=1002.0)) == {"m3": ReasonCode.UNNEEDED}


def test_a_steady_load_changes_nothing() -> None:
    """D3-70, no churn: what is launched, once it runs the work, stays and is enough."""
    first = snapshot(pool("cpu4", CPU=4), tasks(10, CPU=1))
    result = sound_plan(first)
    assert launched(result) == {"cpu4": 3}
    again = planned(pool("cpu4", CPU=4), *result.claims, tasks(10, CPU=1), serial=result.serial)
    assert again.actions == ()


def test_a_node_that_the_engine_has_lost_sight_of_is_not_drained() -> None:
    unseen = claim("m1", "cpu1", idle_s=99.0, machine=MachineFact.PRESENT, node=NodeFact.ABSENT, unseen_since=999.0)
    assert kept(planned(CPU1, unseen)) == {"m1": ReasonCode.BOOTING}
