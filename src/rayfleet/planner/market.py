"""Which machines can be had now: per pool the cheapest offers that are not backed off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rayfleet.model import OBJECT_STORE, Offer, OfferKey, Pool, Resources, offer_labels
from rayfleet.planner import backoffs
from rayfleet.planner.capacity import NewHost, Terms, amounts
from rayfleet.planner.draft import Draft
from rayfleet.planner.weights import has_accelerator, stand_in_price, weight

FREE_USD_PER_HOUR: Final = 1e-6
"""A machine that costs nothing is compared as if it cost this, so that none is launched for nothing."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of getting a replica. `price` compares (USD per hour of a replica, or its stand-in).

    `offers` are the amounts of one host by table row; `labels` those that somebody asks about.
    """

    order: int
    pool: Pool
    offer: Offer
    key: OfferKey
    price: float
    offers: list[int]
    labels: tuple[tuple[str, str], ...]
    accelerated: bool
    weight: float

    @property
    def hosts(self) -> int:
        """Return the number of hosts of a replica."""
        return self.pool.hosts_per_replica

    def whole_host(self) -> NewHost:
        """Return what the table of hosts is told of one of its hosts."""
        return NewHost(self.offers, self.labels, self.accelerated)


def variants(draft: Draft, terms: Terms) -> list[Variant]:
    """Return what can be launched, in file order; offers that differ in nothing asked for are one, the cheapest."""
    found: list[Variant] = []
    stores = _object_stores(draft) if OBJECT_STORE in terms.names else {}
    for pool in draft.policy.pools:
        seen = set()
        resources = pool.resources
        if pool.name in stores and OBJECT_STORE not in resources:
            resources = Resources(resources.merged({OBJECT_STORE: stores[pool.name]}))
        of_host = amounts(terms, resources, joined=False)
        for offer in by_price(pool):
            key = offer.key(pool.name)
            labels = terms.labels(offer_labels(pool, key))
            if labels in seen or backoffs.active(draft, key):
                continue
            seen.add(labels)
            found.append(_variant(len(found), pool, offer, labels, of_host))
    return found


def _object_stores(draft: Draft) -> dict[str, int]:
    """Return the largest object store that nodes of each pool have told of: new ones will hardly have more."""
    stores: dict[str, int] = {}
    for claim in draft.workers():
        for host in claim.hosts:
            if host.total is not None and OBJECT_STORE in host.total:
                stores[claim.pool] = max(stores.get(claim.pool, 0), host.total[OBJECT_STORE])
    return stores


def by_price(pool: Pool) -> list[Offer]:
    """Return a pool's offers, the cheapest first, those of unknown price last."""
    return sorted(pool.offers, key=lambda o: (o.compared is None, o.compared or 0.0))


def _variant(order: int, pool: Pool, offer: Offer, labels: tuple[tuple[str, str], ...], of_host: list[int]) -> Variant:
    resources: Resources = pool.resources
    listed = offer.compared
    price = stand_in_price(resources) if listed is None else max(listed, FREE_USD_PER_HOUR)
    return Variant(
        order=order,
        pool=pool,
        offer=offer,
        key=offer.key(pool.name),
        price=price * pool.hosts_per_replica,
        offers=of_host,
        labels=labels,
        accelerated=has_accelerator(resources),
        weight=weight(resources) * pool.hosts_per_replica,
    )
