"""What the same machines would cost if each were bought on demand: what spot and reservations save. Pure.

A machine's price on demand is that of its own offer's catalogue entry; where there is none, that of the cheapest offer
on demand of its pool, in its own region if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rayfleet.model import PRESENT, Claim, Cost, Market, Offer, Phase, Policy


@dataclass(frozen=True, slots=True)
class OnDemand:
    """What the machines of a plan's `cost.after` would cost. Those without a known price are in neither sum.

    `uncompared`: machines that were bought otherwise, and nobody knows what they cost on demand: they count as they
    are.
    """

    usd_per_hour: float = 0.0
    uncompared: int = 0


def compare(cost: Cost, claims: Iterable[Claim], policy: Policy) -> OnDemand:
    """Return what all that is paid for after a plan would cost on demand. `claims`: as the plan leaves them."""
    more, uncompared = 0.0, 0
    for claim in claims:
        own = _own(claim, policy)
        if own is None or claim.foreign or claim.phase not in PRESENT:
            continue
        on_demand = price(claim, policy)
        uncompared += claim.count * (on_demand is None)
        more += claim.count * (own if on_demand is None else on_demand) - claim.count * own
    return OnDemand(round(cost.after + more, 9), uncompared)


def price(claim: Claim, policy: Policy) -> float | None:
    """Return what a machine of a claim costs an hour on demand; None where nobody knows.

    What waits on standby costs what it does: nobody rents that by the hour.
    """
    if claim.phase is Phase.STANDBY or claim.offer.market in (None, Market.ON_DEMAND):
        return _own(claim, policy)
    offers = _offers(claim, policy)
    told = [o.on_demand_usd_per_hour for o in offers if claim.offer.covers(o.key(claim.pool))]
    known = [usd for usd in told if usd is not None]
    return known[0] if known else _cheapest(claim, offers)


def _cheapest(claim: Claim, offers: tuple[Offer, ...]) -> float | None:
    plain = [offer for offer in offers if offer.market is Market.ON_DEMAND and offer.usd_per_hour is not None]
    here = (claim.offer.provider, claim.offer.region)
    near = [offer for offer in plain if (offer.provider, offer.region) == here] or plain
    return min((offer.usd_per_hour for offer in near if offer.usd_per_hour is not None), default=None)


def _own(claim: Claim, policy: Policy) -> float | None:
    if claim.usd_per_hour is not None:
        return claim.usd_per_hour
    own = (offer for offer in _offers(claim, policy) if claim.offer.covers(offer.key(claim.pool)))
    return next((offer.usd_per_hour for offer in own), None)


def _offers(claim: Claim, policy: Policy) -> tuple[Offer, ...]:
    pool = policy.pool(claim.pool)
    return pool.offers if pool else ()
