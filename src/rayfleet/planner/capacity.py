"""All hosts that can take work, as one table: a column per host, a row per resource that somebody asks for.

Hosts of READY claims come first, then those that are starting, then those that this plan launches. Two
amounts are kept for each: `free` (what tasks and gangs go onto) and `whole` (what `request_resources` is counted
against: total capacity, used or not). Amounts are integers in units of 1/10,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rayfleet.model import (
    CAPACITY,
    OBJECT_STORE,
    UNITS,
    Claim,
    Host,
    Labels,
    LabelSelector,
    Market,
    NodeFact,
    Phase,
    Pool,
    Resources,
    offer_labels,
)
from rayfleet.planner.draft import Draft
from rayfleet.planner.weights import has_accelerator

Amounts = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SavedCapacity = tuple[Amounts, Amounts, Mask, int]

Need = tuple[tuple[int, int], ...]
"""What one task asks for: (row of the table, units)."""

IMPLICIT_UNIT_PREFIX: Final = "node:__implicit_"
"""Ray gives every node one of each resource whose name starts so, without listing it."""
INTERNAL_HEAD: Final = "node:__internal_head__"
"""The resource of which the head, and only the head, has one."""

PLENTY: Final = 2**52
"""More than anybody asks for: object store of a pool that does not say how much it has."""

READY, STARTING, NEW = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for anywhere in the demand: resource names (rows of the table) and label keys."""

    names: tuple[str, ...]
    label_keys: frozenset[str]

    def need(self, shape: Resources) -> Need:
        """Return a shape as rows and units."""
        return tuple((self.names.index(name), units) for name, units in shape.items())

    def labels(self, labels: Labels) -> tuple[tuple[str, str], ...]:
        """Return only the labels that somebody asks about."""
        if not self.label_keys:
            return ()
        return tuple((key, value) for key, value in labels.items() if key in self.label_keys)


def amounts(terms: Terms, total: Resources, *, joined: bool) -> list[int]:
    """Return what a machine with `total` offers, by row. `joined`: the engine has told what it has."""
    return [_amount(name, total, joined=joined) for name in terms.names]


def _amount(name: str, total: Resources, *, joined: bool) -> int:
    if name in total:
        return total[name]
    if name.startswith(IMPLICIT_UNIT_PREFIX):
        return UNITS
    return PLENTY if name == OBJECT_STORE and not joined else 0


@dataclass(frozen=True, slots=True)
class Place:
    """One column: `host` is a host's id, or None for the `number`-th that this plan makes."""

    host: str | None
    claim: str | None
    pool: str
    number: int = 0


