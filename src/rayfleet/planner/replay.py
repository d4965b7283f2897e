"""Steps 8 to 11 once more: what is on its way was launched for demand that still waits, so it is planned for again.

Placing demand afresh onto machines that are starting packs it otherwise than it was packed when they were launched, and
what was tight then does not fit: something is launched, something else is cancelled, with nothing changed. So the
demand is placed as if those machines were still to be launched - the same plan is found again - and what that launches
is taken from them. Only when this launches more, or leaves something, it is also tried to fill what there is, and what
leaves less, then what costs less, is done.

What stands by are whole replicas that are for nobody yet and still can be had: starting ones, and, because Ray tells
late what runs on a node that has just joined, those that are up for less than `settle_s`. Those that a pool's minimum
holds count as there, as they did when they were launched for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rayfleet.model import CAPACITY, OfferKey, ReasonCode
from rayfleet.planner.capacity import NEW, Counts
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout, Made
from rayfleet.planner.room import UNLIMITED, Room


@dataclass(slots=True)
class Replay:
    """A try on a `layout` where the replicas that stand by (first columns, by offer) are not.

    `columns`: all hosts that stand by. `held`: those that minimums hold.
    """

    origin: Layout
    layout: Layout
    standing_by: dict[OfferKey, list[int]]
    columns: Counts
    held: Counts

    @classmethod
    def of(cls, draft: Draft, layout: Layout) -> Replay | None:
        """Begin a try; None when nothing stands by."""
        known = layout.standing_by(just_joined=True)
        held = _held_by_minimums(draft, layout, known)
        if not any(known.values()):
            return None
        trial = layout.copy()
        columns = _all_columns(layout, known)
        trial.capacity.shut(columns)
        trial.capacity.stage[held] = NEW
        trial.room = _room_without(draft, layout, columns)
        return cls(layout, trial, known, columns, held)

    def end(self) -> bool:
        """Take what was launched from what stands by; say whether what is left to launch is within the limits."""
        trial, capacity = self.layout, self.layout.capacity
        columns = np.arange(capacity.size)
        made: list[Made] = []
        since = len(self.origin.made)
        for launched in trial.made[since:]:
            taken = self._take(launched, columns)
            size = launched.variant.hosts
            if taken < launched.replicas:
                rest = replace(launched, replicas=launched.replicas - taken, first=launched.first + taken * size)
                made.append(rest)
            capacity.hosts_made -= taken * size
        trial.made[since:] = made
        new = np.flatnonzero(columns != np.arange(capacity.size))
        for put in trial.placed[len(self.origin.placed) :]:
            put.move(columns)
        self._open(columns, new)
        return self._take_room(made)

    def _take(self, launched: Made, columns: Counts) -> int:
        """Say for as many replicas as possible which hosts that stand by they are; return how many."""
        known = self.standing_by.get(launched.variant.key, [])
        taken = known[: launched.replicas]
        del known[: launched.replicas]
        size = launched.variant.hosts
        for number, first in enumerate(taken):
            start = launched.first + number * size
            columns[start : start + size] = np.arange(first, first + size)
        return len(taken)

    def _open(self, columns: Counts, new: Counts) -> None:
        """Make hosts that stand by what was made of them, and shut the columns that stood for them."""
        capacity = self.layout.capacity
        existing = columns[new]
        capacity.open(self.columns)
        capacity.free[:, existing], capacity.busy[existing] = capacity.free[:, new], capacity.busy[new]
        capacity.shut(new)
        capacity.stage[self.held] = self.origin.capacity.stage[self.held]

    def _take_room(self, made: list[Made]) -> bool:
        """Count what is launched against the limits there are; False when they do not allow it."""
        room = self.origin.room.copy()
        for each in made:
            pool, usd = each.variant.pool, each.variant.offer.usd_per_hour
            # A gang passes the speed, and may be larger than what is left of the minute.
            at_once = room.launches > 0 if each.why is ReasonCode.GANG else each.replicas <= room.at_once(pool)
            if not at_once or each.replicas > room.replicas(pool, usd):
                return False
            room.take(pool, usd, each.replicas)
        self.layout.room = room
        return True


def _held_by_minimums(draft: Draft, layout: Layout, known: dict[OfferKey, list[int]]) -> Counts:
    """Take the replicas that minimums hold out of what stands by, the oldest first; return their columns."""
    if not any(columns and _minimum(draft, key) for key, columns in known.items()):
        return np.zeros(0, np.int64)
    spare = _beyond(layout, known)
    have: dict[str, int] = {}
    for claim in draft.workers():
        if claim.phase in CAPACITY and claim.id not in spare and not draft.is_replaced(claim):
            have[claim.pool] = have.get(claim.pool, 0) + claim.count
    held: list[int] = []
    for column, key in sorted((column, key) for key, columns in known.items() for column in columns):
        pool = draft.policy.pool(key.pool)
        if pool is not None and have.get(pool.name, 0) < pool.min_workers:
            have[pool.name] = have.get(pool.name, 0) + pool.hosts_per_replica
            known[key].remove(column)
            held += range(column, column + pool.hosts_per_replica)
    return np.array(held, np.int64)


def _minimum(draft: Draft, key: OfferKey) -> int:
    pool = draft.policy.pool(key.pool)
    return pool.min_workers if pool else 0


def _beyond(layout: Layout, known: dict[OfferKey, list[int]]) -> set[str]:
    return {layout.capacity.places[column].claim for columns in known.values() for column in columns}


def _all_columns(layout: Layout, known: dict[OfferKey, list[int]]) -> Counts:
    def hosts() -> Iterator[int]:
        sizes = {variant.key: variant.hosts for variant in layout.variants}
        for key, columns in known.items():
            for column in columns:
                yield from range(column, column + sizes[key])

    return np.fromiter(hosts(), np.int64)


def _room_without(draft: Draft, layout: Layout, columns: Counts) -> Room:
    """Return the room there would be if some of what exists did not, after what was made so far."""
    names = frozenset(layout.capacity.places[column].claim for column in columns.tolist())
    room = Room.of(draft, without=names)
    room.launches = min(UNLIMITED, room.launches + columns.size)
    for made in layout.made:
        room.take(made.variant.pool, made.variant.offer.usd_per_hour, made.replicas)
    return room
