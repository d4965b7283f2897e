"""What every step may ask about machines on standby: how those of a pool wait, what they cost, which are at rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rayfleet.model import Claim, MachineFact, OfferKey, Phase, StandbyMode
from rayfleet.planner.draft import Draft


def mode_of(draft: Draft, pool: str) -> StandbyMode:
    """Return how machines of a pool wait on standby; stopped where the pool does not say (any more)."""
    found = draft.policy.pool(pool)
    return found.standby.mode if found and found.standby else StandbyMode.STOPPED


def price_of(draft: Draft, key: OfferKey) -> float | None:
    """Return what one machine of an offer costs while it waits, in USD per hour; None when that is not known."""
    pool = draft.policy.pool(key.pool)
    offers = pool.offers if pool else ()
    found = next((offer for offer in offers if key.covers(offer.key(key.pool))), None)
    return found.resting_usd_per_hour(mode_of(draft, key.pool)) if found else 0.0


def resting(draft: Draft, claim: Claim) -> Claim:
    """Return a claim at the price that it has while it waits: stopped without a known price, it costs nothing."""
    usd = price_of(draft, claim.offer)
    if mode_of(draft, claim.pool) is StandbyMode.BOOTED and claim.usd_per_hour is not None:
        usd = claim.usd_per_hour
    return replace(claim, usd_per_hour=usd)


def is_at_rest(claim: Claim) -> bool:
    """Say whether every machine of a claim can be started now; without a fact the phase is believed."""
    believed = {MachineFact.STANDBY, None} if claim.accepted else {MachineFact.STANDBY}
    return claim.phase is Phase.STANDBY and all(host.machine in believed for host in claim.hosts)


def machines_of(claims: Iterable[Claim]) -> tuple[str, ...]:
    """Return the machines of claims, by the names that their provider knows; of hand-written ones their own."""
    return tuple(host.machine_id or host.id for claim in claims for host in claim.hosts)
