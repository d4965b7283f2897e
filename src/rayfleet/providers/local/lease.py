"""Whose a host is: the value in the file on it. Pure.

One line of JSON, in /var/tmp: there every user may make a file, only its owner may remove it, and it outlives a reboot.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from rayfleet.model import Market, OfferKey

PATH: Final = "/var/tmp/rayfleet-lease"  # noqa: S108 - made in one step, and never read as ours unless it says so


@dataclass(frozen=True, slots=True)
class Lease:
    """One host in one cluster. `id` is the machine's; `place`: which of the batch's machines it is.

    `since`: seconds since the epoch. `boot`: the host's boot when it was taken; what was started then ends with it.
    """

    id: str
    cluster: str
    batch: str
    place: str
    offer: OfferKey
    head: bool
    since: float
    boot: str

    def to_text(self) -> str:
        """Return the file's one line."""
        offer = self.offer
        market = str(offer.market) if offer.market else None
        fields = {**asdict(self), "offer": [offer.pool, offer.provider, offer.region, offer.zone, market]}
        return json.dumps(fields)

    @property
    def sign(self) -> str:
        """Return the part of the text that no other lease has."""
        return f'"id": {json.dumps(self.id)},'


def parse(text: str) -> Lease | None:
    """Return the lease that a text holds; None: it is none of ours, or of another rayfleet."""
    try:
        fields: dict[str, Any] = json.loads(text)
        pool, provider, region, zone, market = fields["offer"]
        offer = OfferKey(pool, provider, region, zone, Market(market) if market else None)
        names = ("id", "cluster", "batch", "place")
        words = {name: str(fields[name]) for name in names}
        return Lease(**words, offer=offer, head=bool(fields["head"]), since=fields["since"], boot=fields["boot"])
    except (ValueError, KeyError, TypeError):
        return None


def holder(text: str) -> str:
    """Return who holds a host, for people."""
    lease = parse(text)
    return f"cluster {lease.cluster}" if lease else f"somebody whose lease cannot be read ({PATH})"
