"""Step 11: room that is kept free for what nobody asks for yet, of the lowest rank.

They are served last, from what is free then, on machines that are in use before idle ones; for what is missing machines
are launched within every limit, as for tasks. What a buffer is placed on counts as needed, so that it is not released
for being idle; what is beyond the buffer follows the idle rules. A buffer never makes anything leave.

An idle machine with an accelerator is no home for a buffer without one, unless its pool keeps it anyway (a minimum) or
nothing else would do: a small buffer would hold the dearest machine for ever.

What a forecast expects is served before the buffers, as far as it is not in use yet: buffers are beyond it.

Room is not launched for while tasks wait that would take it at once (those that a threshold, a quota or the upscaling
speed holds back): Ray would run them there without asking, and the room would be missing again.

A target of utilisation (`scale_up_utilization`) is a buffer too: used / total <= share is the same as
free >= used x (1 / share - 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rayfleet.model import (
    CAPACITY,
    UNITS,
    Ahead,
    Buffer,
    Claim,
    DemandKind,
    Expected,
    Host,
    Labels,
    LabelSelector,
    OfferKey,
    ReasonCode,
    Resources,
    Selectors,
    offer_labels,
    reason,
)
from rayfleet.planner.capacity import Mask, Need
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Errand, Layout, Manner
from rayfleet.planner.market import Variant
from rayfleet.planner.weights import GIB, has_accelerator
from rayfleet.planner.work import Item, Source, in_order, item

ROUNDING = 1e-9
"""A percentage of whole pieces that comes to a whole number is not rounded up by a rounding error."""


@dataclass(frozen=True, slots=True)
class InUse:
    """What is in use on the machines that stay, what this plan places there included, by selectors."""

    draft: Draft
    layout: Layout
    known: dict[Selectors, Resources]

    def of(self, selectors: Selectors) -> Resources:
        """Return the sum over the machines that any of the selectors means; over all without selectors."""
        if selectors not in self.known:
            self.known[selectors] = self._running(selectors) + self._placed(selectors)
        return self.known[selectors]

    def _running(self, selectors: Selectors) -> Resources:
        total: dict[str, int] = {}
        labels: dict[OfferKey, Labels] = {}
        for claim in self.draft.claims.values():
            if claim.phase not in CAPACITY:
                continue
            for host in claim.hosts:
                if host.used and (not selectors or _is_meant(self.draft, claim, host, selectors, labels)):
                    for name, units in host.used.items():
                        total[name] = total.get(name, 0) + units
        return Resources(total)

    def _placed(self, selectors: Selectors) -> Resources:
        layout, demand = self.layout, self.draft.snapshot.demand
        mask = _meant_columns(layout, selectors)
        total: dict[str, int] = {}
        for put in layout.placed:
            if put.kind not in (DemandKind.TASKS, DemandKind.GANG):
                continue
            for column, index, bundle, count in put.pieces():
                if not mask[column]:
                    continue
                gang = put.kind is DemandKind.GANG
                shape = demand.gangs[index].bundles[bundle or 0].shape if gang else demand.tasks[index].shape
                for name, units in shape.items():
                    total[name] = total.get(name, 0) + units * count
        return Resources(total)


def _is_meant(draft: Draft, claim: Claim, host: Host, selectors: Selectors, labels: dict[OfferKey, Labels]) -> bool:
    if claim.offer not in labels:
        labels[claim.offer] = offer_labels(draft.policy.pool(claim.pool), claim.offer)
    own = host.labels if claim.foreign else labels[claim.offer].merged(host.labels)
    return any(selector.holds(own) for selector in selectors)


def _meant_columns(layout: Layout, selectors: Selectors) -> Mask:
    mask = np.full(layout.capacity.size, not selectors, np.bool_)
    for selector in selectors:
        mask |= layout.capacity.matches(selector)
    return mask


def place_ahead(draft: Draft, layout: Layout) -> list[Item]:
    """Serve all that is wanted ahead of demand, as far as limits allow; return it with what is left of each."""
    in_use = InUse(draft, layout, {})
    soon = _serve(draft, layout, [_soon(expected, in_use) for expected in draft.snapshot.expected])
    served = _serve(draft, layout, [_ahead(buffer, in_use) for buffer in draft.policy.buffers])
    # What is kept free lowers the use as well.
    return soon + served + _serve(draft, layout, _headroom(draft, layout, in_use))


def _ahead(buffer: Buffer, in_use: InUse) -> Ahead:
    count = buffer.count
    if buffer.percent:
        count = max(count, _share(buffer, in_use.of(buffer.selectors)))
    return Ahead(buffer.name, ReasonCode.BUFFER, buffer.shape, count, buffer.selectors)


def _soon(expected: Expected, in_use: InUse) -> Ahead:
    """Return the part of what is expected that is not there yet."""
    used = in_use.of(expected.selectors)
    there = min((used.get(name, 0) // units for name, units in expected.shape.items()), default=0)
    error = "" if expected.error_percent is None else f", {expected.error_percent:g}% off on average"
    count = max(0, expected.count - there)
    return Ahead(f"{expected.name}{error}", ReasonCode.FORECAST, expected.shape, count, expected.selectors)


def _share(buffer: Buffer, used: Resources) -> int:
    pieces = max((used.get(name, 0) / units for name, units in buffer.shape.items()), default=0.0)
    return math.ceil(pieces * buffer.percent / 100.0 - ROUNDING)


def _headroom(draft: Draft, layout: Layout, in_use: InUse) -> list[Ahead]:
    """Return the room that brings the use of each resource to its target, in whole units."""
    kept = _kept_free(draft, layout)
    found = []
    for name, share in draft.policy.scale_up_utilization.items():
        unit = UNITS * (GIB if name.endswith("memory") else 1)
        missing = in_use.of(()).get(name, 0) * (1.0 / share - 1.0) - kept.get(name, 0)
        count = max(0, math.ceil(missing / unit - ROUNDING))
        target = f"{name} {100.0 * share:g}%"
        found.append(Ahead(target, ReasonCode.UTILIZATION, Resources({name: unit}), count))
    return found


def _kept_free(draft: Draft, layout: Layout) -> Resources:
    total = Resources()
    for put in layout.placed:
        for index, _, count in put.parts if put.kind is DemandKind.BUFFER else ():
            total = total + draft.ahead[index].shape.times(count)
    return total


def _serve(draft: Draft, layout: Layout, wanted: list[Ahead]) -> list[Item]:
    """Add to what is kept free, and place it; return the pieces with what is left of each."""
    numbered = [(index, one) for index, one in enumerate(wanted, start=len(draft.ahead)) if one.count]
    draft.ahead += tuple(wanted)
    with_accelerator = [(index, one) for index, one in numbered if has_accelerator(one.shape)]
    others = [(index, one) for index, one in numbered if not has_accelerator(one.shape)]
    return _placed(layout, with_accelerator, careful=False) + _carefully(layout, others)


def _carefully(layout: Layout, wanted: list[tuple[int, Ahead]]) -> list[Item]:
    """Place what needs no accelerator without holding one, if ordinary machines will do for all of it."""
    if _homes(layout) is not None:
        saved = layout.save()
        pieces = _placed(layout, wanted, careful=True)
        dear = any(made.variant.accelerated for made in layout.made[saved.made :])
        if not dear and not any(piece.left for piece in pieces):
            return pieces
        layout.restore(saved)
    return _placed(layout, wanted, careful=False)


def _placed(layout: Layout, wanted: list[tuple[int, Ahead]], *, careful: bool) -> list[Item]:
    pieces = in_order(
        [
            item(layout.terms, DemandKind.BUFFER, one.shape, one.selectors, [Source(index, None, one.count)])
            for index, one in wanted
        ]
    )
    for round_ in range(max((len(piece.selectors) for piece in pieces), default=0)):
        asked = [(piece, piece.selectors[round_]) for piece in pieces if round_ < len(piece.selectors)]
        for piece, selector in asked:
            layout.settle(piece, selector, Manner(only=_homes(layout) if careful else None))
        layout.launch([pair for pair in asked if not _is_taken(layout, *pair)], Errand(pieces, wanted[0][1].why), {})
    return pieces


def _is_taken(layout: Layout, piece: Item, selector: LabelSelector) -> bool:
    """Say whether work that waits would take the room at once that is launched for a piece; it says so then."""
    if not piece.left or not layout.waiting:
        return False
    for variant in layout.variants:
        labels, room = dict(variant.labels), layout.room.replicas(variant.pool, variant.offer.usd_per_hour)
        if room and selector.holds(labels) and _fits(variant, piece.need):
            for need, selectors in layout.waiting:
                if _fits(variant, need) and any(wanted.holds(labels) for wanted in selectors):
                    piece.held = reason(ReasonCode.WORK_FIRST)
                    return True
    return False


def _fits(variant: Variant, need: Need) -> bool:
    return all(variant.offers[row] >= units for row, units in need)


def _homes(layout: Layout) -> Mask | None:
    """Return the machines that may be held for what needs no accelerator; None: all."""
    capacity = layout.capacity
    idle = capacity.accelerated & ~capacity.busy
    if not idle.any():
        return None
    kept = {pool.name for pool in layout.draft.policy.pools if pool.min_workers}
    homes = ~idle
    homes[: len(capacity.places)] |= np.array([place.pool in kept for place in capacity.places], np.bool_)
    for made in layout.made:
        homes[made.first : made.end] |= made.variant.pool.name in kept
    return homes
