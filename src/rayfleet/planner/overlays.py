"""Step 4, its end: overlays change what offers count as when they are compared.

Capacity that is paid for already, a licence that comes with a machine, carbon: what a price list does not know. What
is reported and held against budgets stays the listed price, unless an overlay says that its price is the `real` one.
"""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import Offer, Overlay, Pool, ReasonCode, offer_labels, reason
from rayfleet.planner.draft import Draft


def apply_overlays(draft: Draft) -> None:
    """Give every offer that overlays match the price that it counts as; one upon the other."""
    policy = draft.policy
    if policy.overlays:
        pools = tuple(_overlaid(draft, pool) for pool in policy.pools)
        draft.policy = replace(policy, pools=pools, head=_overlaid(draft, policy.head) if policy.head else None)


def _overlaid(draft: Draft, pool: Pool) -> Pool:
    offers = tuple(_priced(draft, pool, offer) for offer in pool.offers)
    return pool if offers == pool.offers else replace(pool, offers=offers)


def _priced(draft: Draft, pool: Pool, offer: Offer) -> Offer:
    key = offer.key(pool.name)
    labels = offer_labels(pool, key)
    counts = real = offer.usd_per_hour
    reasons = []
    for overlay in draft.policy.overlays:
        if not (overlay.scope.covers(key) and overlay.labels.holds(labels)):
            continue
        counts = _changed(overlay, counts)
        real = _changed(overlay, real) if overlay.real else real
        reasons.append(overlay.why)
    if not reasons:
        return offer
    if counts is not None:
        why = ", ".join(dict.fromkeys(word for word in reasons if word)) or "an overlay"
        draft.overlaid[key] = reason(ReasonCode.OVERLAY, counted_usd_per_hour=counts, why=why)
    return replace(offer, usd_per_hour=real, counted_usd_per_hour=counts)


def _changed(overlay: Overlay, price: float | None) -> float | None:
    """Return a price after an overlay; one that is not known stays so unless the overlay names one."""
    if overlay.usd_per_hour is not None:
        return overlay.usd_per_hour
    if price is None:
        return None
    if overlay.multiply is not None:
        return price * overlay.multiply
    return max(0.0, price + (overlay.add or 0.0))
