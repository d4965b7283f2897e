"""One value of one series."""

from __future__ import annotations

from typing import NamedTuple

from rayfleet.model import Claim, OfferKey
from rayfleet.reports.metrics.families import Family


class Sample(NamedTuple):
    """The value of a gauge; `labels` in the order of the family's."""

    family: Family
    labels: tuple[str, ...]
    value: float


def of_offer(key: OfferKey) -> tuple[str, ...]:
    """Return the labels `OFFER` of an offer; what it does not name is empty."""
    return (key.pool, key.provider or "", key.region or "", key.zone or "", key.market.value if key.market else "")


def market_of(claim: Claim) -> str:
    """Return how a claim's machine is bought, "" when that is not known."""
    return claim.offer.market.value if claim.offer.market else ""
