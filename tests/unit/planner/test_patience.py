"""Machines on their way that nothing needs any more: kept for a while where others of their pool are in use."""

from dataclasses import replace

import pytest
from tests.unit.planner.looking import kept, leaving, planned

from rayfleet.model import Claim, Phase, ReasonCode
from rayfleet.testing.snapshots import claim, pool, tasks

CPU1 = pool("cpu1", CPU=1, idle_timeout_s=60.0)


def used(count: int) -> list[Claim]:
    """Return so many machines in use."""
    return [claim(f"u{n}", "cpu1", since=0.0, used={"CPU": 1}) for n in range(count)]


def coming(count: int, *, age_s: float = 10.0, phase: Phase = Phase.BOOTING, **fields: object) -> list[Claim]:
    """Return so many machines that were asked for `age_s` ago."""
    return [claim(f"n{n}", "cpu1", phase, created=1000.0 - age_s, **fields) for n in range(count)]  # type: ignore[arg-type]  # as `claim` takes them


def test_a_machine_on_its_way_is_kept_while_others_of_its_pool_are_in_use() -> None:
    """Load that comes and goes from second to second launches no machine twice."""
    result = planned(CPU1, *used(1), *coming(1))
    assert (leaving(result), kept(result)["n0"]) == ({}, ReasonCode.ON_HAND)


@pytest.mark.parametrize(("age_s", "leaves"), [(59.0, False), (60.0, True)])
def test_its_patience_is_the_idle_time_out_from_its_launch_on(age_s: float, leaves: bool) -> None:
    result = planned(CPU1, *used(1), *coming(1, age_s=age_s))
    assert leaving(result) == ({"n0": ReasonCode.UNNEEDED} if leaves else {})


@pytest.mark.parametrize(("in_use", "kept_count"), [(0, 0), (1, 1), (4, 1), (5, 2), (12, 3)])
def test_as_many_are_kept_as_a_quarter_of_those_in_use(in_use: int, kept_count: int) -> None:
    result = planned(CPU1, *used(in_use), *coming(6))
    assert len(leaving(result)) == 6 - kept_count


def test_those_nearest_to_ready_are_kept() -> None:
    young = replace(coming(1, age_s=5.0)[0], id="young")
    result = planned(CPU1, *used(1), *coming(1, age_s=30.0), young)
    assert leaving(result) == {"young": ReasonCode.UNNEEDED}


def test_the_share_is_the_policys_and_0_cancels_at_once() -> None:
    assert len(leaving(planned(CPU1, *used(2), *coming(2), keep_starting_share=1.0))) == 0
    assert len(leaving(planned(CPU1, *used(2), *coming(2), keep_starting_share=0.0))) == 2


def test_a_machine_without_a_time_is_cancelled_as_ever() -> None:
    """Written by hand: it has been there for ever."""
    assert leaving(planned(CPU1, *used(9), claim("n", "cpu1", Phase.BOOTING))) == {"n": ReasonCode.UNNEEDED}


def test_nothing_is_kept_while_a_limit_keeps_others_waiting() -> None:
    big = pool("big", CPU=8)
    result = planned(CPU1, big, *used(1), *coming(1), tasks(1, CPU=8), max_workers=2)
    assert leaving(result) == {"n0": ReasonCode.UNNEEDED}
    never = planned(CPU1, big, *used(1), *coming(1), tasks(1, CPU=99), max_workers=2)
    assert leaving(never) == {}


def test_an_outdated_machine_on_its_way_is_not_kept() -> None:
    assert leaving(planned(CPU1, *used(1), *coming(1, drifted=True))) == {"n0": ReasonCode.UNNEEDED}
