"""A claim's life, fact by fact. The numbers D2-38 to D2-69 are explained in README.md beside this file."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planner.looking import claim_of, found, launched, leaving, planned, sound_plan

from rayfleet.model import (
    Claim,
    Drain,
    How,
    MachineFact,
    NodeFact,
    OfferKey,
    Outcome,
    OutcomeKind,
    Phase,
    Plan,
    ReasonCode,
    Stray,
    Timeouts,
    Trouble,
    reason,
)
from rayfleet.planner.lifecycle import Sight, advance
from rayfleet.testing.snapshots import NOW, claim, pool, snapshot, tasks, with_host

CPU1 = pool("cpu1", CPU=1, min_workers=0)
PRESENT, ABSENT, FAILED = MachineFact.PRESENT, MachineFact.ABSENT, MachineFact.FAILED
ALIVE, DRAINING, DEAD, UNKNOWN = NodeFact.ALIVE, NodeFact.DRAINING, NodeFact.DEAD, NodeFact.ABSENT
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
ORDERED = reason(ReasonCode.ORDERED, by="me", why="test")


def one(phase: Phase, machine: MachineFact | None = None, node: NodeFact | None = None, **fields: Any) -> Claim:
    """Return a claim with one host whose machine is known unless it is absent and the claim only requested."""
    machine_id = None if phase is Phase.REQUESTED and machine is not PRESENT else "i-1"
    fields.setdefault("listed_at", 999.0)
    return claim("m1", "cpu1", phase, machine=machine, node=node, machine_id=machine_id, **fields)


def after(of: Claim, **fields: Any) -> tuple[Plan, Claim | None]:
    """Plan for this claim and as much work as it can do, so that it is needed; return what becomes of it."""
    wants = [tasks(1, CPU=1)] if fields.pop("work", True) else []
    result = planned(CPU1, of, *wants, **fields)
    return result, claim_of(result, "m1")


def phase_after(of: Claim, **fields: object) -> Phase | None:
    """Return the phase after one plan; None when the claim is gone."""
    became = after(of, **fields)[1]
    return became.phase if became else None


# ---- REQUESTED -------------------------------------------------------------------------------------------------------


def test_requested_within_its_time_stays() -> None:
    """D2-38, D2-56."""
    result, became = after(one(Phase.REQUESTED, ABSENT, UNKNOWN, accepted=True))
    assert became is not None
    assert (became.phase, became.since, result.actions) == (Phase.REQUESTED, 900.0, ())


def test_requested_becomes_booting_when_its_machine_is_seen() -> None:
    """D2-39."""
    _, became = after(one(Phase.REQUESTED, PRESENT, UNKNOWN))
    assert became is not None
    assert (became.phase, became.since, became.accepted) == (Phase.BOOTING, 1000.0, True)


def test_requested_that_never_comes_is_given_up_and_its_offer_backs_off() -> None:
    """D2-51."""
    result, became = after(one(Phase.REQUESTED, ABSENT, UNKNOWN, accepted=True, since=800.0, created=800.0))
    assert became is not None
    assert (became.phase, leaving(result)) == (Phase.RELEASING, {"m1": ReasonCode.REQUEST_TIMEOUT})
    assert [b.scope.pool for b in result.backoffs] == ["cpu1"]


def test_requested_is_never_given_up_on_an_old_listing() -> None:
    """D2-56: a listing from before the request says nothing."""
    old = one(Phase.REQUESTED, ABSENT, UNKNOWN, accepted=True, since=800.0, created=800.0, listed_at=805.0)
    assert phase_after(old) is Phase.REQUESTED


def test_a_machine_that_the_provider_calls_failed_is_released() -> None:
    """D2-48."""
    result, _ = after(one(Phase.BOOTING, FAILED))
    assert leaving(result) == {"m1": ReasonCode.LAUNCH_FAILED}


@pytest.mark.parametrize(
    ("phase", "text"),
    [(Phase.BOOTING, "launch failed: no such disk"), (Phase.READY, "its machine failed: no such disk")],
)
def test_what_the_provider_says_of_a_failed_machine_is_the_reason(phase: Phase, text: str) -> None:
    result, _ = after(one(phase, FAILED, message="no such disk"))
    assert [release.reason.text for release in result.releases] == [text]
    assert [backoff.message for backoff in result.backoffs] == ([text] if phase is Phase.BOOTING else [])


def test_a_launch_that_nobody_knows_the_end_of_is_asked_again_under_its_token() -> None:
    """After a crash between save and launch."""
    lost = one(Phase.REQUESTED, ABSENT, UNKNOWN, accepted=False, batch="token")
    result, became = after(lost)
    assert [(x.batch, x.claims, x.again, x.reason.code) for x in result.launches] == [
        ("token", ("m1",), True, ReasonCode.RELAUNCH)
    ]
    assert became is not None
    assert became.phase is Phase.REQUESTED


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"in_flight": ("token",)}, "its call is under way"), ({}, "no listing since")],
)
def test_a_launch_is_not_asked_again_while_it_may_still_be_known(fields: dict[str, object], why: str) -> None:
    listed_at = 999.0 if fields else 900.0
    lost = one(Phase.REQUESTED, ABSENT, UNKNOWN, accepted=False, batch="token", listed_at=listed_at)
    assert after(lost, **fields)[0].launches == (), why


def test_when_one_machine_of_a_batch_is_seen_the_others_are_only_late() -> None:
    """D2-40: a partial success is a success."""
    seen = claim("m1", "cpu1", Phase.BOOTING, machine=PRESENT, machine_id="i-1", batch="b", listed_at=999.0)
    late = claim("m2", "cpu1", Phase.REQUESTED, machine=ABSENT, batch="b", listed_at=999.0)
    result = planned(CPU1, seen, late, tasks(2, CPU=1))
    became = claim_of(result, "m2")
    assert became is not None
    assert (result.launches, became.accepted) == ((), True)


# ---- BOOTING ---------------------------------------------------------------------------------------------------------


def test_booting_becomes_ready_when_its_node_is_alive() -> None:
    """D2-44."""
    assert phase_after(one(Phase.BOOTING, PRESENT, ALIVE)) is Phase.READY


def test_requested_becomes_ready_at_once_when_its_node_is_alive() -> None:
    assert phase_after(one(Phase.REQUESTED, PRESENT, ALIVE)) is Phase.READY


@pytest.mark.parametrize(("since", "expected"), [(701.0, Phase.BOOTING), (700.0, Phase.RELEASING)])
def test_booting_for_too_long_is_released(since: float, expected: Phase) -> None:
    """D2-54, D2-56, D5-128."""
    result, became = after(one(Phase.BOOTING, PRESENT, UNKNOWN, since=since, created=since))
    assert became is not None
    assert became.phase is expected
    assert [r.how for r in result.releases] == ([How.NOW] if expected is Phase.RELEASING else [])


def test_nobody_boots_too_long_while_the_engine_is_down() -> None:
    assert phase_after(one(Phase.BOOTING, PRESENT, since=0.0), engine_up=False) is Phase.BOOTING


def test_booting_whose_machine_is_gone_is_gone() -> None:
    """D2-42."""
    result, became = after(one(Phase.BOOTING, ABSENT, UNKNOWN))
    assert (became, found(result)) == (None, [("m1", ReasonCode.MACHINE_LOST)])


# ---- READY -----------------------------------------------------------------------------------------------------------


def test_ready_with_a_live_node_stays_as_it_is() -> None:
    """D2-43, D2-45: no event."""
    ready = one(Phase.READY, PRESENT, ALIVE)
    result, became = after(ready)
    assert (became, result.actions) == (ready, ())


def test_ready_whose_machine_is_gone_is_replaced() -> None:
    """D2-42, D5-126: ended out of band."""
    result, became = after(one(Phase.READY, ABSENT, UNKNOWN))
    assert (became, launched(result)) == (None, {"cpu1": 1})


def test_a_young_claim_is_never_lost() -> None:
    young = one(Phase.READY, ABSENT, created=995.0, since=995.0)
    assert phase_after(young) is Phase.READY


def test_ready_whose_node_died_is_released_and_replaced() -> None:
    """D2-47, D5-131."""
    result, became = after(one(Phase.READY, PRESENT, DEAD))
    assert became is not None
    assert (became.phase, launched(result)) == (Phase.RELEASING, {"cpu1": 1})
    assert leaving(result) == {"m1": ReasonCode.NODE_DIED}


def test_a_node_that_the_engine_does_not_know_is_waited_for_and_then_replaced() -> None:
    """D5-131, D5-142: newly unseen nodes get grace."""
    _, became = after(one(Phase.READY, PRESENT, UNKNOWN))
    assert became is not None
    assert (became.phase, became.unseen_since) == (Phase.READY, 1000.0)
    assert phase_after(became, now=1029.0) is Phase.READY
    assert phase_after(became, now=1030.0) is Phase.RELEASING
    back = with_host(became, node=ALIVE)
    again = after(back, now=1030.0)[1]
    assert again is not None
    assert again.unseen_since is None


def test_an_engine_that_comes_back_is_given_time_to_know_its_nodes_again() -> None:
    lost = one(Phase.READY, PRESENT, UNKNOWN, unseen_since=990.0)
    away = after(one(Phase.READY, PRESENT, None, unseen_since=990.0), engine_up=False)[1]
    assert away is not None
    back = with_host(away, node=UNKNOWN)
    assert (phase_after(lost, now=1100.0), phase_after(back, now=1100.0)) == (Phase.RELEASING, Phase.READY)


def test_facts_of_nodes_mean_nothing_while_the_engine_is_down() -> None:
    """D5-131: left alone."""
    assert phase_after(one(Phase.READY, PRESENT, UNKNOWN, unseen_since=0.0), engine_up=False) is Phase.READY


def test_a_node_drained_by_somebody_else_is_draining() -> None:
    """D2-46."""
    _, became = after(one(Phase.READY, PRESENT, DRAINING))
    assert became is not None
    assert became.drain is not None
    assert (became.phase, became.drain.deadline) == (Phase.DRAINING, 1300.0)


def test_no_fact_moves_nothing() -> None:
    """The phase is believed: files written by hand, edges out of reach."""
    for phase in (Phase.REQUESTED, Phase.BOOTING, Phase.READY, Phase.RELEASING):
        assert phase_after(one(phase, accepted=True)) is phase


# ---- DRAINING --------------------------------------------------------------------------------------------------------


def draining(why: object = ORDERED, deadline: float = 1100.0, since: float = 999.0) -> dict[str, object]:
    return {"drain": Drain(why, since, deadline), "since": since}  # type: ignore[arg-type]  # a Reason


def test_a_node_that_has_left_is_released() -> None:
    """D2-47, D2-58, D2-59."""
    for node in (DEAD, UNKNOWN):
        result, became = after(one(Phase.DRAINING, PRESENT, node, **draining()))
        assert became is not None
        assert (became.phase, [r.how for r in result.releases]) == (Phase.RELEASING, [How.END])


def test_a_draining_machine_that_died_is_gone() -> None:
    """D2-49."""
    assert phase_after(one(Phase.DRAINING, ABSENT, UNKNOWN, **draining())) is None


@pytest.mark.parametrize(("deadline", "expected"), [(1000.1, Phase.DRAINING), (1000.0, Phase.RELEASING)])
def test_at_the_deadline_it_is_released(deadline: float, expected: Phase) -> None:
    assert phase_after(one(Phase.DRAINING, PRESENT, DRAINING, **draining(deadline=deadline))) is expected


def test_an_idle_drain_that_ray_never_heard_of_is_taken_back() -> None:
    """D2-52: stuck stop request."""
    assert phase_after(one(Phase.DRAINING, PRESENT, ALIVE, **draining(IDLE, since=989.0))) is Phase.READY


def test_a_forced_drain_that_ray_never_heard_of_is_asked_again() -> None:
    result, became = after(one(Phase.DRAINING, PRESENT, ALIVE, **draining(since=989.0), node_id="n1"))
    assert became is not None
    assert (became.phase, [d.deadline for d in result.drains]) == (Phase.DRAINING, [1100.0])


# ---- RELEASING -------------------------------------------------------------------------------------------------------


def test_released_and_no_longer_listed_is_gone() -> None:
    assert phase_after(one(Phase.RELEASING, ABSENT)) is None


def test_released_and_still_listed_is_released_again() -> None:
    """D2-42, D2-54: termination error => again."""
    still = one(Phase.RELEASING, PRESENT, since=980.0)
    result, became = after(still)
    assert [(r.how, r.reason.code) for r in result.releases] == [(How.END, ReasonCode.STILL_LISTED)]
    assert became is not None
    assert after(became, now=1019.0)[0].releases == ()
    assert len(after(became, now=1020.0)[0].releases) == 1


def test_a_machine_that_comes_after_its_claim_was_cancelled_is_released_at_once() -> None:
    cancelled = claim_of(planned(CPU1, one(Phase.REQUESTED, ABSENT, accepted=True)), "m1")
    assert cancelled is not None
    assert cancelled.phase is Phase.RELEASING
    came = with_host(cancelled, machine_id="i-1", machine=PRESENT)
    assert [r.machine_ids for r in planned(CPU1, came, now=1001.0).releases] == [("i-1",)]


def test_a_cancelled_claim_whose_machine_never_comes_is_gone_after_a_while() -> None:
    cancelled = claim("m1", "cpu1", Phase.RELEASING, machine=ABSENT, since=990.0, listed_at=999.0)
    assert claim_of(planned(CPU1, cancelled), "m1") is not None
    later = claim("m1", "cpu1", Phase.RELEASING, machine=ABSENT, since=980.0, listed_at=999.0)
    assert claim_of(planned(CPU1, later), "m1") is None
    assert claim_of(planned(CPU1, later, in_flight=("m1",)), "m1") is not None


def test_failed_claims_are_not_kept() -> None:
    assert phase_after(one(Phase.FAILED)) is None


# ---- replicas --------------------------------------------------------------------------------------------------------


def test_a_replica_is_ready_when_all_its_hosts_are() -> None:
    tpu = pool("tpu", CPU=1, hosts_per_replica=2, min_workers=2)
    half = claim("t", "tpu", Phase.BOOTING, hosts=2, machine=PRESENT, machine_id="i", node=ALIVE)
    waiting = claim_of(planned(tpu, with_host(half, 1, node=UNKNOWN)), "t")
    whole = claim_of(planned(tpu, half), "t")
    assert waiting is not None
    assert whole is not None
    assert (waiting.phase, whole.phase) == (Phase.BOOTING, Phase.READY)


@pytest.mark.parametrize("facts", [{"node": DEAD}, {"machine": ABSENT, "node": UNKNOWN}])
def test_a_replica_fails_with_any_of_its_hosts(facts: dict[str, object]) -> None:
    tpu = pool("tpu", CPU=1, hosts_per_replica=2)
    ready = claim("t", "tpu", hosts=2, machine=PRESENT, machine_id="i", node=ALIVE, listed_at=999.0)
    result = planned(tpu, with_host(ready, 1, **facts))
    assert leaving(result) == {"t": ReasonCode.REPLICA_BROKEN}
    assert result.releases[0].hosts == ("t.0", "t.1")


def replica(phase: Phase, *facts: NodeFact, **fields: Any) -> Claim:
    made = claim("t", "tpu", phase, hosts=len(facts), machine=PRESENT, machine_id="i", listed_at=999.0, **fields)
    for number, fact in enumerate(facts):
        made = with_host(made, number, node=fact, node_id=f"n{number}")
    return made


TPU = pool("tpu", CPU=1, hosts_per_replica=2)
REFUSED = Outcome(OutcomeKind.DRAIN, ("t",), 1000.0, Trouble.REFUSED)


@pytest.mark.parametrize("first", [DRAINING, DEAD])
def test_a_replica_of_which_one_host_has_let_go_leaves_as_a_whole(first: NodeFact) -> None:
    """The second host refuses, because it has got work: it may finish that, and both are given back together."""
    asked = replica(Phase.DRAINING, first, ALIVE, since=999.0, drain=Drain(IDLE, 999.0, 1030.0))
    result = planned(TPU, asked, outcomes=(REFUSED,))
    became = claim_of(result, "t")
    assert became is not None
    assert became.drain is not None
    assert (became.phase, became.drain.reason.code) == (Phase.DRAINING, ReasonCode.REPLICA_BROKEN)
    assert [(drain.node_ids, drain.voluntary) for drain in result.drains] == [(("n0", "n1"), False)]
    assert became.drain.deadline == 1000.0 + Timeouts().drain_timeout_s
    assert result.releases == ()


def test_a_replica_whose_drain_all_hosts_have_refused_is_ready_again() -> None:
    asked = replica(Phase.DRAINING, ALIVE, ALIVE, since=999.0, drain=Drain(IDLE, 999.0, 1030.0))
    result = planned(TPU, asked, outcomes=(REFUSED,))
    became = claim_of(result, "t")
    assert became is not None
    assert (became.phase, result.drains) == (Phase.READY, ())


def test_a_replica_of_which_one_host_has_not_heard_leaves_as_a_whole() -> None:
    """The call to the second host was lost: to be READY again would be the end of its work with the first's."""
    since = 1000.0 - Timeouts().drain_retry_s
    asked = replica(Phase.DRAINING, DEAD, ALIVE, since=since, drain=Drain(IDLE, since, 2000.0))
    result = planned(TPU, asked)
    assert [(drain.reason.code, drain.voluntary) for drain in result.drains] == [(ReasonCode.REPLICA_BROKEN, False)]
    assert result.releases == ()


