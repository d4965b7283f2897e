"""The claims of one launch, written down when somebody looks: there may be a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.model import Claim, Host, Offer, OfferKey, Phase, Pool
from rayfleet.planner.names import host_ids


@dataclass(frozen=True, slots=True)
class Batch:
    """So many `replicas` of an offer of a pool, asked for in one call under the token `batch`."""

    pool: Pool
    offer: Offer
    key: OfferKey
    names: tuple[str, ...]
    replicas: int
    batch: str
    now: float

    @property
    def hosts(self) -> int:
        """Return the number of hosts."""
        return self.replicas * self.pool.hosts_per_replica

    @property
    def price(self) -> float | None:
        """Return the price of one host, USD per hour; None when unknown."""
        return self.offer.usd_per_hour

    @property
    def usd_per_hour(self) -> float:
        """Return the price of all of them; 0 when unknown."""
        return (self.price or 0.0) * self.hosts

    def claims(self) -> Iterator[Claim]:
        """Write the claims."""
        make = self.pool.make
        for name in self.names:
            yield Claim(
                id=name,
                offer=self.key,
                phase=Phase.REQUESTED,
                hosts=tuple(Host(id=host) for host in host_ids(name, self.pool.hosts_per_replica)),
                since=self.now,
                created=self.now,
                batch=self.batch,
                accepted=False,
                make=make,
                usd_per_hour=self.price,
            )
