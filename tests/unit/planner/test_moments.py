"""A claim's life, arrow by arrow: the first moment at which each is taken, and what it leaves behind in the claim."""

from typing import Any

import pytest

from rayfleet.model import Claim, Drain, MachineFact, NodeFact, Phase, ReasonCode, Timeouts, reason
from rayfleet.planner.lifecycle import Effect, Sight, Step, advance
from rayfleet.testing.snapshots import claim, with_host

PRESENT, ABSENT, FAILED = MachineFact.PRESENT, MachineFact.ABSENT, MachineFact.FAILED
ALIVE, DRAINING, DEAD, UNKNOWN = NodeFact.ALIVE, NodeFact.DRAINING, NodeFact.DEAD, NodeFact.ABSENT
IDLE = reason(ReasonCode.IDLE, idle_s=70.0, idle_timeout_s=60.0)
ORDERED = reason(ReasonCode.ORDERED, by="me", why="test")
TIMES = Timeouts(
    visibility_timeout_s=10.0,
    request_timeout_s=100.0,
    boot_timeout_s=200.0,
    node_timeout_s=30.0,
    drain_retry_s=10.0,
    drain_timeout_s=300.0,
    release_retry_s=20.0,
)


def seen(phase: Phase, now: float, hosts: int = 1, sight: dict[str, Any] | None = None, **fields: Any) -> Step:
    """Look at a claim of time 0, whose machines are known and were listed just before `now`."""
    known = {"machine_id": "i", "since": 0.0, "created": 0.0, "listed_at": now - 0.5}
    return advance(Sight(claim("m", "cpu1", phase, hosts=hosts, **{**known, **fields}), now, TIMES, **(sight or {})))


def phase_of(step: Step) -> Phase | None:
    return step.claim.phase if step.claim else None


def drained(why: object, deadline: float = 300.0) -> dict[str, Any]:
    return {"drain": Drain(why, 0.0, deadline)}  # type: ignore[arg-type]  # a Reason


# ---- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "facts", "moment", "then", "effect"),
    [
        (Phase.REQUESTED, {"machine": ABSENT, "accepted": True}, 100.0, Phase.RELEASING, Effect.RELEASE),
        (Phase.BOOTING, {"machine": PRESENT}, 200.0, Phase.RELEASING, Effect.RELEASE),
        (Phase.BOOTING, {"machine": ABSENT}, 10.0, None, Effect.NONE),
        (Phase.READY, {"machine": ABSENT, "node": UNKNOWN}, 10.0, None, Effect.NONE),
        (Phase.READY, {"node": UNKNOWN, "unseen_since": 5.0}, 35.0, Phase.RELEASING, Effect.RELEASE),
        (Phase.DRAINING, {"node": ALIVE, **drained(IDLE)}, 10.0, Phase.READY, Effect.NONE),
        (Phase.DRAINING, {"node": DRAINING, **drained(IDLE)}, 300.0, Phase.RELEASING, Effect.RELEASE),
        (Phase.DRAINING, {"node": DRAINING, **drained(ORDERED)}, 300.0, Phase.RELEASING, Effect.RELEASE),
        (Phase.DRAINING, {"machine": ABSENT, **drained(ORDERED)}, 10.0, None, Effect.NONE),
        (Phase.RELEASING, {"machine": PRESENT}, 20.0, Phase.RELEASING, Effect.RELEASE_AGAIN),
        (Phase.RELEASING, {"machine": FAILED}, 20.0, Phase.RELEASING, Effect.RELEASE_AGAIN),
        (Phase.RELEASING, {"machine": PRESENT, "retry_at": 7.0}, 7.0, Phase.RELEASING, Effect.RELEASE_AGAIN),
    ],
)
def test_an_arrow_is_taken_at_its_moment_and_not_before(
    phase: Phase, facts: dict[str, Any], moment: float, then: Phase | None, effect: Effect
) -> None:
    before, at = seen(phase, moment - 0.001, **facts), seen(phase, moment, **facts)
    assert (phase_of(before), before.effect) == (phase, Effect.NONE)
    assert (phase_of(at), at.effect) == (then, effect)