def test_when_somebody_drains_one_host_the_others_are_asked_at_once() -> None:
    result = planned(TPU, replica(Phase.READY, DRAINING, ALIVE))
    assert [(drain.reason.code, drain.voluntary) for drain in result.drains] == [(ReasonCode.ORDERED, False)]


def test_hosts_of_a_replica_are_given_back_in_one_call() -> None:
    left = replica(Phase.DRAINING, DEAD, DEAD, since=990.0, drain=Drain(IDLE, 990.0, 2000.0))
    result = planned(TPU, left)
    assert [release.hosts for release in result.releases] == [("t.0", "t.1")]
    half = replica(Phase.DRAINING, DEAD, DRAINING, since=999.0, drain=Drain(IDLE, 990.0, 2000.0))
    assert planned(TPU, half).releases == ()


def test_the_host_that_was_used_last_is_asked_first() -> None:
    """It is the one to refuse, and when it does no other has let go yet."""
    idle = with_host(replica(Phase.READY, ALIVE, ALIVE, idle_s=900.0), 1, idle_s=100.0)
    assert [drain.node_ids for drain in planned(TPU, idle).drains] == [("n1", "n0")]


# ---- strays ----------------------------------------------------------------------------------------------------------


def with_strays(*strays: Stray, **fields: Any) -> Plan:
    return sound_plan(snapshot(CPU1, tasks(len(strays), CPU=1), strays=strays, **fields))


