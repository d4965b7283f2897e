"""Step 5: what exists beyond a limit, or has lost its reason to exist, has to leave, in use or not.

Lowering a limit is an order, not a voluntary act. Who goes first: what has not joined (cancelled), then what
is idle, then the least used (drained with a deadline). A pool's own limit is looked at before the cluster's.
"""

from __future__ import annotations

from rayfleet.model import CAPACITY, STARTING, Claim, How, Phase, Reason, ReasonCode, amount, reason
from rayfleet.planner import leaving
from rayfleet.planner.census import census
from rayfleet.planner.draft import Draft, idle_s, is_used, used_share
from rayfleet.planner.room import total_of
from rayfleet.planner.spending import spent_today


def enforce_limits(draft: Draft) -> None:
    """Dismiss what a shutdown, an interruption, a removed pool or a maximum does not allow any more."""
    if draft.shutdown:
        _shut_down(draft, draft.shutdown)
        return
    _interrupted(draft)
    _without_pool(draft)
    for pool in draft.policy.pools:
        if pool.max_workers is not None:
            _shrink(draft, pool.max_workers, pool.name)
    if draft.policy.max_workers is not None:
        _shrink(draft, draft.policy.max_workers)
    for name, most_units in draft.policy.max_resources.items():
        _shrink_resource(draft, name, most_units)
    _save_money(draft)
    _end_the_day(draft)


def _staying(draft: Draft) -> list[Claim]:
    return [claim for claim in draft.workers() if claim.phase in CAPACITY]


def _shut_down(draft: Draft, why: Reason) -> None:
    """Release every worker at once - there is nowhere for its work to go - and the head when none is left."""
    workers = [*draft.workers(), *(c for c in draft.claims.values() if c.standby)]
    for claim in workers:
        if claim.phase is not Phase.RELEASING:
            leaving.release(draft, claim, why, How.CANCEL if claim.phase in STARTING else How.NOW)
    if not workers:
        for claim in [c for c in draft.claims.values() if c.head and not c.foreign]:
            if claim.phase is not Phase.RELEASING:
                leaving.release(draft, claim, why, How.NOW)


def _interrupted(draft: Draft) -> None:
    """Drain what the provider takes back, by the moment at which it does."""
    announced = {c.id: c for c in draft.claims.values() for host in c.hosts if host.interrupt_at is not None}
    for claim in announced.values():
        moments = [host.interrupt_at for host in claim.hosts if host.interrupt_at is not None]
        if claim.head or claim.foreign or claim.standby or claim.phase not in CAPACITY:
            continue
        deadline = min(moments)
        why = reason(ReasonCode.INTERRUPTED, left_s=max(0.0, deadline - draft.now))
        if claim.phase is Phase.READY:
            leaving.drain(draft, claim, why, deadline=deadline, voluntary=False)
        else:
            leaving.release(draft, claim, why, How.CANCEL)


def _without_pool(draft: Draft) -> None:
    """Dismiss what has no pool any more, also what is still on its way to standby; what waits there is not ours."""
    known = {pool.name for pool in (*draft.policy.pools, draft.policy.head) if pool is not None}
    if known.issuperset(pool for pool, phase, _, _ in census(draft).hosts if phase in CAPACITY):
        return
    for claim in list(draft.claims.values()):
        if claim.phase in CAPACITY and claim.pool not in known and not (claim.head or claim.foreign):
            draft.find(claim.id, reason(ReasonCode.UNKNOWN_POOL, claim=claim.id, pool=claim.pool))
            leaving.dismiss(draft, claim, reason(ReasonCode.POOL_REMOVED, pool=claim.pool))


def _shrink(draft: Draft, most: int, pool: str = "") -> None:
    """Dismiss what is beyond the maximum of a pool; of the cluster without a name."""
    hosts = census(draft).workers(CAPACITY)
    count = hosts.get(pool, 0) if pool else sum(hosts.values())
    if count <= most:
        return
    claims = [claim for claim in _staying(draft) if pool in ("", claim.pool)]
    scope = f"pool {pool}" if pool else "the cluster"
    why = reason(ReasonCode.OVER_MAX, scope=scope, count=count, max_workers=most)
    for claim in _first_to_go(draft, claims):
        if count <= most:
            return
        cause = draft.scale_orders.get(claim.pool) or draft.scheduled.get(pool)
        leaving.dismiss(draft, claim, why.because(cause) if cause else why)
        count -= claim.count


def _shrink_resource(draft: Draft, name: str, most: int) -> None:
    """Dismiss machines that have a resource until all that stay have no more than allowed."""
    having = [(claim, total_of(draft, claim).get(name)) for claim in _staying(draft)]
    units = {claim.id: count for claim, count in having if count}
    have = sum(units.values())
    why = reason(ReasonCode.OVER_RESOURCES, resource=name, have=amount(have), most=amount(most))
    for claim in _first_to_go(draft, [claim for claim, _ in having if claim.id in units]):
        if have <= most:
            return
        leaving.dismiss(draft, claim, why)
        have -= units[claim.id]


def _end_the_day(draft: Draft) -> None:
    """Dismiss all that costs money once the day's is spent."""
    most = draft.policy.max_usd_per_day
    if most is None or (spent := spent_today(draft).usd) < most:
        return
    why = reason(ReasonCode.OVER_DAY_BUDGET, spent_usd=spent, max_usd_per_day=most)
    for claim in _first_to_go(draft, [claim for claim in _staying(draft) if draft.usd_per_hour(claim)]):
        leaving.dismiss(draft, claim, why)


def _save_money(draft: Draft) -> None:
    most = draft.policy.max_usd_per_hour
    if most is None:
        return
    staying = [c for c in draft.claims.values() if c.phase in CAPACITY and not c.foreign]
    usd = sum((draft.usd_per_hour(claim) or 0.0) * claim.count for claim in staying)
    why = reason(ReasonCode.OVER_BUDGET, usd_per_hour=usd, max_usd_per_hour=most)
    for claim in _first_to_go(draft, [c for c in staying if not c.head and draft.usd_per_hour(c)]):
        if usd <= most + 1e-9:  # sums of prices carry rounding errors
            return
        leaving.dismiss(draft, claim, why)
        usd -= (draft.usd_per_hour(claim) or 0.0) * claim.count


def _first_to_go(draft: Draft, claims: list[Claim]) -> list[Claim]:
    """Order claims by how little is lost with each; of equals the youngest goes first."""
    rank = {Phase.REQUESTED: 0, Phase.BOOTING: 1}
    newest_first = list(reversed(claims))
    return sorted(
        newest_first,
        key=lambda claim: (
            any(host.do_not_disrupt for host in claim.hosts),
            rank.get(claim.phase, 2),
            is_used(claim),
            used_share(claim, draft.policy),
            -idle_s(claim),
        ),
    )