def test_a_forced_drain_is_asked_again_every_so_often_until_its_deadline() -> None:
    facts = {"node": ALIVE, **drained(ORDERED)}
    assert [seen(Phase.DRAINING, now, **facts).effect for now in (9.9, 10.0, 299.9, 300.0)] == [
        Effect.NONE,
        Effect.DRAIN_AGAIN,
        Effect.DRAIN_AGAIN,
        Effect.RELEASE,
    ]
    again = seen(Phase.DRAINING, 10.0, **facts).claim
    assert again is not None
    assert (again.since, again.drain) == (10.0, Drain(ORDERED, 0.0, 300.0))


@pytest.mark.parametrize(
    ("listed_at", "lost"), [(None, True), (0.0, False), (0.1, True)], ids=["never listed", "before it", "after it"]
)
def test_only_a_listing_from_after_a_claim_was_written_shows_that_its_machine_is_gone(
    listed_at: float | None, lost: bool
) -> None:
    step = seen(Phase.READY, 50.0, machine=ABSENT, listed_at=listed_at)
    assert (step.claim is None) is lost


def test_no_machine_is_lost_while_its_call_is_under_way() -> None:
    assert seen(Phase.BOOTING, 50.0, sight={"in_flight": True}, machine=ABSENT).claim is not None
    assert seen(Phase.BOOTING, 50.0, machine=ABSENT).claim is None


def asked(now: float, **fields: Any) -> Effect:
    """Look at a claim of which nobody knows how its launch ended."""
    unknown = {"machine": ABSENT, "machine_id": None, "accepted": False, "listed_at": 0.1}
    return seen(Phase.REQUESTED, now, **{**unknown, **fields}).effect


def test_when_a_launch_of_unknown_end_is_asked_again() -> None:
    assert asked(1.0) is Effect.RELAUNCH
    assert asked(1.0, listed_at=0.0) is asked(1.0, listed_at=None) is Effect.NONE, "nothing was listed since"
    assert asked(1.0, sight={"in_flight": True}) is Effect.NONE
    assert asked(1.0, accepted=True) is Effect.NONE
    assert [asked(now, retry_at=5.0) for now in (4.9, 5.0)] == [Effect.NONE, Effect.RELAUNCH]
    assert asked(1.0, machine=FAILED) is Effect.RELEASE


def test_a_replica_of_which_a_machine_was_seen_is_not_asked_for_again() -> None:
    two = claim("m", "cpu1", Phase.REQUESTED, hosts=2, machine=ABSENT, since=0.0, created=0.0, listed_at=0.5)
    assert advance(Sight(two, 1.0, TIMES)).effect is Effect.RELAUNCH
    assert advance(Sight(with_host(two, 1, machine=PRESENT), 1.0, TIMES)).effect is Effect.NONE


@pytest.mark.parametrize(
    ("listed_at", "phase"),
    [(None, Phase.RELEASING), (10.0, Phase.REQUESTED), (10.1, Phase.RELEASING)],
)
def test_a_request_is_given_up_only_when_a_listing_could_have_shown_its_machine(
    listed_at: float | None, phase: Phase
) -> None:
    step = seen(Phase.REQUESTED, 100.0, machine=ABSENT, accepted=True, listed_at=listed_at)
    assert phase_of(step) is phase


@pytest.mark.parametrize(
    ("machine_id", "listed_at", "gone"),
    [
        ("i", 0.0, False),
        ("i", 0.1, True),
        ("i", None, True),
        (None, 10.0, False),
        (None, 10.1, True),
        (None, None, True),
    ],
)
def test_what_was_released_is_gone_when_a_listing_from_after_that_does_not_show_it(
    machine_id: str | None, listed_at: float | None, gone: bool
) -> None:
    facts: dict[str, Any] = {"machine": ABSENT, "machine_id": machine_id, "listed_at": listed_at}
    assert (seen(Phase.RELEASING, 19.0, **facts).claim is None) is gone
    assert seen(Phase.RELEASING, 19.0, sight={"in_flight": True}, **facts).claim is not None


def test_of_a_replica_every_machine_has_to_be_gone() -> None:
    two = claim("m", "cpu1", Phase.RELEASING, hosts=2, machine=ABSENT, machine_id="i", since=0.0, listed_at=9.0)
    assert advance(Sight(two, 9.5, TIMES)).claim is None
    half = advance(Sight(with_host(two, 1, machine=PRESENT), 20.0, TIMES))
    assert (phase_of(half), half.effect) == (Phase.RELEASING, Effect.RELEASE_AGAIN)


