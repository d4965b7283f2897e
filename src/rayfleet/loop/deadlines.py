"""When the next plan can differ although nothing happens: the loop sleeps until then. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rayfleet.model import Claim, Phase, Plan, Policy
from rayfleet.planner.windows import next_change


def next_deadline(policy: Policy, plan: Plan, now: float) -> float | None:
    """Return the earliest moment after `now` at which a time-out of the plan's claims or back-offs passes."""
    moments = [moment for claim in plan.claims for moment in _of_claim(claim, policy, now)]
    moments += [backoff.until for backoff in plan.backoffs]
    windows = (budget.window for budget in policy.disruption_budgets if budget.window)
    moments += [moment for window in windows if (moment := next_change(window, now)) is not None]
    return min((moment for moment in moments if moment > now), default=None)


def _of_claim(claim: Claim, policy: Policy, now: float) -> Iterator[float]:
    limits = policy.timeouts
    if claim.retry_at is not None:
        yield claim.retry_at
    match claim.phase:
        case Phase.REQUESTED:
            yield claim.since + limits.request_timeout_s
        case Phase.BOOTING:
            yield claim.since + limits.boot_timeout_s
        case Phase.READY:
            yield claim.since + limits.settle_s
            yield from _of_ready(claim, policy, now)
        case Phase.DRAINING if claim.drain is not None:
            yield claim.since + limits.drain_retry_s
            yield claim.drain.deadline
        case _:
            pass  # RELEASING has its `retry_at`; FAILED ends with the next plan


def _of_ready(claim: Claim, policy: Policy, now: float) -> Iterator[float]:
    if claim.unseen_since is not None:
        yield claim.unseen_since + policy.timeouts.node_timeout_s
    if claim.hosts and not claim.head and not claim.foreign and not any(host.used for host in claim.hosts):
        pool = policy.pool(claim.pool)
        own = pool.idle_timeout_s if pool else None
        timeout_s = policy.idle_timeout_s if own is None else own
        yield now + timeout_s - min(host.idle_s for host in claim.hosts)
    if not claim.head and not claim.foreign:
        yield from _of_voluntary(claim, policy)


def _of_voluntary(claim: Claim, policy: Policy) -> Iterator[float]:
    """Yield when a claim gets too old, and when consolidation may look at it."""
    pool = policy.pool(claim.pool)
    own = pool.max_age_s if pool else None
    age_s = policy.max_age_s if own is None else own
    if age_s is not None:
        yield claim.created + age_s
    if policy.consolidation_threshold is not None:
        yield claim.since + policy.consolidate_after_s
