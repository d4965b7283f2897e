"""Back-offs: which offers are not asked for a while, after which failures.

A failure of what a scope covers makes it wait; each further one in a row doubles the wait, up to `backoff_max_s`.
Failures decay: for every `backoff_decay_s` that pass after a wait has ended without a further failure, one of them is
forgotten, and the back-off itself when none is left. A machine that was asked for after the newest failure and has
joined proves the offer and ends all of it at once. Nothing of this is in memory only: back-offs are part of the
plan, so the ledger holds them before the provider is asked again.
"""

from __future__ import annotations

from rayfleet.model import Backoff, Claim, OfferKey, Timeouts, Trouble
from rayfleet.planner.draft import Draft

_DOUBLINGS_MAX = 30
"""2**30 first waits are beyond any maximum, and floats stay exact."""


def fail(draft: Draft, scope: OfferKey, trouble: Trouble, message: str, *, lost_s: float = 0.0) -> None:
    """Note one more failure of what `scope` covers, by which `lost_s` seconds of waiting were lost.

    The first wait is `backoff_first_s` (`flaky_first_s` for an answer that never came and for a machine that broke
    while it booted); `Denied` waits for the longest time at once. A failure that took long to show is not repeated
    sooner than it took.
    """
    earlier = next((b for b in draft.backoffs if b.scope == scope), None)
    failures = 1 + (remembered(earlier, draft.now, draft.timeouts) if earlier else 0)
    longest = draft.timeouts.backoff_max_s
    until = draft.now + max(_wait_s(trouble, failures, draft.timeouts), min(lost_s, longest))
    draft.backoffs = [b for b in draft.backoffs if b.scope != scope]
    draft.backoffs.append(Backoff(scope, until, trouble, failures, message, draft.now))


def _wait_s(trouble: Trouble, failures: int, timeouts: Timeouts) -> float:
    if trouble is Trouble.DENIED:
        return timeouts.backoff_max_s
    doublings = min(failures - 1, _DOUBLINGS_MAX)
    return min(timeouts.backoff_max_s, _first_s(trouble, timeouts) * 2.0**doublings)


def _first_s(trouble: Trouble, timeouts: Timeouts) -> float:
    return timeouts.flaky_first_s if trouble is Trouble.FLAKY else timeouts.backoff_first_s


def remembered(backoff: Backoff, now: float, timeouts: Timeouts) -> int:
    """Return how many of its failures still count: those in a row, less one for each `backoff_decay_s` of quiet.

    Failures that could not make the wait any longer are forgotten first, so that a bad week does not take a week.
    """
    quiet_s = now - backoff.until
    if quiet_s < timeouts.backoff_decay_s:
        return backoff.failures
    if not timeouts.backoff_decay_s:
        return 0
    counted = 1
    while counted < backoff.failures and _wait_s(backoff.trouble, counted, timeouts) < timeouts.backoff_max_s:
        counted += 1
    return max(0, counted - int(quiet_s // timeouts.backoff_decay_s))


def is_passing(draft: Draft, backoff: Backoff) -> bool:
    """Say whether a back-off is for an answer that was not clear, and short: waiting for its end is no hardship.

    Where answers stay away, waits double until they are as long as other failures begin with. A boot that took too long
    waits longer than its number of failures says.
    """
    wait_s = _wait_s(Trouble.FLAKY, backoff.failures, draft.timeouts)
    left_s = backoff.until - draft.now
    return backoff.trouble is Trouble.FLAKY and left_s <= wait_s <= draft.timeouts.backoff_first_s


def succeed(draft: Draft, claim: Claim) -> None:
    """Forget the failures of the offer of a claim that has joined, unless they say more than that machine."""
    if draft.backoffs:
        draft.backoffs = [b for b in draft.backoffs if not b.scope.covers(claim.offer) or _is_news(b, claim)]


def _is_news(backoff: Backoff, claim: Claim) -> bool:
    """Say whether an offer was refused after a machine was asked for, which then says nothing about what there is now.

    An answer that never came may have been that of this very machine.
    """
    return backoff.trouble is not Trouble.FLAKY and backoff.since > claim.created


def forget_old(draft: Draft) -> None:
    """Drop back-offs that ended so long ago that a new failure is a new story."""
    draft.backoffs = [b for b in draft.backoffs if remembered(b, draft.now, draft.timeouts)]


def active(draft: Draft, offer: OfferKey) -> Backoff | None:
    """Return the back-off that keeps an offer from being asked now, the longest of several."""
    hits = [b for b in draft.backoffs if b.until > draft.now and b.scope.covers(offer)]
    return max(hits, key=lambda b: b.until, default=None)