# ---- whose node says what --------------------------------------------------------------------------------------------


def test_a_head_is_ended_for_nothing_that_its_node_seems_to_be() -> None:
    for node in (DEAD, DRAINING):
        assert phase_of(seen(Phase.READY, 50.0, node=node, head=True)) is Phase.READY
    lost = seen(Phase.READY, 99.0, node=UNKNOWN, unseen_since=0.0, head=True)
    assert phase_of(lost) is Phase.READY


def test_without_the_engine_only_the_head_can_boot_for_too_long_and_nothing_voluntary_ends() -> None:
    down = {"engine_up": False}
    assert phase_of(seen(Phase.BOOTING, 200.0, sight=down, machine=PRESENT)) is Phase.BOOTING
    assert phase_of(seen(Phase.BOOTING, 200.0, sight=down, machine=PRESENT, head=True)) is Phase.RELEASING
    assert phase_of(seen(Phase.DRAINING, 300.0, sight=down, node=DRAINING, **drained(IDLE))) is Phase.DRAINING
    assert phase_of(seen(Phase.DRAINING, 300.0, sight=down, node=DRAINING, **drained(ORDERED))) is Phase.RELEASING


def test_a_replica_whose_unlisted_hosts_all_work_is_whole() -> None:
    two = claim("m", "cpu1", hosts=2, machine=ABSENT, node=ALIVE, since=0.0, created=0.0, listed_at=49.0)
    assert phase_of(advance(Sight(two, 50.0, TIMES))) is Phase.READY
    half = with_host(two, 1, machine=PRESENT)
    assert phase_of(advance(Sight(half, 50.0, TIMES))) is Phase.READY
    broken = advance(Sight(with_host(half, 0, node=UNKNOWN), 50.0, TIMES))
    assert (phase_of(broken), broken.cause and broken.cause.code) == (Phase.RELEASING, ReasonCode.REPLICA_BROKEN)
    lost = advance(Sight(with_host(two, 1, node=UNKNOWN), 50.0, TIMES))
    assert (phase_of(lost), lost.cause and lost.cause.code) == (Phase.RELEASING, ReasonCode.REPLICA_BROKEN)


def test_a_node_that_drains_has_joined() -> None:
    assert phase_of(seen(Phase.BOOTING, 50.0, machine=PRESENT, node=DRAINING)) is Phase.READY
    two = claim("m", "cpu1", Phase.BOOTING, hosts=2, machine=PRESENT, node=ALIVE, since=0.0, created=0.0)
    assert phase_of(advance(Sight(with_host(two, 1, node=DRAINING), 50.0, TIMES))) is Phase.READY


def test_one_dead_node_of_several_breaks_the_replica_and_all_of_them_are_the_machine() -> None:
    two = claim("m", "cpu1", hosts=2, machine=PRESENT, node=DEAD, since=0.0, created=0.0)
    whole, half = (advance(Sight(of, 50.0, TIMES)).cause for of in (two, with_host(two, 1, node=ALIVE)))
    assert whole is not None
    assert half is not None
    assert (whole.code, half.code) == (ReasonCode.NODE_DIED, ReasonCode.REPLICA_BROKEN)


# ---- what it leaves behind -------------------------------------------------------------------------------------------


def became(step: Step) -> Claim:
    assert step.claim is not None
    return step.claim


def test_an_idle_drain_that_was_taken_back_is_not_asked_again_at_once() -> None:
    ready = became(seen(Phase.DRAINING, 10.0, node=ALIVE, accepted=False, **drained(IDLE)))
    assert (ready.since, ready.drain, ready.retry_at, ready.accepted) == (10.0, None, 20.0, True)
    joined = became(seen(Phase.BOOTING, 10.0, machine=PRESENT, node=ALIVE, retry_at=5.0))
    assert (joined.since, joined.retry_at) == (10.0, None)


