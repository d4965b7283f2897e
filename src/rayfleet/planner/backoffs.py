"""Back-offs: which offers are not asked for a while, after which failures."""

from __future__ import annotations

from rayfleet.model import Backoff, Claim, OfferKey, Timeouts, Trouble
from rayfleet.planner.draft import Draft


def fail(draft: Draft, scope: OfferKey, trouble: Trouble, message: str) -> None:
    """Note one more failure of what `scope` covers.

    The wait doubles with every failure in a row, from `backoff_first_s` (`flaky_first_s` for an answer
    that never came) to `backoff_max_s`; `Denied` waits for the longest time at once.
    """
    earlier = next((b for b in draft.backoffs if b.scope == scope), None)
    failures = earlier.failures + 1 if earlier else 1
    until = draft.now + _wait_s(trouble, failures, draft.timeouts)
    draft.backoffs = [b for b in draft.backoffs if b.scope != scope]
    draft.backoffs.append(Backoff(scope, until, trouble, failures, message))


def _wait_s(trouble: Trouble, failures: int, timeouts: Timeouts) -> float:
    if trouble is Trouble.DENIED:
        return timeouts.backoff_max_s
    first = timeouts.flaky_first_s if trouble is Trouble.FLAKY else timeouts.backoff_first_s
    doublings = min(failures - 1, 30)  # 2**30 first waits are beyond any maximum, and floats stay exact
    return min(timeouts.backoff_max_s, first * 2.0**doublings)


def succeed(draft: Draft, claim: Claim) -> None:
    """Forget the failures of an offer that has just given us a machine, unless they say more than that machine."""
    if draft.backoffs:
        draft.backoffs = [
            b for b in draft.backoffs if not b.scope.covers(claim.offer) or _is_news(b, claim, draft.timeouts)
        ]


def _is_news(backoff: Backoff, claim: Claim, timeouts: Timeouts) -> bool:
    """Say whether an offer was refused after a machine was asked for, which then says nothing about what there is now.

    An answer that never came may have been that of this very machine.
    """
    noted_at = backoff.until - _wait_s(backoff.trouble, backoff.failures, timeouts)
    return backoff.trouble is not Trouble.FLAKY and noted_at > claim.created


def forget_old(draft: Draft) -> None:
    """Drop back-offs that ended so long ago that a new failure is a new story."""
    keep_s = draft.timeouts.backoff_max_s
    draft.backoffs = [b for b in draft.backoffs if draft.now < b.until + keep_s]


def active(draft: Draft, offer: OfferKey) -> Backoff | None:
    """Return the back-off that keeps an offer from being asked now, the longest of several."""
    hits = [b for b in draft.backoffs if b.until > draft.now and b.scope.covers(offer)]
    return max(hits, key=lambda b: b.until, default=None)
