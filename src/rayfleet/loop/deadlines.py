"""When the next plan can differ although nothing happens: the loop sleeps until then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rayfleet.model import Claim, Phase, Plan, Policy
from rayfleet.planner.provisioning import patience_s, timeouts_of, waits_for
from rayfleet.planner.schedules import next_schedule_change
from rayfleet.planner.windows import next_change


def next_deadline(policy: Policy, plan: Plan, now: float) -> float | None:
    """Return the first moment after `now` at which a time-out of claims or back-offs passes or a schedule changes."""
    patience = {pool.name: _idle_timeout_s(policy, pool.name) for pool in policy.pools}
    moments = [backoff.until for backoff in plan.backoffs]
    settle_s = policy.timeouts.settle_s
    for claim in plan.claims:
        if claim.phase is not Phase.READY or claim.retry_at is not None or claim.since + settle_s > now:
            moments += _of_claim(claim, policy, now, patience)
        elif claim.unseen_since is not None or len(claim.hosts) != 1 or not claim.hosts[0].used:
            moments += _of_any(claim, policy, now, patience)
    if (change := next_schedule_change(policy, now)) is not None:
        moments.append(change)
    windows = (budget.window for budget in policy.disruption_budgets if budget.window)
    moments += [moment for window in windows if (moment := next_change(window, now)) is not None]
    return min([moment for moment in moments if moment > now], default=None)


def _idle_timeout_s(policy: Policy, name: str) -> float:
    pool = policy.pool(name)
    own = pool.idle_timeout_s if pool else None
    return policy.idle_timeout_s if own is None else own


def _of_claim(claim: Claim, policy: Policy, now: float, patience: dict[str, float]) -> Iterable[float]:
    """Return the moments of one claim. `patience`: idle time-outs of the pools."""
    if claim.phase is Phase.READY and len(claim.hosts) == 1 and claim.hosts[0].used and claim.unseen_since is None:
        settled = claim.since + policy.timeouts.settle_s  # nearly every claim of a busy cluster
        return (settled,) if claim.retry_at is None else (settled, claim.retry_at)
    return _of_any(claim, policy, now, patience)


def _of_any(claim: Claim, policy: Policy, now: float, patience: dict[str, float]) -> Iterator[float]:
    limits = timeouts_of(policy, claim)
    if claim.retry_at is not None:
        yield claim.retry_at
    match claim.phase:
        case Phase.REQUESTED:
            trouble = waits_for(claim)
            yield claim.since + (patience_s(limits, trouble) if trouble else limits.request_timeout_s)
            yield claim.created + patience.get(claim.pool, policy.idle_timeout_s)
        case Phase.BOOTING:
            yield claim.since + limits.boot_timeout_s
            yield claim.created + patience.get(claim.pool, policy.idle_timeout_s)
        case Phase.READY:
            yield claim.since + limits.settle_s
            yield from _of_ready(claim, policy, now, patience)
        case Phase.DRAINING if claim.drain is not None:
            yield claim.since + limits.drain_retry_s
            yield claim.drain.deadline
            yield claim.drain.deadline - limits.drain_timeout_s
        case Phase.STANDBY:
            yield from _of_standby(claim, policy)
        case _:
            pass  # RELEASING has its `retry_at`; FAILED ends with the next plan


def _of_standby(claim: Claim, policy: Policy) -> Iterator[float]:
    """Yield when a machine should have come, should be at rest, and has waited for too long."""
    limits, pool = policy.timeouts, policy.pool(claim.pool)
    if not claim.accepted or any(host.machine_id is None for host in claim.hosts):
        yield claim.since + limits.request_timeout_s
        yield claim.since + limits.boot_timeout_s
    if pool and pool.standby and pool.standby.max_age_s is not None:
        yield claim.since + pool.standby.max_age_s


def _of_ready(claim: Claim, policy: Policy, now: float, patience: dict[str, float]) -> Iterator[float]:
    if claim.unseen_since is not None:
        yield claim.unseen_since + policy.timeouts.node_timeout_s
    if claim.hosts and not claim.head and not claim.foreign and not any(host.used for host in claim.hosts):
        timeout_s = patience.get(claim.pool, policy.idle_timeout_s)
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
