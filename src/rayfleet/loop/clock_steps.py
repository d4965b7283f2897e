"""When somebody sets the machine's clock back, nothing that was written down may lie in the future. Pure.

Within a controller's life every pause is measured by the event loop's own clock, which nobody sets. What the ledger
holds are moments, though, and to wait for one of them would be to stand still for as long as the step was.
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.contracts import Record
from rayfleet.model import Backoff, Claim, Drain, Timeouts


def not_ahead(record: Record, now: float, timeouts: Timeouts) -> Record:
    """Return the record with its moments at `now` at the latest, and its waits no longer than they can be.

    Of a back-off that ends later than any can, nobody knows how long it was to be: it gets the first wait.
    """
    retry_at = now + max(timeouts.release_retry_s, timeouts.drain_retry_s)
    latest, soon = now + timeouts.backoff_max_s, now + timeouts.backoff_first_s
    ahead = {claim.id for claim in record.claims if _is_ahead(claim, now, retry_at)}
    claims = (
        tuple([_claim(c, now, retry_at) if c.id in ahead else c for c in record.claims]) if ahead else record.claims
    )
    backoffs = tuple([_backoff(b, now, latest, soon) for b in record.backoffs])
    launched = tuple([(min(at, now), count) for at, count in record.launched])
    return replace(record, claims=claims, backoffs=backoffs, launched=launched)


def _is_ahead(claim: Claim, now: float, retry_at: float) -> bool:
    if claim.created > now or claim.since > now or (claim.retry_at or 0.0) > retry_at:
        return True
    return (claim.unseen_since or 0.0) > now or (claim.drain is not None and claim.drain.asked_at > now)


def _claim(claim: Claim, now: float, retry_at: float) -> Claim:
    return replace(
        claim,
        created=min(claim.created, now),
        since=min(claim.since, now),
        unseen_since=None if claim.unseen_since is None else min(claim.unseen_since, now),
        retry_at=None if claim.retry_at is None else min(claim.retry_at, retry_at),
        drain=None if claim.drain is None else _drain(claim.drain, now),
    )


def _drain(drain: Drain, now: float) -> Drain:
    """Keep the time that was given for leaving."""
    ahead_s = max(0.0, drain.asked_at - now)
    return replace(drain, asked_at=drain.asked_at - ahead_s, deadline=drain.deadline - ahead_s)


def _backoff(backoff: Backoff, now: float, latest: float, soon: float) -> Backoff:
    if backoff.until <= latest and backoff.since <= now:
        return backoff
    until = soon if backoff.until > latest else backoff.until
    return replace(backoff, until=until, since=min(backoff.since, now))
