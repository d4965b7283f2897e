"""Step 7: every pool gets at least its minimum, before any demand is looked at. Starting claims count."""

from __future__ import annotations

from rayfleet.model import Pool, Reason, ReasonCode, reason
from rayfleet.planner import backoffs
from rayfleet.planner.census import holding
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import Variant, by_price


def fill_minimums(draft: Draft, layout: Layout) -> None:
    """Launch what pools lack; the upscaling speed does not apply. What limits forbid is a finding."""
    have = holding(draft)
    for pool in draft.policy.pools:
        missing = _reachable(pool) - have.get(pool.name, 0)
        if missing > 0:
            _launch(draft, layout, pool, missing)


def _launch(draft: Draft, layout: Layout, pool: Pool, missing: int) -> None:
    size = pool.hosts_per_replica
    wanted = -(-missing // size)
    for variant in sorted(_of_pool(layout, pool), key=lambda v: v.price):
        most = min(wanted, max(0, layout.room.launches) // size)
        count = min(most, layout.room.replicas(pool, variant.offer.usd_per_hour))
        if count:
            layout.make(variant, count, ReasonCode.MIN_WORKERS)
            wanted -= count
    if wanted:
        draft.find(pool.name, minimum_reason(draft, pool).because(_why_not(draft, layout, pool)))


def _reachable(pool: Pool) -> int:
    """Return the minimum, or what its maximum leaves of it in whole replicas."""
    if pool.max_workers is None:
        return pool.min_workers
    return min(pool.min_workers, pool.max_workers - pool.max_workers % pool.hosts_per_replica)


def _of_pool(layout: Layout, pool: Pool) -> list[Variant]:
    return [variant for variant in layout.variants if variant.pool.name == pool.name]


def minimum_reason(draft: Draft, pool: Pool) -> Reason:
    """Return why a pool holds its minimum: an order, or the configuration."""
    order = draft.scale_orders.get(pool.name)
    if order:
        return order
    own, scheduled = reason(ReasonCode.MIN_WORKERS, pool=pool.name, min_workers=pool.min_workers), draft.scheduled
    return own.because(scheduled[pool.name]) if pool.name in scheduled else own


def _why_not(draft: Draft, layout: Layout, pool: Pool) -> Reason:
    offer = by_price(pool)[0]
    hits = layout.room.blockers(draft, pool, offer.usd_per_hour, hurried=True)
    if hits:
        return hits[0]
    return backed_off(draft, pool) or reason(ReasonCode.MAX_WORKERS, max_workers=draft.policy.max_workers or 0)


def backed_off(draft: Draft, pool: Pool) -> Reason | None:
    """Return the back-off that ends first, when every offer of a pool is backed off."""
    hits = [backoffs.active(draft, offer.key(pool.name)) for offer in pool.offers]
    known = [hit for hit in hits if hit is not None]
    if not known or len(known) < len(hits):
        return None
    first = min(known, key=lambda b: b.until)
    error = f"{first.trouble.value}: {first.message}" if first.message else first.trouble.value
    return reason(ReasonCode.BACKED_OFF, left_s=first.until - draft.now, error=error)
