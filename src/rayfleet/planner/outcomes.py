"""Step 1: calls that have ended change claims and back-offs. Nothing else of a call's end is ever used."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from rayfleet.model import (
    Claim,
    How,
    MachineFact,
    Outcome,
    OutcomeKind,
    Phase,
    ReasonCode,
    Trouble,
    reason,
)
from rayfleet.planner import backoffs, leaving
from rayfleet.planner.draft import Draft, may_refuse, moved
from rayfleet.planner.lifecycle import comes_apart
from rayfleet.planner.resting import resting

_NEVER_STOPS: Final = frozenset({Trouble.DENIED, Trouble.OUT_OF_STOCK, Trouble.QUOTA_REACHED})


def apply_outcomes(draft: Draft) -> None:
    """Apply every outcome in the order in which the calls ended; those of vanished claims are ignored."""
    for outcome in draft.snapshot.outcomes:
        claims = [draft.claims[name] for name in outcome.claims if name in draft.claims]
        match outcome.kind:
            case OutcomeKind.LAUNCH:
                _launch_ended(draft, outcome, claims)
            case OutcomeKind.DRAIN:
                _drain_ended(draft, outcome, claims)
            case OutcomeKind.RELEASE:
                _release_ended(draft, outcome, claims)
            case _:
                assert_never(outcome.kind)


def _launch_ended(draft: Draft, outcome: Outcome, claims: list[Claim]) -> None:
    if outcome.trouble is None or outcome.trouble in {Trouble.GONE, Trouble.REFUSED}:
        for claim in claims:
            draft.keep(replace(claim, accepted=True))
            if claim.reuse and outcome.trouble is Trouble.GONE and not _seen(claim):
                _lost(draft, claim)
        return
    # A machine that has been seen is a success, whatever the call said at its end.
    unseen = [c for c in claims if _is_asked_for(c) and not _seen(c)]
    if outcome.trouble is not Trouble.FLAKY:
        for claim in unseen:
            _refused(draft, claim)
            draft.find(claim.id, reason(ReasonCode.LAUNCH_FAILED, error=_error(outcome)))
    # One failure per call: a batch of ten claims that finds no stock is one answer.
    scopes = [outcome.scope] if outcome.scope else list(dict.fromkeys(claim.offer for claim in unseen))
    for scope in scopes:
        backoffs.fail(draft, scope, outcome.trouble, outcome.message)


def _is_asked_for(claim: Claim) -> bool:
    """Say whether a claim waits for the machine of a launch: to work, or to wait on standby."""
    return claim.phase is Phase.REQUESTED or (claim.phase is Phase.STANDBY and not claim.accepted)


def _seen(claim: Claim) -> bool:
    seen = {MachineFact.PRESENT} if claim.reuse else {MachineFact.PRESENT, MachineFact.STANDBY}
    return any(host.machine in seen for host in claim.hosts)


def _refused(draft: Draft, claim: Claim) -> None:
    """Drop a claim whose machine was not made; one whose machine was not started waits again."""
    if claim.reuse:
        waits = moved(claim, Phase.STANDBY, draft.now, accepted=True, reuse=False, standby=True)
        draft.keep(resting(draft, waits))
    else:
        draft.drop(claim)


def _lost(draft: Draft, claim: Claim) -> None:
    """Drop a claim whose machine was gone when it was to be started."""
    draft.drop(claim)
    draft.find(claim.id, reason(ReasonCode.MACHINE_LOST))


def _drain_ended(draft: Draft, outcome: Outcome, claims: list[Claim]) -> None:
    if outcome.trouble not in {Trouble.REFUSED, Trouble.FLAKY}:
        return
    for claim in claims:
        # A drain that has to be stays until its deadline; the lifecycle asks again.
        if claim.phase is not Phase.DRAINING or not claim.drain or not may_refuse(claim.drain.reason):
            continue
        if draft.snapshot.engine_up and comes_apart(claim):
            # What has agreed cannot be called back, and a replica is of use only as a whole.
            why = reason(ReasonCode.REPLICA_BROKEN).because(claim.drain.reason)
            leaving.drain(draft, claim, why, deadline=draft.now + draft.timeouts.drain_timeout_s, voluntary=False)
        else:
            retry_at = draft.now + draft.timeouts.drain_retry_s
            draft.keep(moved(claim, Phase.READY, draft.now, drain=None, retry_at=retry_at))


def _release_ended(draft: Draft, outcome: Outcome, claims: list[Claim]) -> None:
    if outcome.trouble in {None, Trouble.GONE}:
        return  # the listing decides
    for claim in claims:
        draft.find(claim.id, reason(ReasonCode.RELEASE_FAILED, error=_error(outcome)))
        if claim.phase is Phase.STANDBY and outcome.trouble in _NEVER_STOPS:
            leaving.release(draft, claim, reason(ReasonCode.CANNOT_STOP, error=_error(outcome)), How.NOW)


def _error(outcome: Outcome) -> str:
    trouble = outcome.trouble.value if outcome.trouble else ""
    return f"{trouble}: {outcome.message}" if outcome.message else trouble
