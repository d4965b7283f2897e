"""Step 2, carried out: every claim is looked at once, and what its step asks for is written down."""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import Claim, How, Launch, NodeFact, Phase, ReasonCode, reason
from rayfleet.planner import backoffs, leaving
from rayfleet.planner.draft import Draft, may_refuse
from rayfleet.planner.lifecycle import Effect, Sight, Step, advance, is_undisturbed
from rayfleet.planner.provisioning import blamed, timeouts_of
from rayfleet.planner.resting import machines_of, mode_of, resting

_JOINING = frozenset({Phase.BOOTING, Phase.READY, Phase.DRAINING})


def advance_claims(draft: Draft) -> None:
    """Advance every claim by the facts of this snapshot."""
    snapshot = draft.snapshot
    in_flight = frozenset(snapshot.in_flight)
    relaunch: dict[str, list[Claim]] = {}
    failed: dict[tuple[object, str], Step] = {}
    for claim in [c for c in draft.claims.values() if c.foreign or not is_undisturbed(c)]:
        if claim.foreign:
            _look_at_foreign(draft, claim)
            continue
        sight = Sight(claim, draft.now, timeouts_of(draft.policy, claim), snapshot.engine_up, claim.batch in in_flight)
        step = advance(sight)
        if step.claim is claim and step.finding is None and step.effect is Effect.NONE:
            continue
        _write(draft, claim, step)
        if step.effect is Effect.RELAUNCH:
            relaunch.setdefault(claim.batch, []).append(claim)
        if step.backs_off:
            failed.setdefault((claim.offer, claim.batch), step)
            _blame(draft, claim, step, first=failed[claim.offer, claim.batch] is step)
    for batch, claims in relaunch.items():
        _relaunch(draft, batch, claims)


def _look_at_foreign(draft: Draft, claim: Claim) -> None:
    """Count a machine that was joined by hand only while its node lives; nothing else is ours to say about it."""
    if any(host.node not in {None, NodeFact.ALIVE} for host in claim.hosts):
        draft.drop(claim)


def _write(draft: Draft, claim: Claim, step: Step) -> None:
    if step.finding:
        draft.findings.append(step.finding)
    if step.claim is None:
        draft.drop(claim)
        return
    draft.keep(step.claim)
    if step.effect is Effect.JOINED:
        backoffs.succeed(draft, claim)
    asked = step.claim.drain
    if step.effect is Effect.DRAIN_AGAIN and asked:
        voluntary = may_refuse(asked.reason)
        leaving.ask_drain(draft, step.claim, asked.reason, deadline=asked.deadline, voluntary=voluntary)
    if step.cause and step.effect in {Effect.STOP, Effect.STOP_AGAIN}:
        draft.keep(resting(draft, step.claim))
        leaving.ask_stop(draft, step.claim, step.cause)
    if step.cause and step.effect in {Effect.RELEASE, Effect.RELEASE_AGAIN}:
        ends = step.effect is Effect.RELEASE_AGAIN or claim.phase is Phase.DRAINING
        leaving.ask_release(draft, claim, step.cause, How.END if ends else How.NOW)


def _blame(draft: Draft, claim: Claim, step: Step, *, first: bool) -> None:
    """Back off the offer of a machine that failed: once for all machines of one call."""
    if first and step.cause and not claim.head:
        # Not the time since it was asked for: the machine's clock may have been set in between.
        slow = step.cause.code is ReasonCode.BOOT_TIMEOUT
        lost_s = timeouts_of(draft.policy, claim).boot_timeout_s if slow else 0.0
        backoffs.fail(draft, claim.offer, blamed(claim), step.cause.text, lost_s=lost_s)


def _relaunch(draft: Draft, batch: str, claims: list[Claim]) -> None:
    """Ask again for a batch of which nobody knows how its call ended, under the same token.

    When one of its machines has been seen, the call has succeeded and the rest is only late.
    """
    offer = claims[0].offer
    if any(claim.batch == batch and _was_made(claim) for claim in draft.claims.values()):
        for claim in claims:
            draft.keep(replace(claim, accepted=True))
    elif not backoffs.active(draft, offer):
        draft.launches.append(
            Launch(
                offer=offer,
                claims=tuple(claim.id for claim in claims),
                batch=batch,
                count=sum(claim.count for claim in claims),
                reason=reason(ReasonCode.RELAUNCH, batch=batch),
                again=True,
                reuse=machines_of(claims) if claims[0].reuse else (),
                standby=mode_of(draft, offer.pool) if claims[0].standby else None,
            )
        )


def _was_made(claim: Claim) -> bool:
    """Say whether a machine of this claim has been seen: one that was cancelled on its way may never have been."""
    known = any(host.machine_id is not None for host in claim.hosts)
    return claim.phase in _JOINING or (known and not claim.reuse)
