"""When the next plan can differ although nothing happens: the loop sleeps until then. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rayfleet.model import Claim, Phase, Plan, Policy
from rayfleet.planner.schedules import next_schedule_change


def next_deadline(policy: Policy, plan: Plan, now: float) -> float | None:
    """Return the first moment after `now` at which a time-out of claims or back-offs passes or a schedule changes."""
    moments = [moment for claim in plan.claims for moment in _of_claim(claim, policy, now)]
    moments += [backoff.until for backoff in plan.backoffs]
    if (change := next_schedule_change(policy, now)) is not None:
        moments.append(change)
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