def test_machines_without_a_claim_are_adopted() -> None:
    """D2-62, D2-63: unknown machines, also one that was stopped and started again."""
    result = with_strays(Stray("i-9", OfferKey("cpu1"), "old", 500.0))
    adopted = result.claims[0]
    assert (adopted.id, adopted.phase, adopted.batch, adopted.hosts[0].machine_id) == (
        "cpu1-101",
        Phase.BOOTING,
        "old",
        "i-9",
    )
    assert (found(result), launched(result)) == ([("cpu1-101", ReasonCode.ADOPTED)], {})


def test_an_adopted_machine_that_nobody_needs_is_judged_like_any_other() -> None:
    adopted = sound_plan(snapshot(CPU1, strays=(Stray("i-9", OfferKey("cpu1"), "old"),)))
    assert leaving(planned(CPU1, *adopted.claims)) == {"cpu1-101": ReasonCode.UNNEEDED}


def test_an_adopted_machine_that_somebody_else_asked_for_may_have_its_start() -> None:
    """Where machines carry no tags, a person has wanted it: it leaves when it has been idle, not before it is up."""
    adopted = sound_plan(snapshot(CPU1, strays=(Stray("i-9", OfferKey("cpu1")),)))
    assert leaving(planned(CPU1, *adopted.claims)) == {}
    (claim,) = adopted.claims
    idle = replace(claim, phase=Phase.READY, hosts=tuple(replace(host, idle_s=61.0) for host in claim.hosts))
    assert leaving(planned(CPU1, idle)) == {"cpu1-101": ReasonCode.IDLE}