class Capacity:
    """The table. Grows as launches are decided; `copy` and `restore` undo a try."""

    def __init__(self, terms: Terms) -> None:
        """Start without hosts."""
        self.terms = terms
        self.places: list[Place] = []
        self.free: Amounts = np.zeros((len(terms.names), 0), np.int64)
        self.whole: Amounts = np.zeros((len(terms.names), 0), np.int64)
        self.stage: Counts = np.zeros(0, np.int64)
        self.accelerated: Mask = np.zeros(0, np.bool_)
        self.busy: Mask = np.zeros(0, np.bool_)
        self.label_ids: Counts = np.zeros(0, np.int64)
        self._label_sets: dict[tuple[tuple[str, str], ...], int] = {}
        self._masks: dict[LabelSelector, tuple[int, Mask]] = {}
        self.hosts_made = 0

    @classmethod
    def of(cls, draft: Draft, terms: Terms) -> Capacity:
        """Tabulate every host of every claim that counts as capacity."""
        capacity = cls(terms)
        rows = _Rows(draft, capacity)
        for claim in draft.claims.values():
            if claim.phase in CAPACITY and claim.id not in draft.outgoing:
                for host in claim.hosts:
                    rows.add(claim, host)
        rows.finish()
        return capacity

    @property
    def size(self) -> int:
        """Return the number of hosts."""
        return len(self.places)

    def label_id(self, labels: tuple[tuple[str, str], ...]) -> int:
        """Return the number of a set of labels; equal sets have equal numbers."""
        return self._label_sets.setdefault(labels, len(self._label_sets))

    def matches(self, selector: LabelSelector) -> Mask:
        """Say of every host whether a selector means it."""
        known = self._masks.get(selector)
        if known is None or known[0] != self.size:
            holds = np.array([selector.holds(dict(labels)) for labels in self._label_sets], np.bool_)
            known = (self.size, holds[self.label_ids] if self.size else np.zeros(0, np.bool_))
            self._masks[selector] = known
        return known[1]

    def fits(self, need: Need, mask: Mask, *, whole: bool = False) -> Counts:
        """Return how many of `need` each host can take now; 0 where the mask says no."""
        table = self.whole if whole else self.free
        count = np.full(self.size, PLENTY, np.int64)
        for row, units in need:
            np.minimum(count, table[row] // units, out=count)
        count[~mask] = 0
        return np.maximum(count, 0, out=count)

    def take(self, need: Need, columns: Counts, counts: Counts, *, whole: bool = False) -> None:
        """Put `counts` of `need` onto hosts."""
        table = self.whole if whole else self.free
        for row, units in need:
            table[row, columns] -= units * counts
        self.busy[columns] = True

    def grow(self, pool: Pool, offers: list[int], labels: tuple[tuple[str, str], ...], count: int) -> int:
        """Add `count` new hosts of a pool, each with amounts `offers`; return the first one's column."""
        first = self.size
        column = np.repeat(np.array(offers, np.int64).reshape(-1, 1), count, axis=1)
        self.free = np.concatenate([self.free, column], axis=1)
        self.whole = np.concatenate([self.whole, column], axis=1)
        self.stage = np.concatenate([self.stage, np.full(count, NEW, np.int64)])
        accelerated = np.full(count, has_accelerator(pool.resources), np.bool_)
        self.accelerated = np.concatenate([self.accelerated, accelerated])
        self.busy = np.concatenate([self.busy, np.zeros(count, np.bool_)])
        self.label_ids = np.concatenate([self.label_ids, np.full(count, self.label_id(labels), np.int64)])
        self.places.extend(Place(None, None, pool.name, self.hosts_made + n) for n in range(count))
        self.hosts_made += count
        return first

    def save(self) -> SavedCapacity:
        """Return what `restore` needs to undo everything from here on."""
        return self.free.copy(), self.whole.copy(), self.busy.copy(), self.hosts_made

    def restore(self, saved: SavedCapacity) -> None:
        """Undo everything since `save`."""
        self.free, self.whole, self.busy, self.hosts_made = saved
        size = self.free.shape[1]
        del self.places[size:]
        self.stage = self.stage[:size]
        self.accelerated = self.accelerated[:size]
        self.label_ids = self.label_ids[:size]
        self._masks.clear()  # the same number of hosts may soon be other hosts


class _Rows:
    """Collects existing hosts, then makes the arrays at once."""

    def __init__(self, draft: Draft, capacity: Capacity) -> None:
        self.draft = draft
        self.capacity = capacity
        self.free: list[list[int]] = []
        self.whole: list[list[int]] = []
        self.meta: list[tuple[int, bool, bool, int]] = []
        self.by_offer: dict[
            tuple[str, str | None, bool], tuple[Resources, Labels, list[int], tuple[tuple[str, str], ...], bool]
        ] = {}

    def add(self, claim: Claim, host: Host) -> None:
        """Add one host as a column."""
        terms = self.capacity.terms
        resources, labels, offers, known, accelerated = self._typical(claim)
        if host.total is not None and host.total is not resources:
            offers = amounts(terms, host.total, joined=True)
            accelerated = has_accelerator(host.total)
        if terms.label_keys and (host.labels or claim.foreign):
            # Of a node that somebody else started nothing is known but what it says itself.
            known = terms.labels(host.labels if claim.foreign else labels.merged(host.labels))
        left = offers
        if host.used:
            left = [o - host.used.get(name, 0) for o, name in zip(offers, terms.names, strict=True)]
        joined = claim.phase is Phase.READY and host.node is not NodeFact.ABSENT
        self.whole.append(offers)
        self.free.append(left)
        stage = READY if joined else STARTING
        self.meta.append((stage, accelerated, bool(host.used), self.capacity.label_id(known)))
        self.capacity.places.append(Place(host.id, claim.id, claim.pool))

    def _typical(self, claim: Claim) -> tuple[Resources, Labels, list[int], tuple[tuple[str, str], ...], bool]:
        """Return what a machine of the claim's offer has when nothing more is known of it."""
        key = claim.offer
        seen = (key.pool, key.zone, key.market is Market.SPOT)
        if claim.head or seen not in self.by_offer:
            terms = self.capacity.terms
            pool = self.draft.policy.pool(key.pool)
            if claim.head and self.draft.policy.head and self.draft.policy.head.name == key.pool:
                pool = self.draft.policy.head
            resources = pool.resources if pool else Resources()
            if claim.head:
                resources = Resources(resources.merged({INTERNAL_HEAD: UNITS}))
            labels = offer_labels(pool, key)
            offers = amounts(terms, resources, joined=False)
            typical = (resources, labels, offers, terms.labels(labels), has_accelerator(resources))
            if claim.head:
                return typical
            self.by_offer[seen] = typical
        return self.by_offer[seen]

    def finish(self) -> None:
        """Make the arrays."""
        capacity = self.capacity
        shape = (len(self.free), len(capacity.terms.names))
        capacity.free = np.array(self.free, np.int64).reshape(shape).T.copy()
        capacity.whole = np.array(self.whole, np.int64).reshape(shape).T.copy()
        capacity.stage = np.array([m[0] for m in self.meta], np.int64)
        capacity.accelerated = np.array([m[1] for m in self.meta], np.bool_)
        capacity.busy = np.array([m[2] for m in self.meta], np.bool_)
        capacity.label_ids = np.array([m[3] for m in self.meta], np.int64)
