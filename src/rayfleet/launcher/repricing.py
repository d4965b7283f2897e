"""New prices into a running cluster's Policy. Pure.

A price that has moved by less than `LEAST_MOVE` of itself is left as it is, so that plans do not follow every cent of a
spot market; what moves slowly is taken over once it has moved so far. Prices alone end no machine: only
`consolidation_threshold`, which is off by default, weighs those that run against what could be had, and then a tenth
has to be saved at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.model import Offer, OfferKey, Policy, Pool

LEAST_MOVE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Repriced:
    """An offer whose price is another one now. `before` None: it was not known."""

    offer: OfferKey
    before: float | None
    after: float

    def __str__(self) -> str:
        key = self.offer
        where = " ".join(str(word) for word in (key.pool, key.zone or key.region, key.market) if word)
        before = "unknown" if self.before is None else f"{self.before:g}"
        return f"{where}: {before} -> {self.after:g} USD/h"


def repriced(policy: Policy, fresh: Policy) -> Policy:
    """Return a policy with those prices of `fresh`, the same file read again, that have moved far enough.

    It is `policy` itself when none has. All else is as it was, whatever the file says now.
    """
    pools = tuple(_pool(pool, fresh.pool(pool.name)) for pool in policy.pools)
    head = _pool(policy.head, fresh.head) if policy.head else None
    same = head is policy.head and all(new is old for new, old in zip(pools, policy.pools, strict=True))
    return policy if same else replace(policy, pools=pools, head=head)


def moves(before: Policy, after: Policy) -> Iterator[Repriced]:
    """Yield the offers whose prices differ between two policies, of which one is the other repriced."""
    pairs = [*zip(before.pools, after.pools, strict=True)]
    if before.head and after.head:
        pairs.insert(0, (before.head, after.head))
    for old, new in pairs:
        for one, other in zip(old.offers, new.offers, strict=True):
            if other.usd_per_hour is not None and one.usd_per_hour != other.usd_per_hour:
                yield Repriced(other.key(new.name), one.usd_per_hour, other.usd_per_hour)


def _pool(pool: Pool, fresh: Pool | None) -> Pool:
    """Return a pool with new prices; itself when there are none, or the file has other offers by now."""
    keys = [offer.key(pool.name) for offer in pool.offers]
    if fresh is None or keys != [offer.key(pool.name) for offer in fresh.offers]:
        return pool
    offers = tuple(_offer(own, new) for own, new in zip(pool.offers, fresh.offers, strict=True))
    same = all(new is old for new, old in zip(offers, pool.offers, strict=True))
    return pool if same else replace(pool, offers=offers)


def _offer(own: Offer, new: Offer) -> Offer:
    before, after = own.usd_per_hour, new.usd_per_hour
    if after is None or (before is not None and abs(after - before) < LEAST_MOVE * before):
        return own
    if before == after:
        return own
    return replace(own, usd_per_hour=after, on_demand_usd_per_hour=new.on_demand_usd_per_hour)