def test_an_adopted_machine_of_a_removed_pool_leaves() -> None:
    result = with_strays(Stray("i-9", OfferKey("gone")))
    assert leaving(result) == {"gone-101": ReasonCode.POOL_REMOVED}


# ---- every fact in every phase ---------------------------------------------------------------------------------------


def test_every_combination_of_facts_has_an_answer() -> None:
    """Total: no exception, whatever is seen; the impossible is a finding."""
    facts = itertools.product(Phase, [None, *MachineFact], [None, *NodeFact], [True, False], [True, False])
    findings = 0
    for phase, machine, node, engine_up, accepted in facts:
        seen = one(phase, machine, node, accepted=accepted)
        step = advance(Sight(seen, 5000.0, Timeouts(), engine_up))
        findings += step.finding is not None
        assert step.claim is None or step.claim.phase in Phase
    assert findings > 0


def test_a_live_node_without_a_machine_is_reported_and_believed() -> None:
    result, became = after(one(Phase.REQUESTED, ABSENT, ALIVE))
    assert became is not None
    assert (became.phase, found(result)) == (Phase.READY, [("m1", ReasonCode.IMPOSSIBLE)])


# ---- interruption ----------------------------------------------------------------------------------------------------


def test_a_machine_that_the_provider_takes_back_is_drained_by_then_and_replaced_now() -> None:
    result = planned(CPU1, one(Phase.READY, PRESENT, ALIVE, interrupt_at=1120.0, used={"CPU": 1}), tasks(1, CPU=1))
    assert [(d.deadline, d.voluntary, d.reason.text) for d in result.drains] == [
        (1120.0, False, "the provider takes it back in 120 s")
    ]
    assert launched(result) == {"cpu1": 2}  # for what waits, and for what still runs there


