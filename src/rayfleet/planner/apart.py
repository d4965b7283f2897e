"""Step 8, a part: bundles that go onto a machine each (STRICT_SPREAD, and SPREAD where that launches nothing).

Which bundle goes onto which machine is a matching: a big bundle, or one that a label binds, must not lose the only
machine that takes it to one that fits anywhere. Bundles whose machine would be dearest (or cannot be had) come first,
so that what has to be launched is the least and the cheapest. A bundle's alternatives are asked for in order: machines
there are for one of them go before new ones for it, and these before machines that are there for the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rayfleet.model import LabelSelector, ReasonCode
from rayfleet.planner.capacity import Counts, Mask
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import Variant
from rayfleet.planner.matching import Want, matched
from rayfleet.planner.sparing import awaited
from rayfleet.planner.work import Item

_NEXT_CHOICE = 100.0
"""More than all else in the order of hosts: one for a bundle's better-liked alternative is always liked better."""


@dataclass(slots=True)
class Seat:
    """Bundles that look for machines: the alternatives that count now, and new machines for the last of them.

    `choices` None: not looked for yet.
    """

    piece: Item
    selectors: tuple[LabelSelector, ...]
    choices: list[Variant] | None

    @property
    def price(self) -> float:
        """Return what the cheapest machine for one costs, USD per hour; infinite when none can be had."""
        return min((variant.price / variant.hosts for variant in self.choices or ()), default=math.inf)


def serve_apart(layout: Layout, pieces: list[Item], taken: Mask, *, waiting: int) -> bool:
    """Place every piece on a machine of its own that is not `taken`; say whether that went. Launches what it lacks.

    `waiting`: so many equal gangs will share the machines; 0: nothing is launched.
    """
    while True:
        some = [piece for piece in pieces if piece.left]
        seats = [_seat(layout, piece, launch=waiting > 0, alone=len(some) == 1) for piece in some]
        taken = _seated(layout, seats, taken)
        seats = [seat for seat in seats if seat.piece.left]
        if not seats:
            return True
        if not waiting or not _launched(layout, seats, waiting):
            return False


def _seat(layout: Layout, piece: Item, *, launch: bool, alone: bool) -> Seat:
    """Return the alternatives up to the first for which a machine can be had. `alone`: no other piece waits."""
    if launch and alone and len(piece.selectors) == 1:
        return Seat(piece, piece.selectors, None)  # many gangs find a place without a launch: nobody asks for choices
    for number, selector in enumerate(piece.selectors if launch else ()):
        choices = _choices(layout, piece, selector)
        if choices:
            return Seat(piece, piece.selectors[: number + 1], choices)
    return Seat(piece, piece.selectors, [])


def _choices(layout: Layout, piece: Item, selector: LabelSelector) -> list[Variant]:
    return [
        variant
        for variant in layout.variants
        if selector.holds(dict(variant.labels))
        and all(variant.offers[row] >= units for row, units in piece.need)
        and layout.room.replicas(variant.pool, variant.offer.usd_per_hour)
        and not (variant.accelerated and awaited(layout.draft, layout.room, piece.shape, (selector,)))
    ]


def _seated(layout: Layout, seats: list[Seat], taken: Mask) -> Mask:
    """Put as many pieces as possible onto machines there are; return those that are taken now."""
    size = layout.capacity.size
    grown = np.zeros(size, np.bool_)
    grown[: taken.size] = taken
    wants = [(seat, Want(seat.piece.left, _liked(layout, seat, grown))) for seat in seats]
    wants.sort(key=lambda pair: (-pair[0].price, pair[1].columns.size))
    columns = matched([want for _, want in wants], size)
    for (seat, _), mine in zip(wants, columns, strict=True):
        if mine.size:
            layout.put(seat.piece, mine, np.ones(mine.size, np.int64))
            grown[mine] = True
    return grown


def _liked(layout: Layout, seat: Seat, taken: Mask) -> Counts:
    """Return the machines that take a piece, the best-liked first."""
    best = np.full(layout.capacity.size, math.inf)
    for number, selector in enumerate(seat.selectors):
        fit = layout.capacity.fits(seat.piece.need, layout.capacity.matches(selector) & ~taken & np.isinf(best))
        columns = np.flatnonzero(fit)
        if columns.size:
            best[columns] = number * _NEXT_CHOICE + layout.rank(seat.piece, columns, fit)
    order = np.argsort(best, kind="stable")
    return order[: int(np.isfinite(best).sum())]


def _launched(layout: Layout, seats: list[Seat], waiting: int) -> bool:
    """Launch for pieces that no machine takes, as far as limits allow; say whether anything was."""
    any_made = False
    for seat in sorted(seats, key=lambda s: -s.price):
        known = _choices(layout, seat.piece, seat.selectors[-1]) if seat.choices is None else seat.choices
        choices = [v for v in known if layout.room.replicas(v.pool, v.offer.usd_per_hour)]
        if not choices:
            continue
        variant = min(choices, key=lambda v: _cost(v, seat.piece, waiting))
        most = layout.room.replicas(variant.pool, variant.offer.usd_per_hour)
        layout.make(variant, min(most, -(-seat.piece.left // variant.hosts)), ReasonCode.GANG)
        any_made = True
        if variant.hosts > 1:
            break  # what is over of the last replica may be for other pieces
    return any_made


def _cost(variant: Variant, piece: Item, waiting: int) -> tuple[float, ...]:
    fit = min((variant.offers[row] // units for row, units in piece.need), default=waiting)
    machines = -(-waiting // fit)
    waste = variant.weight / variant.hosts * machines - piece.weight * waiting
    return (
        float(variant.accelerated and not piece.accelerated),
        -float(variant.pool.priority),
        round(variant.price / variant.hosts * machines, 9),
        round(waste, 9),
        float(machines),
        float(variant.order),
    )
