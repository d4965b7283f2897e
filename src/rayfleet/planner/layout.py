"""Where demand goes: the table of hosts, the room for more, and what has been placed and launched so far.

The packing steps (minimums, gangs, requested, tasks) share one layout, so that each sees what the ones
before it took and launched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Final

import numpy as np

from rayfleet.model import ANYWHERE, Demand, DemandKind, LabelSelector, OfferKey, Phase, ReasonCode, Selectors
from rayfleet.planner.capacity import STARTING, Capacity, Counts, Filling, Mask, Need, SavedCapacity, Terms
from rayfleet.planner.draft import Draft
from rayfleet.planner.market import Variant, variants
from rayfleet.planner.packing import Wanted, pack
from rayfleet.planner.room import Room
from rayfleet.planner.sparing import by_patience
from rayfleet.planner.work import Item, has_buffers, terms_of

Pieces = list[tuple[int, Item, int]]
"""Of one replica: (host, item, how many)."""

SAME_FILLING = 8.0
"""Weight of the stage in the order of hosts; each next criterion weighs half of the one before."""


@dataclass(slots=True)
class Put:
    """An item's pieces on columns of the table: `counts` of them by column, `parts` of the demand list in that order.

    On the machines of one launch the columns are a range, each with the same count. `parts` are (index, bundle, count).
    `bundles`: each piece stands for one of each of these bundles of its gang.
    """

    kind: DemandKind
    columns: Counts | range
    counts: Counts | int
    parts: list[tuple[int, int | None, int]]
    bundles: tuple[int, ...] | None = None

    def move(self, to: Counts) -> None:
        """Be on other columns: those that `to` says of each."""
        if not isinstance(self.columns, range):
            self.columns = to[self.columns]
            return
        moved = to[self.columns.start : self.columns.stop : self.columns.step]
        if not np.array_equal(moved, self.columns):
            self.columns, self.counts = moved, np.full(moved.size, self.counts, np.int64)

    def by_column(self) -> Iterator[tuple[int, int]]:
        """Yield each column with its count."""
        if isinstance(self.columns, range):
            return zip(self.columns, repeat(self.counts), strict=False)  # type: ignore[arg-type]  # one count with a range
        return zip(self.columns.tolist(), self.counts.tolist(), strict=True)  # type: ignore[union-attr]  # arrays both

    def existing(self, size: int) -> list[int]:
        """Return the columns before `size`."""
        return [] if isinstance(self.columns, range) else self.columns[self.columns < size].tolist()

    def pieces(self) -> Iterator[tuple[int, int, int | None, int]]:
        """Yield (column, index, bundle, count): columns and parts side by side."""
        parts = iter(self.parts)
        index, bundle, left = next(parts, (0, None, 0))
        for column, wanted in self.by_column():
            count = wanted
            while count:
                part = min(count, left)
                for number in (bundle,) if self.bundles is None else self.bundles:
                    yield column, index, number, part
                count, left = count - part, left - part
                if not left:
                    index, bundle, left = next(parts, (0, None, 0))


@dataclass(frozen=True, slots=True)
class Made:
    """`replicas` new replicas of a variant; their hosts are the columns from `first` on.

    `among`: so many offers share what was made of one, 0 when they do not.
    """

    variant: Variant
    replicas: int
    first: int
    why: ReasonCode
    among: int = 0

    @property
    def hosts(self) -> int:
        """Return the number of hosts."""
        return self.replicas * self.variant.hosts

    @property
    def end(self) -> int:
        """Return the column behind the last host."""
        return self.first + self.hosts


@dataclass(frozen=True, slots=True)
class Manner:
    """How an item is put onto hosts.

    `spread`: one piece per host and round, for as long as that goes. `once`: one piece per host at most.
    `only`: these hosts.
    """

    spread: bool = False
    once: bool = False
    only: Mask | None = None


ANY_MANNER = Manner()


@dataclass(frozen=True, slots=True)
class Errand:
    """Items to place, and why; None: each machine for the kinds of its pieces. `spread`: if equal, more machines."""

    pieces: list[Item]
    why: ReasonCode | None
    spread: bool = False

    def why_for(self, pieces: Pieces) -> ReasonCode:
        """Return why a machine with these pieces is launched; a gang goes before tasks, tasks before requests."""
        if self.why is not None:
            return self.why
        kinds = {piece.kind for _, piece, _ in pieces}
        return next(code for kind, code in _WHY.items() if kind in kinds)


_WHY: Final = {
    DemandKind.GANG: ReasonCode.GANG,
    DemandKind.TASKS: ReasonCode.TASKS,
    DemandKind.REQUESTED: ReasonCode.REQUESTED,
}


@dataclass(slots=True)
class Layout:
    """See the module. `waiting`: what has no place and would run at once in room that is made ahead of demand."""

    draft: Draft
    terms: Terms
    capacity: Capacity
    room: Room
    variants: list[Variant]
    placed: list[Put] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    waiting: list[tuple[Need, Selectors]] = field(default_factory=list)

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
        self.room = saved.room.copy()
        del self.placed[saved.placed :]
        del self.made[saved.made :]

    def copy(self) -> Layout:
        """Return an independent copy, for a try; `become` takes it over."""
        return replace(
            self, capacity=self.capacity.copy(), room=self.room.copy(), placed=list(self.placed), made=list(self.made)
        )

    def become(self, other: Layout) -> None:
        """Take over what was tried on a copy."""
        self.capacity, self.room, self.placed, self.made = other.capacity, other.room, other.placed, other.made
        self.waiting = other.waiting

    # ---- placing ------------------------------------------------------------------------------------------------

    def put(self, piece: Item, columns: Counts, counts: Counts) -> None:
        """Put `counts` of an item onto hosts and note it."""
        self.capacity.take(piece.need, columns, counts)
        self.placed.append(Put(piece.kind, columns, counts, piece.consume(int(counts.sum()))))

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
            fit = self.capacity.fits(piece.need, mask)
            np.minimum(fit, 1 if how.spread or how.once else left, out=fit)
            columns = np.flatnonzero(fit)
            if not columns.size:
                break
            columns = columns[np.argsort(self.rank(piece, columns, fit), kind="stable")]
            counts = _first(fit[columns], left)
            self.put(piece, columns[: counts.size], counts)
            touched.append(columns[: counts.size])
            left -= int(counts.sum())
            if not how.spread:
                break
        return np.concatenate(touched) if touched else np.zeros(0, np.int64)

    def rank(self, piece: Item, columns: Counts, fit: Counts) -> Counts:
        """Return how much each of the columns is liked for an item, of which `fit` fit on each; see `settle`."""
        capacity = self.capacity
        idle_accelerator = capacity.accelerated[columns] & (not piece.accelerated)
        stage = capacity.stage[columns] * SAME_FILLING
        tightness = fit[columns] / (fit[columns].max() + 1)
        rank: Counts = stage + idle_accelerator * 4.0 + ~capacity.busy[columns] * 2.0 + tightness
        return rank

    # ---- launching ----------------------------------------------------------------------------------------------

    def launch(
        self, wanted: list[tuple[Item, LabelSelector]], errand: Errand, starting: dict[OfferKey, list[int]]
    ) -> set[int]:
        """Launch machines for what is left of items, as far as the limits allow, and place it there.

        Return which of the items (by `id`) the upscaling speed has held back. `starting`: first columns of replicas
        that are on their way, which are taken before new ones.
        """
        held: set[int] = set()
        for some, among in by_patience(self.draft, self.room, wanted, self.variants):
            for piece, selector in some if among is not self.variants else ():
                self.settle(piece, selector, Manner(spread=errand.spread, only=self._beside(starting)))
            held |= self._launch(some, among, errand, starting)
        return held

    def _launch(
        self,
        wanted: list[tuple[Item, LabelSelector]],
        among: list[Variant],
        errand: Errand,
        starting: dict[OfferKey, list[int]],
    ) -> set[int]:
        held: set[int] = set()
        asked = [Wanted(piece, selector, piece.left) for piece, selector in wanted if piece.left]
        if not asked:
            return held
        variants, room = self._by_key(), self.room
        for key, columns in starting.items():
            room = room.with_more(variants[key].pool, variants[key].offer.usd_per_hour, len(columns))
        effort = self.draft.snapshot.effort
        packing = pack(asked, among, room, prefer_many=errand.spread, effort=effort)
        launches: list[tuple[Variant, int, Pieces]] = []
        for variant, wanted_replicas, filling in packing.launches:
            pieces = [(host, asked[position].item, count) for host, position, count in filling]
            known = starting.get(variant.key, [])[:wanted_replicas]
            del starting.get(variant.key, [])[:wanted_replicas]
            for host, piece, count in pieces if known else ():
                self.put(piece, np.array(known) + host, np.full(len(known), count, np.int64))
            # The speed holds launches back; it does not turn them into dearer ones of another pool.
            wanted_new = wanted_replicas - len(known)
            most = self.room.replicas(variant.pool, variant.offer.usd_per_hour)
            most = most if errand.why_for(pieces) is ReasonCode.GANG else min(most, self.room.at_once(variant.pool))
            replicas = min(wanted_new, most)
            if replicas < wanted_new:
                held.update(id(piece) for _, piece, _ in pieces)
            if replicas:
                self.room.take(variant.pool, variant.offer.usd_per_hour, replicas)
                launches.append((variant, replicas, pieces))
        self._make_filled(launches, errand)
        return held

    def _make_filled(self, launches: list[tuple[Variant, int, Pieces]], errand: Errand) -> None:
        """Launch replicas that are filled with pieces, all of one launch alike; room has been taken for them."""
        filled = [(variant.whole_host(), _by_host(variant, pieces), replicas) for variant, replicas, pieces in launches]
        firsts = self.capacity.grow_filled(filled)
        for first, (variant, replicas, pieces) in zip(firsts, launches, strict=True):
            self.made.append(Made(variant, replicas, first, errand.why_for(pieces)))
            for host, piece, count in pieces:
                columns = range(first + host, first + replicas * variant.hosts, variant.hosts)
                self.placed.append(Put(piece.kind, columns, count, piece.consume(count * replicas)))

    def make(self, variant: Variant, replicas: int, why: ReasonCode) -> int:
        """Launch replicas of a variant; return the column of their first host."""
        self.room.take(variant.pool, variant.offer.usd_per_hour, replicas)
        first = self.capacity.grow(variant.whole_host(), replicas * variant.hosts)
        self.made.append(Made(variant, replicas, first, why))
        return first

    def serve(self, pieces: list[Item], why: ReasonCode | None, *, spread: bool = False) -> None:
        """Place items: for each of their alternatives in turn, on what there is, then on new machines.

        What the speed holds back waits for machines of the alternative that it can have. When machines are on their
        way, everything is packed as if those were still to be launched, which finds the packing again that they were
        launched for. Only when that launches more it is tried to fill up what there is, and what is cheaper is done.
        """
        if not any(piece.left for piece in pieces):
            return
        nothing = [piece for piece in pieces if not piece.need]
        if nothing and len(nothing) < len(pieces):
            # What needs nothing fits beside whatever is launched for the others, and must not choose it.
            self.serve([piece for piece in pieces if piece.need], why, spread=spread)
            self.serve(nothing, why, spread=spread)
            return
        errand = Errand(pieces, why, spread=spread)
        spare = self.standing_by(just_joined=False)
        if not spare:
            self._serve(errand, {})
            return
        saved, lefts = self.save(), [[source.left for source in piece.sources] for piece in pieces]
        ways: list[tuple[float, float]] = []
        for starting in (spare, {}):
            self._serve(errand, copied(starting))
            ways.append(self._outlay(errand, saved.made))
            if ways[-1] == (0.0, 0.0):
                return
            self.restore(saved)
            for piece, left in zip(pieces, lefts, strict=True):
                piece.set_left(left)
        self._serve(errand, copied(spare) if ways[0] <= ways[1] else {})

    def _serve(self, errand: Errand, starting: dict[OfferKey, list[int]]) -> None:
        """Place items; `starting`: replicas that stand for new ones."""
        pieces = errand.pieces
        only = self._beside(starting)
        held: set[int] = set()
        for round_ in range(max(len(piece.selectors) for piece in pieces)):
            asked = [(piece, piece.selectors[round_]) for piece in pieces if round_ < len(piece.selectors)]
            for piece, selector in asked:
                self.settle(piece, selector, Manner(spread=errand.spread or piece.spread, only=self._grown(only)))
            free = [(piece, selector) for piece, selector in asked if id(piece) not in held]
            held |= self.launch(free, errand, starting)

    def _beside(self, starting: dict[OfferKey, list[int]]) -> Mask | None:
        """Return the mask of all hosts but replicas that stand for new ones; None: all."""
        if not starting:
            return None
        only = np.ones(self.capacity.size, np.bool_)
        hosts = {key: variant.hosts for key, variant in self._by_key().items()}
        for key, columns in starting.items():
            only[[column + host for column in columns for host in range(hosts[key])]] = False
        return only

    def _grown(self, only: Mask | None) -> Mask | None:
        """Return the mask for the table as long as it is now: new hosts are meant too."""
        return None if only is None else np.pad(only, (0, self.capacity.size - only.size), constant_values=True)

    def _by_key(self) -> dict[OfferKey, Variant]:
        return {variant.key: variant for variant in self.variants}

    def standing_by(self, *, just_joined: bool) -> dict[OfferKey, list[int]]:
        """Return the first columns of whole replicas that are starting and for nobody yet, by offer.

        `just_joined`: also, and first, those of which it is not known yet whether somebody uses them.
        """
        capacity = self.capacity
        idle = capacity.matches(ANYWHERE) & ~capacity.busy
        idle &= (capacity.stage == STARTING) | (self._just_joined() if just_joined else False)
        columns = np.flatnonzero(idle[: capacity.existing])
        firsts: dict[int, list[int]] = {}
        offers: dict[int, OfferKey] = {}
        for column in columns[np.argsort(capacity.stage[columns], kind="stable")].tolist():
            claim = self.draft.claims[capacity.places[column].claim]
            if capacity.places[column].host == claim.hosts[0].id and not (claim.drifted or claim.foreign or claim.head):
                # Keys hash slowly, and all claims of a launch share one.
                firsts.setdefault(id(claim.offer), []).append(column)
                offers[id(claim.offer)] = claim.offer
        found: dict[OfferKey, list[int]] = {}
        variants = self._by_key() if firsts else {}
        for number, among in firsts.items():
            variant = variants.get(offers[number])
            if variant is not None:
                found.setdefault(variant.key, []).extend(self._whole_replicas(variant, among, idle))
        if len(found) < len(firsts):  # equal keys may be several objects, which must change nothing
            stage = capacity.stage
            found = {key: sorted(columns, key=lambda column: (stage[column], column)) for key, columns in found.items()}
        return found

    def _whole_replicas(self, variant: Variant, firsts: list[int], idle: Mask) -> list[int]:
        """Return those of the columns with which a replica begins that is as good as a new one."""
        capacity, size = self.capacity, variant.hosts
        sizes = [self.draft.claims[capacity.places[column].claim].count for column in firsts]
        known = np.array([column for column, hosts in zip(firsts, sizes, strict=True) if hosts == size], np.int64)
        good = np.ones(known.size, np.bool_)
        offers = np.array(variant.offers, np.int64).reshape(-1, 1)
        for host in range(size if known.size else 0):
            good &= idle[known + host] & (capacity.free[:, known + host] == offers).all(axis=0)
        whole: list[int] = known[good].tolist()
        return whole

    def _just_joined(self) -> Mask:
        """Say of every host whether it is up for less than `settle_s`; claims without a time are so for ever."""
        capacity, claims = self.capacity, self.draft.claims
        after = max(0.0, self.draft.now - self.draft.timeouts.settle_s)
        lately = {claim.id for claim in claims.values() if claim.phase is Phase.READY and claim.since > after}
        mask = np.zeros(capacity.size, np.bool_)
        if lately:
            mask[: capacity.existing] = [place.claim in lately for place in capacity.places]
        return mask

    def _outlay(self, errand: Errand, before: int) -> tuple[float, float]:
        """Return what is left of an errand, by weight, and the price of what was made for it."""
        left = sum((piece.weight or 1.0) * piece.left for piece in errand.pieces)
        price = sum(made.variant.price * made.replicas for made in self.made[before:])
        return (round(left, 9), round(price, 9))

    # ---- asking -------------------------------------------------------------------------------------------------

    def needed(self) -> dict[str, DemandKind]:
        """Return the claims that something was placed on, with the first kind of demand that was."""
        places = self.capacity.places
        claims: dict[str, DemandKind] = {}
        for put in self.placed:
            for column in put.existing(self.capacity.existing):
                claims.setdefault(places[column].claim, put.kind)
        return claims


def _by_host(variant: Variant, pieces: Pieces) -> list[Filling]:
    """Return what goes onto each host of a replica."""
    return [[(piece.need, count) for at, piece, count in pieces if at == host] for host in range(variant.hosts)]


def copied(starting: dict[OfferKey, list[int]]) -> dict[OfferKey, list[int]]:
    """Return a copy whose lists can be used up."""
    return {key: list(columns) for key, columns in starting.items()}


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
