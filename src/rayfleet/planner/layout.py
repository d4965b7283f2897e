"""Where demand goes: the table of hosts, the room for more, and what has been placed and launched so far.

The packing steps (minimums, gangs, requested, tasks) share one layout, so that each sees what the ones
before it took and launched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rayfleet.model import Demand, DemandKind, LabelSelector, ReasonCode
from rayfleet.planner import fill
from rayfleet.planner.capacity import Capacity, Counts, Mask, SavedCapacity, Terms
from rayfleet.planner.draft import Draft
from rayfleet.planner.market import Variant, variants
from rayfleet.planner.room import Room
from rayfleet.planner.work import Item, has_buffers, terms_of

SAME_FILLING = 8.0
"""Weight of the stage in the order of hosts; each next criterion weighs half of the one before."""


class Placed(NamedTuple):
    """So many `pieces` of a demand on one column of the table. A tuple: there may be a hundred thousand."""

    column: int
    kind: DemandKind
    position: int
    bundle: int | None
    pieces: int


@dataclass(frozen=True, slots=True)
class Made:
    """`replicas` new replicas of a variant; their hosts are the columns from `first` on."""

    variant: Variant
    replicas: int
    first: int
    why: ReasonCode


@dataclass(frozen=True, slots=True)
class Manner:
    """How an item is put onto hosts. `whole`: counted against total capacity.

    `spread`: one piece per host and round, for as long as that goes. `once`: one piece per host at most.
    `only`: these hosts.
    """

    whole: bool = False
    spread: bool = False
    once: bool = False
    only: Mask | None = None


ANY_MANNER = Manner()


@dataclass(slots=True)
class Layout:
    """See the module."""

    draft: Draft
    terms: Terms
    capacity: Capacity
    room: Room
    variants: list[Variant]
    placed: list[Placed] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    @classmethod
    def of(cls, draft: Draft, demand: Demand) -> Layout:
        """Start from what exists."""
        terms = terms_of(demand, draft.policy, draft.snapshot.expected)
        # Without demand nothing is placed, and most ticks are without demand.
        capacity = (
            Capacity.of(draft, terms)
            if demand or has_buffers(draft.policy, draft.snapshot.expected)
            else Capacity(terms)
        )
        return cls(draft, terms, capacity, Room.of(draft), variants(draft, terms))

    # ---- trying -------------------------------------------------------------------------------------------------

    def save(self) -> _Saved:
        """Return what `restore` needs to undo everything from here on (items are the caller's)."""
        return _Saved(self.capacity.save(), self.room.copy(), len(self.placed), len(self.made))

    def restore(self, saved: _Saved) -> None:
        """Undo everything since `save`."""
        self.capacity.restore(saved.capacity)
        self.room = saved.room
        del self.placed[saved.placed :]
        del self.made[saved.made :]

    # ---- placing ------------------------------------------------------------------------------------------------

    def put(self, piece: Item, columns: Counts, counts: Counts, *, whole: bool = False) -> None:
        """Put `counts` of an item onto hosts and note it."""
        self.capacity.take(piece.need, columns, counts, whole=whole)
        for column, count in zip(columns.tolist(), counts.tolist(), strict=True):
            for index, bundle, part in piece.consume(count):
                self.placed.append(Placed(column, piece.kind, index, bundle, part))

    def settle(self, piece: Item, selector: LabelSelector, how: Manner = ANY_MANNER) -> Counts:
        """Put as much of an item as fits onto the hosts there are; return the columns that took some.

        READY hosts first, then starting, then new ones; among these, machines whose accelerator would lie idle
        last, machines in use first, then the tightest fit - so that what is idle stays idle.
        """
        touched: list[Counts] = []
        left = piece.left
        if not self.capacity.size:
            return np.zeros(0, np.int64)
        mask = self.capacity.matches(selector)
        if how.only is not None:
            mask = mask & how.only
        while left:
            fit = self.capacity.fits(piece.need, mask, whole=how.whole)
            np.minimum(fit, 1 if how.spread or how.once else left, out=fit)
            columns = np.flatnonzero(fit)
            if not columns.size:
                break
            columns = columns[np.argsort(self._rank(piece, columns, fit), kind="stable")]
            counts = _first(fit[columns], left)
            self.put(piece, columns[: counts.size], counts, whole=how.whole)
            touched.append(columns[: counts.size])
            left -= int(counts.sum())
            if not how.spread:
                break
        return np.concatenate(touched) if touched else np.zeros(0, np.int64)

    def _rank(self, piece: Item, columns: Counts, fit: Counts) -> Counts:
        capacity = self.capacity
        idle_accelerator = capacity.accelerated[columns] & (not piece.accelerated)
        stage = capacity.stage[columns] * SAME_FILLING
        tightness = fit[columns] / (fit[columns].max() + 1)
        rank: Counts = stage + idle_accelerator * 4.0 + ~capacity.busy[columns] * 2.0 + tightness
        return rank

    # ---- launching ----------------------------------------------------------------------------------------------

    def launch(
        self,
        wanted: list[tuple[Item, LabelSelector]],
        why: ReasonCode,
        *,
        whole: bool = False,
        prefer_many: bool = False,
    ) -> set[int]:
        """Launch machines for what is left of items, as far as the limits allow, and place it there.

        Return which of the items (by `id`) the upscaling speed has held back.
        """
        held: set[int] = set()
        asked = [fill.Wanted(piece, selector, piece.left) for piece, selector in wanted if piece.left]
        if not asked:
            return held
        packing = fill.pack(asked, self.variants, self.room, prefer_many=prefer_many)
        for variant, wanted_replicas, filling in packing.launches:
            # The speed holds launches back; it does not turn them into dearer ones of another pool.
            most = wanted_replicas if why is ReasonCode.GANG else self.room.at_once(variant.pool)
            replicas = min(wanted_replicas, most)
            if replicas < wanted_replicas:
                held.update(id(asked[position].item) for pieces in filling for position, _ in pieces)
            if not replicas:
                continue
            first = self.make(variant, replicas, why)
            for host, pieces in enumerate(filling):
                columns = first + host + variant.hosts * np.arange(replicas)
                for position, count in pieces:
                    self.put(asked[position].item, columns, np.full(replicas, count, np.int64), whole=whole)
        return held

    def make(self, variant: Variant, replicas: int, why: ReasonCode) -> int:
        """Launch replicas of a variant; return the column of their first host."""
        self.room.take(variant.pool, variant.offer.usd_per_hour, replicas)
        first = self.capacity.grow(variant.pool, variant.offers, variant.labels, replicas * variant.hosts)
        self.made.append(Made(variant, replicas, first, why))
        return first

    def serve(self, pieces: list[Item], why: ReasonCode, *, whole: bool = False) -> None:
        """Place items: for each of their alternatives in turn, on what there is, then on new machines.

        What the speed holds back waits for machines of the alternative that it can have.
        """
        held: set[int] = set()
        for round_ in range(max((len(piece.selectors) for piece in pieces), default=0)):
            asked = [(piece, piece.selectors[round_]) for piece in pieces if round_ < len(piece.selectors)]
            for piece, selector in asked:
                self.settle(piece, selector, Manner(whole=whole))
            free = [(piece, selector) for piece, selector in asked if id(piece) not in held]
            held |= self.launch(free, why, whole=whole)

    # ---- asking -------------------------------------------------------------------------------------------------

    def needed(self) -> dict[str, DemandKind]:
        """Return the claims that something was placed on, with the first kind of demand that was."""
        places = self.capacity.places
        claims: dict[str, DemandKind] = {}
        for placed in self.placed:
            claim = places[placed.column].claim
            if claim is not None:
                claims.setdefault(claim, placed.kind)
        return claims


def _first(fit: Counts, count: int) -> Counts:
    """Return the leading part of `fit` that adds up to `count`, or all of it."""
    ends = np.cumsum(fit)
    last = int(np.searchsorted(ends, count))
    if last >= fit.size:
        return fit
    counts = fit[: last + 1].copy()
    counts[last] -= int(ends[last]) - count
    return counts


@dataclass(frozen=True, slots=True)
class _Saved:
    capacity: SavedCapacity
    room: Room
    placed: int
    made: int
