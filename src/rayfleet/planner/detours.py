"""What a launch would rather have been: cheaper offers that could take its work and are backed off, for its reason.

The ladder (another zone, another type, on-demand, another provider) is no code of its own: offers are compared by
price, and those that back off are not there. This says afterwards which rungs were skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rayfleet.model import (
    ANYWHERE,
    Backoff,
    Market,
    Offer,
    OfferKey,
    Pool,
    Reason,
    ReasonCode,
    Resources,
    Selectors,
    offer_labels,
    reason,
)
from rayfleet.planner import backoffs
from rayfleet.planner.draft import Draft
from rayfleet.planner.weights import has_accelerator, stand_in_price

NAMED: Final = 3
"""So many skipped offers are named, the cheapest ones."""


class Piece(NamedTuple):
    """A kind of work that a launch is for."""

    shape: Resources
    selectors: Selectors


def detours(draft: Draft, pool: Pool, offer: Offer, pieces: Iterable[Piece]) -> list[Reason]:
    """Return why cheaper offers than `offer` of `pool` were not asked for `pieces` (none: for the pool's minimum)."""
    waiting = [backoff for backoff in draft.backoffs if backoff.until > draft.now]
    if not waiting:
        return []
    wanted = list(pieces)
    skipped: list[tuple[float, Reason]] = []
    for other in draft.policy.pools:
        for cheaper in other.offers:
            key = cheaper.key(other.name)
            hit = backoffs.active(draft, key)
            price = price_of(other, cheaper)
            if hit and _preferred(pool, price_of(pool, offer), other, key, price, wanted):
                skipped.append((price, _told(draft, key, hit)))
    return [why for _, why in sorted(skipped, key=lambda pair: pair[0])[:NAMED]]


def price_of(pool: Pool, offer: Offer) -> float:
    """Return USD per hour of one host, or what stands in for an unknown price when offers are compared."""
    return stand_in_price(pool.resources) if offer.usd_per_hour is None else offer.usd_per_hour


def _preferred(pool: Pool, paid: float, other: Pool, key: OfferKey, price: float, wanted: list[Piece]) -> bool:
    """Say whether an offer of `other` would have won against one of `pool` that is paid `paid` for."""
    if other.priority < pool.priority:
        return False
    if other.name == pool.name and price >= paid:
        return False
    labels = dict(offer_labels(other, key))
    rather = other.priority > pool.priority
    for shape, selectors in wanted:
        if not any(selector.holds(labels) for selector in selectors or (ANYWHERE,)):
            continue
        if has_accelerator(other.resources) and not (has_accelerator(shape) or has_accelerator(pool.resources)):
            continue
        fit, fits = _fit(other, shape), _fit(pool, shape)
        if fit and (rather or price * fits < paid * fit):
            return True
    return not wanted and other.name == pool.name


def _fit(pool: Pool, shape: Resources) -> int:
    return min((pool.resources.get(name, 0) // units for name, units in shape.items()), default=1)


def _told(draft: Draft, key: OfferKey, hit: Backoff) -> Reason:
    error = f"{hit.trouble.value}: {hit.message}" if hit.message else hit.trouble.value
    return reason(ReasonCode.DETOUR, offer=offer_text(key), left_s=hit.until - draft.now, error=error)


def offer_text(key: OfferKey) -> str:
    """Return an offer in words: `gpu (spot, zone a)`."""
    market = {Market.ON_DEMAND: "on-demand", Market.SPOT: "spot", Market.RESERVED: "reserved", None: ""}[key.market]
    zone = f"zone {key.zone}" if key.zone else key.region or ""
    parts = [part for part in (market, zone, key.provider or "") if part]
    return f"{key.pool} ({', '.join(parts)})" if parts else key.pool
