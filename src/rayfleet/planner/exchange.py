"""Consolidation by exchange: one machine of any pool in the place of several, or of one that is too big.

Asked after everything else has its place, and only for what consolidation may move (see consolidation): machines in use
for long enough whose work is restartable, that nothing in this plan needs, above the minimum, within budgets.

    saving      what the machines cost, less what the one costs that takes all of their work
    disruption  the used part of each (an hour of its work), and for a machine still to be launched what it costs while
                it boots and the others drain (`BOOT_S` + `drain_timeout_s`)
    score       saving / (saving + disruption), which has to reach `consolidation_threshold`; at least a tenth is saved

For every machine that is idle or on its way and for nobody yet, and then for every offer, machines are taken in one
order - most paid for nothing first - as long as their work fits on it. The first spare machine that is worth it is kept
for them, and they are drained in the plan in which it is up. Only when there is none, nothing starts, waits or leaves,
the offer that saves most is launched, one at a time.

Nothing of this is remembered. While the new machine boots the same order fills it with the same machines, as sums do
not depend on what was moved first; its start is paid by then, so that it is given up only when the work has grown
beyond it. Every exchange leaves a cheaper cluster, so that there are only so many of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rayfleet.model import (
    CAPACITY,
    STARTING,
    Claim,
    Disruption,
    LabelSelector,
    OfferKey,
    Phase,
    Reason,
    ReasonCode,
    reason,
)
from rayfleet.planner.budgets import Budgets
from rayfleet.planner.capacity import Need
from rayfleet.planner.consolidation import paid_usd_per_hour, score_of
from rayfleet.planner.detours import offer_text
from rayfleet.planner.draft import Draft, is_used, used_share
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import Variant
from rayfleet.planner.weights import has_accelerator

BOOT_S: Final = 120.0
"""So long is a new machine taken to be paid for before it is of use."""
_HOUR_S: Final = 3600.0
_RANK: Final = {Phase.READY: 0, Phase.BOOTING: 1, Phase.REQUESTED: 2}


@dataclass(frozen=True, slots=True)
class Mover:
    """A machine that may give way. `needs`: what each of its hosts uses; it goes to one host, where `home` holds."""

    claim: Claim
    needs: tuple[Need, ...]
    home: LabelSelector
    accelerated: bool
    priority: int
    price: float
    disruption: float


@dataclass(frozen=True, slots=True)
class Taker:
    """A host that may take their work: of a claim (`claim`, at `column`), or of an offer (`variant`).

    `start`: what it costs until it is of use, in USD.
    """

    claim: Claim | None
    column: int
    variant: Variant | None
    key: OfferKey
    free: tuple[int, ...]
    accelerated: bool
    priority: int
    price: float
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """Who gives way to whom, and what that saves (USD per hour)."""

    taker: Taker
    movers: tuple[Mover, ...]
    saving: float
    score: float

    @property
    def reason(self) -> Reason:
        """Return why each of the machines goes."""
        why = reason(ReasonCode.UNDERUSED, usd_per_hour=self.saving, score=self.score)
        offer = offer_text(self.taker.key)
        return why.because(reason(ReasonCode.EXCHANGE, machines=len(self.movers), offer=offer))


def mover(draft: Draft, layout: Layout, claim: Claim, home: LabelSelector) -> Mover:
    """Return a claim in use as one that may give way."""
    pool = draft.policy.pool(claim.pool)
    price = paid_usd_per_hour(draft, claim) * claim.count
    return Mover(
        claim,
        tuple(layout.terms.need(host.used) for host in claim.hosts if host.used),
        home,
        any(has_accelerator(host.used) for host in claim.hosts),
        pool.priority if pool else 0,
        price,
        used_share(claim, draft.policy) * price,
    )


def in_order(movers: list[Mover]) -> list[Mover]:
    """Return movers, first those of which most is paid for nothing."""
    return sorted(movers, key=lambda m: (m.disruption - m.price, m.claim.created, m.claim.id))


def with_spare(
    draft: Draft, layout: Layout, budgets: Budgets, movers: list[Mover], spare: list[Claim]
) -> Exchange | None:
    """Return the first exchange that is worth it with a machine that exists and is for nobody."""
    order = {id(claim): n for n, claim in enumerate(spare)}
    for claim in sorted(spare, key=lambda c: (_RANK[c.phase], order[id(c)])):
        taker = _of_claim(draft, layout, claim)
        found = None if taker is None else _filled(draft, layout, budgets, movers, taker)
        if found is not None:
            return found
    return None


def with_offer(draft: Draft, layout: Layout, budgets: Budgets, movers: list[Mover]) -> Exchange | None:
    """Return the exchange with a machine to be launched that saves most; of equals the first offer's."""
    found: Exchange | None = None
    for variant in layout.variants:
        pool, usd = variant.pool, variant.offer.usd_per_hour
        if variant.hosts != 1 or not min(layout.room.replicas(pool, usd), layout.room.at_once(pool)):
            continue
        start = variant.price * (BOOT_S + draft.timeouts.drain_timeout_s) / _HOUR_S
        free = tuple(variant.offers)
        taker = Taker(None, -1, variant, variant.key, free, variant.accelerated, pool.priority, variant.price, start)
        one = _filled(draft, layout, budgets, movers, taker)
        if one is not None and (found is None or one.saving > found.saving + 1e-9):
            found = one
    return found


