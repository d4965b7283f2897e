"""Step 12, its beginning: spot machines of one launch are spread over offers that cost nearly the same.

What the packing chose is the cheapest offer of its pool; if that one is taken back, all of its machines go at once.
With `spot_spread_margin` the machines go to every spot offer of the pool that costs at most that share more than the
cheapest one: always to the offer with the fewest machines, counting those that exist, of equals to the cheapest. Offers
that back off, that the demand's selectors tell apart, or that the budget does not allow get none. The machines are
equal, so that no placement changes. Gangs stay together, because theirs is traffic between machines.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import replace

from rayfleet.model import EXISTING, Market, OfferKey, ReasonCode, offer_labels
from rayfleet.planner import backoffs
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout, Made
from rayfleet.planner.market import Variant
from rayfleet.planner.room import CENT_PART


def spread_spot(draft: Draft, layout: Layout) -> None:
    """Replace what was made of one spot offer by as much of several, where the policy wants that."""
    margin = draft.policy.spot_spread_margin
    if margin is None or not any(made.variant.offer.market is Market.SPOT for made in layout.made):
        return
    have = Counter(claim.offer for claim in draft.workers() if claim.phase in EXISTING)
    spread: list[Made] = []
    for made in layout.made:
        offers = _alike(draft, layout, made.variant, margin) if made.why is not ReasonCode.GANG else []
        if len(offers) > 1:
            spread.extend(_parts(layout, made, offers, have))
        else:
            have[made.variant.key] += made.replicas
            spread.append(made)
    layout.made[:] = spread


def _alike(draft: Draft, layout: Layout, variant: Variant, margin: float) -> list[Variant]:
    """Return the offers that may stand in for a spot offer, the cheapest first; the offer itself is one."""
    pool, price = variant.pool, variant.offer.usd_per_hour
    if variant.offer.market is not Market.SPOT or price is None:
        return []
    found = []
    for offer in pool.offers:
        key = offer.key(pool.name)
        if offer.market is not Market.SPOT or offer.usd_per_hour is None or backoffs.active(draft, key):
            continue
        same = layout.terms.labels(offer_labels(pool, key)) == variant.labels
        if same and offer.usd_per_hour <= price * (1.0 + margin) + CENT_PART:
            found.append(replace(variant, offer=offer, key=key, price=offer.usd_per_hour * pool.hosts_per_replica))
    return sorted(found, key=lambda v: v.price)


def _parts(layout: Layout, made: Made, offers: list[Variant], have: Counter[OfferKey]) -> list[Made]:
    """Share replicas out one by one; return a part per offer that got some, on consecutive columns."""
    shares = [0] * len(offers)
    queue = [(have[variant.key], rank) for rank, variant in enumerate(offers)]
    heapq.heapify(queue)
    for _ in range(made.replicas):
        count, rank = heapq.heappop(queue)
        while rank and not _affordable(layout, offers[rank], made.variant):
            count, rank = heapq.heappop(queue)
        if rank:
            layout.room.usd_per_hour -= offers[rank].price - made.variant.price
        shares[rank] += 1
        have[offers[rank].key] += 1
        heapq.heappush(queue, (count + 1, rank))
    parts, first = [], made.first
    for variant, share in zip(offers, shares, strict=True):
        if share:
            parts.append(Made(variant, share, first, made.why, among=len(offers)))
            first += share * variant.hosts
    return parts


def _affordable(layout: Layout, variant: Variant, chosen: Variant) -> bool:
    return variant.price - chosen.price <= layout.room.usd_per_hour + CENT_PART