def test_a_machine_that_drains_its_own_node_on_a_notice_is_replaced_as_one_that_the_provider_announces() -> None:
    claim = one(Phase.READY, PRESENT, DRAINING, interrupt_at=1030.0, used={"CPU": 1})
    _, became = after(claim)
    assert became is not None
    assert became.drain is not None
    assert (became.phase, became.drain.deadline) == (Phase.DRAINING, 1030.0)
    assert became.drain.reason.text == "the provider takes it back in 30 s"
    assert launched(planned(CPU1, claim)) == {"cpu1": 1}  # for what still runs there


def test_a_listing_that_flips_costs_no_machine_whose_node_works() -> None:
    assert phase_after(one(Phase.READY, ABSENT, ALIVE)) is Phase.READY


def test_a_machine_that_is_not_listed_and_whose_node_is_dead_is_lost() -> None:
    assert after(one(Phase.READY, ABSENT, DEAD))[1] is None


def test_a_token_is_not_repeated_by_a_ledger_that_forgot_its_serial() -> None:
    first, later = (planned(CPU1, tasks(1, CPU=1), now=now).launches[0] for now in (1000.0, 2000.0))
    assert first.claims == later.claims
    assert first.batch != later.batch


def test_a_claim_of_a_new_launch_is_not_accepted_before_its_provider_has_said_so() -> None:
    """Its launch may still fail, and until then is asked again under the same token."""
    result = planned(pool("p", 2.0, CPU=1), tasks(2, CPU=1))
    assert [(c.phase, c.accepted, c.since, c.created, c.usd_per_hour) for c in result.claims] == [
        (Phase.REQUESTED, False, NOW, NOW, 2.0)
    ] * 2