def spare_machines(draft: Draft, taken: set[str], above_min: dict[str, int]) -> Iterator[Claim]:
    """Yield machines that are idle or on their way and for nobody. `taken`: claims that are needed or held."""
    for claim in draft.workers():
        known = claim.phase in CAPACITY and claim.count == 1 and not is_used(claim) and claim.id not in taken
        if known and not draft.is_replaced(claim) and not claim.drifted:
            held = claim.phase not in STARTING and above_min.get(claim.pool, 0) < claim.count
            if not held and draft.policy.pool(claim.pool) is not None:
                yield claim


def _of_claim(draft: Draft, layout: Layout, claim: Claim) -> Taker | None:
    capacity = layout.capacity
    column = next((n for n, place in enumerate(capacity.places) if place.claim == claim.id), None)
    pool = draft.policy.pool(claim.pool)
    if column is None or pool is None or capacity.busy[column]:
        return None
    free = tuple(capacity.free[:, column].tolist())
    accelerated = bool(capacity.accelerated[column])
    price = paid_usd_per_hour(draft, claim)
    return Taker(claim, column, None, claim.offer, free, accelerated, pool.priority, price)


def _filled(draft: Draft, layout: Layout, budgets: Budgets, movers: list[Mover], taker: Taker) -> Exchange | None:
    """Fill a taker in order, and return the longest beginning of that which is worth it."""
    left, meter = list(taker.free), budgets.fork()
    chosen: list[Mover] = []
    found: Exchange | None = None
    for one in movers:
        if not _suits(layout, one, taker) or meter.held(Disruption.UNDERUSED, one.claim):
            continue
        after = _without(left, one)
        if after is None:
            continue
        left = after
        chosen.append(one)
        meter.take(Disruption.UNDERUSED, one.claim)
        price = sum(mover.price for mover in chosen)
        disruption = sum(mover.disruption for mover in chosen) + taker.start
        score = score_of(draft, price - taker.price, disruption, price)
        if score is not None:
            found = Exchange(taker, tuple(chosen), price - taker.price, score)
    return found


def _suits(layout: Layout, one: Mover, taker: Taker) -> bool:
    if taker.priority < one.priority or (taker.accelerated and not one.accelerated):
        return False
    if taker.variant is not None:
        return one.home.holds(dict(taker.variant.labels))
    return bool(layout.capacity.matches(one.home)[taker.column])


def _without(left: list[int], one: Mover) -> list[int] | None:
    """Return what is left with the work of one more; None when there is not enough."""
    after = left.copy()
    for need in one.needs:
        for row, units in need:
            after[row] -= units
            if after[row] < 0:
                return None
    return after
