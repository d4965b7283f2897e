"""How many hosts there are, by all that limits, minimums and costs ask about: counted once until a claim changes.

Seven steps of a plan want such sums, and in most plans no claim changes between them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import is_
from typing import TYPE_CHECKING

from rayfleet.model import CAPACITY, EXISTING, PRESENT, Claim, Phase

if TYPE_CHECKING:
    from rayfleet.planner.draft import Draft

Kind = tuple[str, Phase, bool, bool]
"""Pool, phase, whether it works for the cluster (no head, not joined by hand, not on standby), drifted (outdated)."""


@dataclass(frozen=True, slots=True)
class Census:
    """Hosts by kind, and what all that we pay for costs (USD per hour); `unpriced`: hosts whose price is not known.

    `working_usd_per_hour`: without what is on standby.
    """

    hosts: dict[Kind, int]
    usd_per_hour: float
    unpriced: int
    working_usd_per_hour: float

    def workers(self, phases: Collection[Phase]) -> dict[str, int]:
        """Return the hosts of each pool in some phases that work for the cluster; pools without any are left out."""
        counts: dict[str, int] = {}
        for (pool, phase, works, _), hosts in self.hosts.items():
            if works and phase in phases:
                counts[pool] = counts.get(pool, 0) + hosts
        return counts

    def outdated(self, phases: Collection[Phase]) -> dict[str, int]:
        """Return those of `workers` that are outdated."""
        old = {kind: hosts for kind, hosts in self.hosts.items() if kind[-1]}
        return Census(old, 0.0, 0, 0.0).workers(phases)


def count(draft: Draft, claims: Iterable[Claim]) -> Census:
    """Count claims at the draft's prices. Sums of prices are made in the order of the claims, always alike."""
    hosts: dict[Kind, int] = {}
    prices: dict[int, float | None] = {}  # by identity of the offer, for as long as these claims hold it
    usd, working_usd, unpriced = 0.0, 0.0, 0
    for claim in claims:
        offer, phase, of_claim = claim.offer, claim.phase, len(claim.hosts)
        kind = (offer.pool, phase, not (claim.head or claim.foreign or claim.standby), claim.drifted)
        hosts[kind] = hosts.get(kind, 0) + of_claim
        if claim.foreign or phase not in PRESENT:
            continue
        price = claim.usd_per_hour
        if price is None:
            if id(offer) not in prices:
                prices[id(offer)] = draft.usd_per_hour(claim)
            price = prices[id(offer)]
        if price is None:
            unpriced += of_claim
        else:
            usd += price * of_claim
            if not claim.standby and phase in EXISTING:
                working_usd += price * of_claim
    return Census(hosts, usd, unpriced, working_usd)


def census(draft: Draft) -> Census:
    """Return the census of the claims as they are now."""
    if draft.counted is None:
        draft.counted = count(draft, draft.claims.values())
    return draft.counted


def census_before(draft: Draft) -> Census:
    """Return the census of the snapshot's claims, at the draft's prices."""
    if draft.counted_before is None:
        before, now = draft.snapshot.claims, draft.claims
        same = len(before) == len(now) and all(map(is_, before, now.values()))
        draft.counted_before = census(draft) if same else count(draft, before)
    return draft.counted_before


def holding(draft: Draft, phases: Collection[Phase] = CAPACITY) -> dict[str, int]:
    """Return how many hosts of each pool, in some phases, count towards its minimum: none that is being replaced."""
    counted = census(draft)
    hold = counted.workers(phases)
    for pool, hosts in counted.outdated(phases).items():
        if pool not in draft.rolling:
            hold[pool] -= hosts
    for name in draft.outgoing:
        claim = draft.claims.get(name)
        if claim is None or claim.phase not in phases or claim.head or claim.foreign or claim.standby:
            continue
        if not claim.drifted or claim.pool in draft.rolling:  # the others have been taken off already
            hold[claim.pool] -= claim.count
    return hold
