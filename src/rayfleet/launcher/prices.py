"""Where the prices of a cluster's offers are from: the file, or a table with its source and day. No network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from rayfleet.config import ClusterSpec
from rayfleet.contracts import Price
from rayfleet.model import Market, Offer, Pool
from rayfleet.wire.catalogue.tables import price

THE_FILE: Final = "the file"
THE_MAXIMUM: Final = "the file's maximum"
REGION_KEYS: Final = ("region", "location")
BUILT_IN: Final = "built-in"
"""Origin: the table that comes with rayfleet."""
CLOUD: Final = "cloud"
"""Origin: the cloud was asked, and this user's cache has its answer."""
FILE: Final = "file"
"""Origin: the cluster's file."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One offer of a pool and who says what it costs. `as_of`: "" without a date. `origin`: see the constants.

    Without `source` nobody says anything, and the offer has no price.
    """

    pool: str
    head: bool
    machine: str
    offer: Offer
    source: str = ""
    as_of: str = ""
    origin: str = ""

    def age_days(self, today: date) -> int | None:
        """Return how old the price is; None where it has no date."""
        return (today - date.fromisoformat(self.as_of)).days if self.as_of else None

    def as_json(self) -> dict[str, Any]:
        """Return it in the public format."""
        offer = self.offer
        return {
            "pool": self.pool,
            "head": self.head,
            "machine": self.machine or None,
            "region": offer.region,
            "zone": offer.zone,
            "market": str(offer.market),
            "usd_per_hour": offer.usd_per_hour,
            "source": self.source or None,
            "as_of": self.as_of or None,
            "origin": self.origin or None,
        }


def price_rows(spec: ClusterSpec) -> tuple[PriceRow, ...]:
    """Return every offer of the cluster, the head's first."""
    head = spec.policy.head
    pools = [(head, True)] if head else []
    return tuple(
        _row(spec, pool, offer, head=is_head)
        for pool, is_head in [*pools, *((pool, False) for pool in spec.policy.pools)]
        for offer in pool.offers
    )


def row_of(cloud: str, region: str, machine: str, market: Market) -> PriceRow:
    """Return what a cloud's machine costs, of no cluster."""
    known = price(cloud, region, machine, market)
    offer = Offer(known.usd_per_hour if known else None, market, region=region, provider=cloud)
    row = PriceRow(pool="", head=False, machine=machine, offer=offer)
    return row if known is None else _sourced(row, known)


def _row(spec: ClusterSpec, pool: Pool, offer: Offer, *, head: bool) -> PriceRow:
    setup = spec.types.get(pool.name)
    machine = setup.machine if setup else ""
    if offer.usd_per_hour is None:
        return PriceRow(pool.name, head, machine, offer)
    region = offer.region or region_of(spec.provider_settings)
    known = price(spec.provider, region, machine, offer.market) if machine else None
    if known and known.usd_per_hour == offer.usd_per_hour and not _written(spec, pool, offer):
        return _sourced(PriceRow(pool.name, head, machine, offer), known)
    limit = setup.spot_max_usd_per_hour if setup else None
    if offer.market is Market.SPOT and offer.usd_per_hour == limit and not _written(spec, pool, offer):
        return PriceRow(pool.name, head, machine, offer, THE_MAXIMUM, origin=FILE)
    if _written(spec, pool, offer) or not machine:
        return PriceRow(pool.name, head, machine, offer, THE_FILE, origin=FILE)
    return PriceRow(pool.name, head, machine, offer, f"provider {spec.provider}", origin=BUILT_IN)


def _sourced(row: PriceRow, known: Price) -> PriceRow:
    return replace(row, source=known.source, as_of=known.as_of, origin=CLOUD if known.asked else BUILT_IN)


def region_of(settings: Any) -> str:
    """Return the region that a provider section is about; "" where it names none."""
    found = (getattr(settings, key, None) for key in REGION_KEYS)
    return next((str(region) for region in found if region), "")


def _written(spec: ClusterSpec, pool: Pool, offer: Offer) -> bool:
    """Say whether the file itself gives this price to this pool."""
    return any(offer.usd_per_hour == row.get("usd_per_hour") for row in _written_offers(spec.raw, pool.name))


def _written_offers(raw: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    listed = raw.get("available_node_types")
    sections = [listed.get(name)] if isinstance(listed, dict) else []
    for key in ("worker_node_types", "worker_nodes"):
        rows = raw.get(key)
        sections += rows if isinstance(rows, list) else [rows]
    for section in sections:
        if isinstance(section, dict) and section.get("name", name) == name:
            yield from (row for row in section.get("offers") or () if isinstance(row, dict))
