"""Step 1: calls that have ended change claims and back-offs. Nothing else of a call's end is ever used."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from rayfleet.model import (
    Claim,
    MachineFact,
    Outcome,
    OutcomeKind,
    Phase,
    ReasonCode,
    Trouble,
    reason,
)
from rayfleet.planner import backoffs
from rayfleet.planner.draft import Draft, may_refuse, moved


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
        return
    # A machine that has been seen is a success, whatever the call said at its end.
    unseen = [c for c in claims if c.phase is Phase.REQUESTED and not _seen(c)]
    if outcome.trouble is not Trouble.FLAKY:
        for claim in unseen:
            del draft.claims[claim.id]
            draft.find(claim.id, reason(ReasonCode.LAUNCH_FAILED, error=_error(outcome)))
    # One failure per call: a batch of ten claims that finds no stock is one answer.
    scopes = [outcome.scope] if outcome.scope else list(dict.fromkeys(claim.offer for claim in unseen))
    for scope in scopes:
        backoffs.fail(draft, scope, outcome.trouble, outcome.message)


def _seen(claim: Claim) -> bool:
    return any(host.machine is MachineFact.PRESENT for host in claim.hosts)


def _drain_ended(draft: Draft, outcome: Outcome, claims: list[Claim]) -> None:
    if outcome.trouble not in {Trouble.REFUSED, Trouble.FLAKY}:
        return
    for claim in claims:
        # A drain that has to be stays until its deadline; the lifecycle asks again.
        if claim.phase is Phase.DRAINING and claim.drain and may_refuse(claim.drain.reason):
            retry_at = draft.now + draft.timeouts.drain_retry_s
            draft.keep(moved(claim, Phase.READY, draft.now, drain=None, retry_at=retry_at))


def _release_ended(draft: Draft, outcome: Outcome, claims: list[Claim]) -> None:
    if outcome.trouble in {None, Trouble.GONE}:
        return  # the listing decides
    for claim in claims:
        draft.find(claim.id, reason(ReasonCode.RELEASE_FAILED, error=_error(outcome)))


def _error(outcome: Outcome) -> str:
    trouble = outcome.trouble.value if outcome.trouble else ""
    return f"{trouble}: {outcome.message}" if outcome.message else trouble