def test_what_is_released_may_be_released_again_after_a_while_and_at_once_when_its_machine_was_never_seen() -> None:
    dead = became(seen(Phase.READY, 50.0, node=DEAD))
    assert (dead.since, dead.retry_at, dead.drain) == (50.0, 70.0, None)
    assert dead.ending is not None
    assert dead.ending.code is ReasonCode.NODE_DIED
    late = became(seen(Phase.REQUESTED, 100.0, machine=ABSENT, machine_id=None, accepted=True))
    assert (late.phase, late.retry_at) == (Phase.RELEASING, 100.0)


def test_a_release_that_is_repeated_keeps_when_and_why_it_began() -> None:
    again = became(seen(Phase.RELEASING, 20.0, machine=PRESENT, ending=ORDERED))
    assert (again.since, again.ending, again.retry_at) == (0.0, ORDERED, 40.0)


def test_a_drain_by_somebody_else_gets_a_deadline_and_says_who() -> None:
    drain = became(seen(Phase.READY, 50.0, node=DRAINING)).drain
    assert drain is not None
    assert (drain.asked_at, drain.deadline) == (50.0, 350.0)
    assert drain.reason.text == "Ray ordered it: its node is being drained"


def test_reasons_carry_their_numbers_and_why_it_was_drained() -> None:
    causes = [
        seen(Phase.BOOTING, 200.0, machine=PRESENT),
        seen(Phase.REQUESTED, 100.0, machine=ABSENT, accepted=True),
        seen(Phase.RELEASING, 20.0, machine=PRESENT),
        seen(Phase.BOOTING, 50.0, machine=FAILED),
        seen(Phase.READY, 50.0, machine=FAILED, message="no power"),
        seen(Phase.REQUESTED, 1.0, machine=ABSENT, machine_id=None, accepted=False, batch="token"),
        seen(Phase.READY, 99.0, node=UNKNOWN, unseen_since=0.0),
    ]
    assert [cause.details for step in causes if (cause := step.cause)] == [
        {"boot_timeout_s": 200.0},
        {"request_timeout_s": 100.0},
        {"since_s": 20.0},
        {"error": "the provider says no more"},
        {"error": "no power"},
        {"batch": "token"},
        {},
    ]
    unseen = causes[-1].cause
    assert unseen is not None
    assert unseen.code is ReasonCode.NODE_DIED
    late = seen(Phase.DRAINING, 300.0, node=DRAINING, **drained(ORDERED)).cause
    assert late is not None
    assert (late.code, late.chain) == (ReasonCode.DRAIN_DEADLINE, (ORDERED,))


def test_what_cannot_be_is_reported_beside_what_is_done() -> None:
    live = seen(Phase.BOOTING, 50.0, machine=ABSENT, node=ALIVE)
    assert live.finding is not None
    assert live.finding.reason.details == {"claim": "m", "phase": "BOOTING", "fact": "a live node without a machine"}
    assert phase_of(live) is Phase.READY, "a listing that flips costs no machine whose node works"
    never = seen(Phase.FAILED, 50.0, machine=PRESENT)
    assert never.finding is not None
    assert (never.claim, never.finding.reason.details["fact"]) == (None, "a machine that was never made")
    assert seen(Phase.FAILED, 50.0, machine=ABSENT).finding is None
    assert seen(Phase.READY, 50.0, machine=ABSENT, node=ALIVE).finding is None


def test_since_when_a_node_is_unknown_is_written_once_and_forgotten_when_it_is_back() -> None:
    assert became(seen(Phase.READY, 20.0, node=UNKNOWN)).unseen_since == 20.0
    assert became(seen(Phase.READY, 20.0, node=UNKNOWN, unseen_since=5.0)).unseen_since == 5.0
    assert became(seen(Phase.READY, 20.0, node=ALIVE, unseen_since=5.0)).unseen_since is None
    assert became(seen(Phase.BOOTING, 20.0, machine=PRESENT, node=UNKNOWN)).unseen_since is None
    assert became(seen(Phase.READY, 20.0, sight={"engine_up": False}, node=UNKNOWN)).unseen_since is None


def test_what_is_as_it_should_be_stays_the_same_claim() -> None:
    fine = claim("m", "cpu1", machine=PRESENT, node=ALIVE)
    assert advance(Sight(fine, 50.0, TIMES)).claim is fine
    assert seen(Phase.READY, 50.0, machine=PRESENT, node=ALIVE, unseen_since=None).finding is None
    assert seen(Phase.BOOTING, 50.0, machine=PRESENT).finding is None
