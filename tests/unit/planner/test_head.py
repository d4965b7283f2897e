"""The head: one, always, before everything else."""

import pytest
from tests.unit.planner.looking import found, kept, launched, leaving, planned, unmet

from rayfleet.model import MachineFact, NodeFact, Phase, ReasonCode
from rayfleet.testing.snapshots import claim, gang, pool, requested, tasks

HEAD = pool("head", 0.1, CPU=0)
CPU1 = pool("cpu1", CPU=1, min_workers=1)


def test_a_cluster_without_a_head_launches_one_and_waits_for_it() -> None:
    """D4-106."""
    result = planned(CPU1, tasks(3, CPU=1), head=HEAD)
    assert (launched(result), [c.head for c in result.claims]) == ({"head": 1}, [True])
    assert result.launches[0].reason.code is ReasonCode.HEAD
    assert unmet(result) == [("tasks", 0, 3, ReasonCode.WAITING_FOR_HEAD)]


@pytest.mark.parametrize("phase", [Phase.REQUESTED, Phase.BOOTING])
def test_nothing_is_scaled_until_the_head_is_ready(phase: Phase) -> None:
    """D2-57."""
    head = claim("h", "head", phase, head=True)
    assert planned(CPU1, head, tasks(3, CPU=1), head=HEAD, engine_up=False).launches == ()


def test_with_a_ready_head_scaling_begins() -> None:
    """D1-3, D2-57."""
    head = claim("h", "head", head=True)
    assert launched(planned(CPU1, head, tasks(3, CPU=1), head=HEAD)) == {"cpu1": 3}


def test_a_head_that_is_gone_is_replaced() -> None:
    """D2-65."""
    lost = claim("h", "head", head=True, machine=MachineFact.ABSENT, machine_id="i-0", listed_at=999.0)
    result = planned(CPU1, lost, head=HEAD, engine_up=False)
    assert (launched(result), found(result)) == ({"head": 1}, [("h", ReasonCode.MACHINE_LOST)])


def test_a_leaving_head_is_waited_for() -> None:
    away = claim(
        "h", "head", Phase.RELEASING, head=True, machine=MachineFact.PRESENT, machine_id="i-0", retry_at=2000.0
    )
    assert launched(planned(CPU1, away, head=HEAD, engine_up=False)) == {}


def test_a_head_that_does_not_come_up_is_replaced() -> None:
    late = claim("h", "head", Phase.BOOTING, head=True, since=0.0, machine=MachineFact.PRESENT, machine_id="i-0")
    assert leaving(planned(CPU1, late, head=HEAD, engine_up=False)) == {"h": ReasonCode.BOOT_TIMEOUT}


@pytest.mark.parametrize("node", [NodeFact.DEAD, NodeFact.ABSENT, NodeFact.DRAINING])
def test_the_head_is_not_ended_for_what_is_said_of_its_node(node: NodeFact) -> None:
    head = claim("h", "head", head=True, node=node, unseen_since=0.0, idle_s=9999.0)
    result = planned(CPU1, head, head=HEAD)
    assert (leaving(result), kept(result)) == ({}, {"h": ReasonCode.IS_HEAD})


def test_limits_do_not_touch_the_head() -> None:
    head = claim("h", "head", head=True, usd_per_hour=5.0)
    assert leaving(planned(head, head=HEAD, max_workers=0, max_usd_per_hour=1.0)) == {}


def test_the_head_costs() -> None:
    head = claim("h", "head", head=True, usd_per_hour=5.0)
    result = planned(head, head=HEAD)
    assert (result.cost.before, result.cost.after) == (5.0, 5.0)


def test_of_two_heads_the_one_that_is_ready_stays() -> None:
    heads = [claim("h1", "head", Phase.BOOTING, head=True), claim("h2", "head", head=True)]
    assert leaving(planned(*heads, head=HEAD)) == {"h1": ReasonCode.UNNEEDED}


def test_without_an_engine_nothing_is_launched_for_demand_or_minimums() -> None:
    """D5-130."""
    result = planned(CPU1, claim("h", "head", head=True), tasks(3, CPU=1), head=HEAD, engine_up=False)
    assert (launched(result), unmet(result), found(result)) == ({}, [], [("engine", ReasonCode.ENGINE_DOWN)])


def test_a_head_that_somebody_else_keeps_is_only_capacity() -> None:
    """D4-107."""
    assert launched(planned(CPU1, tasks(1, CPU=1))) == {"cpu1": 1}


def test_the_head_is_launched_under_a_token_of_its_own() -> None:
    result = planned(CPU1, head=HEAD)
    (made,) = result.claims
    assert (made.batch, result.launches[0].batch) == ("head-101@1000", "head-101@1000")
    assert (made.head, made.accepted, made.since, made.created, made.make) == (True, False, 1000.0, 1000.0, HEAD.make)


def test_while_the_head_is_waited_for_everything_that_is_asked_for_is_unmet() -> None:
    wants = (tasks(3, CPU=1), gang("PACK", {"CPU": 1}, count=2), requested(4, CPU=1), tasks(0, CPU=2))
    why = ReasonCode.WAITING_FOR_HEAD
    assert unmet(planned(CPU1, *wants, head=HEAD)) == [
        ("gang", 0, 2, why),
        ("requested", 0, 4, why),
        ("tasks", 0, 3, why),
    ]
