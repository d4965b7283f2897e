"""All hosts that can take work, as one table: a column per host, a row per resource that somebody asks for.

Hosts of READY claims come first, then those that are starting, then those that this plan launches. The rows say what
is free, which tasks and gangs go onto. Where there is `request_resources`, as many rows follow that say what is not
requested yet of all there is, used or not: the two are independent of each other, so that one machine serves both, and
one packing looks at both. Amounts are integers in units of 1/10,000.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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
    Resources,
    offer_labels,
)
from rayfleet.planner.draft import Draft
from rayfleet.planner.weights import has_accelerator

Amounts = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SavedCapacity = tuple[Amounts, Mask, int]

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
    """What is asked for anywhere in the demand: resource names (rows of the table) and label keys.

    `requested`: whether anything is requested of total capacity, which takes rows of its own.
    """

    names: tuple[str, ...]
    label_keys: frozenset[str]
    requested: bool = False

    @property
    def rows(self) -> int:
        """Return the number of rows of the table."""
        return len(self.names) * (2 if self.requested else 1)

    def need(self, shape: Resources, *, of_total: bool = False) -> Need:
        """Return a shape as rows and units. `of_total`: it is counted against what there is, used or not."""
        first = len(self.names) if of_total else 0
        return tuple((first + self.names.index(name), units) for name, units in shape.items())

    def labels(self, labels: Labels) -> tuple[tuple[str, str], ...]:
        """Return only the labels that somebody asks about."""
        if not self.label_keys:
            return ()
        return tuple((key, value) for key, value in labels.items() if key in self.label_keys)


def amounts(terms: Terms, total: Resources, *, joined: bool) -> list[int]:
    """Return what a machine with `total` offers, by row. `joined`: the engine has told what it has."""
    return [_amount(name, total, joined=joined) for name in terms.names] * (2 if terms.requested else 1)


def _amount(name: str, total: Resources, *, joined: bool) -> int:
    if name in total:
        return total[name]
    if name.startswith(IMPLICIT_UNIT_PREFIX):
        return UNITS
    return PLENTY if name == OBJECT_STORE and not joined else 0


class Place(NamedTuple):
    """One column of a host that exists: its id, its claim's and its pool's."""

    host: str
    claim: str
    pool: str


class NewHost(NamedTuple):
    """What a host that this plan makes offers by row, its labels, and whether it has an accelerator."""

    offers: list[int]
    labels: tuple[tuple[str, str], ...]
    accelerated: bool


Filling = list[tuple[Need, int]]
"""What goes onto one host: needs, and how many of each."""


class Capacity:
    """The table. Hosts that exist have `places`, new ones come behind; `save` and `restore` undo a try.

    Arrays are longer than the table, so that it can grow by one launch after the other. Hosts that are `shut` take
    nothing.
    """

    def __init__(self, terms: Terms) -> None:
        """Start without hosts."""
        self.terms = terms
        self.places: list[Place] = []
        self.size = 0
        self._free: Amounts = np.zeros((terms.rows, 0), np.int64)
        self._stage: Counts = np.zeros(0, np.int64)
        self._accelerated: Mask = np.zeros(0, np.bool_)
        self._busy: Mask = np.zeros(0, np.bool_)
        self._shut: Mask = np.zeros(0, np.bool_)
        self._label_ids: Counts = np.zeros(0, np.int64)
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
    def existing(self) -> int:
        """Return the number of hosts that exist: the columns before the new ones."""
        return len(self.places)

    @property
    def free(self) -> Amounts:
        """Return what is free, and behind it what is not requested yet of all there is, by row and host."""
        return self._free[:, : self.size]

    @property
    def stage(self) -> Counts:
        """Return how far each host is: READY, STARTING, NEW."""
        return self._stage[: self.size]

    @property
    def accelerated(self) -> Mask:
        """Say of every host whether it has an accelerator."""
        return self._accelerated[: self.size]

    @property
    def busy(self) -> Mask:
        """Say of every host whether it has work, or gets some."""
        return self._busy[: self.size]

    @property
    def label_ids(self) -> Counts:
        """Return the number of every host's set of labels."""
        return self._label_ids[: self.size]

    def shut(self, columns: Counts) -> None:
        """Let hosts take nothing any more."""
        self._shut[columns] = True
        self._masks.clear()

    def open(self, columns: Counts) -> None:
        """Let hosts take work again."""
        self._shut[columns] = False
        self._masks.clear()

    def copy(self) -> Capacity:
        """Return an independent copy, for a try."""
        other = copy(self)
        other.detach()
        return other

    def detach(self) -> None:
        """Have arrays of its own from now on."""
        self._free, self._stage, self._accelerated = self._free.copy(), self._stage.copy(), self._accelerated.copy()
        self._busy, self._shut, self._label_ids = self._busy.copy(), self._shut.copy(), self._label_ids.copy()
        self._label_sets, self._masks = dict(self._label_sets), {}

    def label_id(self, labels: tuple[tuple[str, str], ...]) -> int:
        """Return the number of a set of labels; equal sets have equal numbers."""
        return self._label_sets.setdefault(labels, len(self._label_sets))

    def values_of(self, key: str, columns: Mask | None = None) -> set[str | None]:
        """Return the values that a label has on some hosts (all, when not given); None: missing."""
        there = self._label_ids[: self.size] if columns is None else self._label_ids[: self.size][columns]
        used = set(there.tolist())
        return {dict(labels).get(key) for labels, number in self._label_sets.items() if number in used}

    def matches(self, selector: LabelSelector) -> Mask:
        """Say of every host whether a selector means it."""
        known = self._masks.get(selector)
        if known is None or known[0] != self.size:
            holds = np.array([selector.holds(dict(labels)) for labels in self._label_sets], np.bool_)
            mask = holds[self._label_ids[: self.size]] if self.size else np.zeros(0, np.bool_)
            known = (self.size, mask & ~self._shut[: self.size])
            self._masks[selector] = known
        return known[1]

    def fits(self, need: Need, mask: Mask) -> Counts:
        """Return how many of `need` each host can take now; 0 where the mask says no."""
        table = self.free
        count = np.full(self.size, PLENTY, np.int64)
        for row, units in need:
            np.minimum(count, table[row] // units, out=count)
        count[~mask] = 0
        return np.maximum(count, 0, out=count)

    def take(self, need: Need, columns: Counts, counts: Counts) -> None:
        """Put `counts` of `need` onto hosts."""
        table = self.free
        for row, units in need:
            table[row, columns] -= units * counts
        self.busy[columns] = True

    def begin(self, free: Amounts, meta: list[tuple[int, bool, bool, int]], of_host: Counts) -> None:
        """Start with hosts that exist: of each kind (stage, accelerated, busy, label id), and the kind of each host."""
        self._free = np.ascontiguousarray(free)
        self._stage = np.array([m[0] for m in meta], np.int64)[of_host]
        self._accelerated = np.array([m[1] for m in meta], np.bool_)[of_host]
        self._busy = np.array([m[2] for m in meta], np.bool_)[of_host]
        self._shut = np.zeros(of_host.size, np.bool_)
        self._label_ids = np.array([m[3] for m in meta], np.int64)[of_host]
        self.size = of_host.size

    def grow(self, new: NewHost, count: int) -> int:
        """Add `count` new hosts of one kind; return the first one's column."""
        return self.grow_filled([(new, [[]], count)])[0]

    def grow_filled(self, launches: list[tuple[NewHost, list[Filling], int]]) -> list[int]:
        """Add replicas of new hosts, each with fillings of its hosts; return each launch's first column."""
        kinds, fillings, counts = [], [], []
        for new, filled, replicas in launches:
            kinds += [new] * len(filled)
            fillings += filled
            counts.append((len(filled), replicas))
        left = np.array([kind.offers for kind in kinds], np.int64).reshape(len(kinds), self.terms.rows).T.copy()
        for n, filling in enumerate(fillings):
            for need, count in filling:
                for row, units in need:
                    left[row, n] -= units * count
        of, firsts = _columns(counts)
        first = self._lengthen(of.size)
        self._free[:, first : self.size] = left[:, of]
        self._shut[first : self.size] = False
        self._stage[first : self.size] = NEW
        self._accelerated[first : self.size] = np.array([kind.accelerated for kind in kinds], np.bool_)[of]
        self._busy[first : self.size] = np.array([bool(filling) for filling in fillings], np.bool_)[of]
        self._label_ids[first : self.size] = np.array([self.label_id(kind.labels) for kind in kinds], np.int64)[of]
        return [first + n for n in firsts]

    def _lengthen(self, count: int) -> int:
        """Make the table longer by `count` columns; return the first of them."""
        first, self.size = self.size, self.size + count
        if self.size > self._stage.size:
            room = max(self.size, 2 * first)
            self._free, self._shut = _longer(self._free, room), _longer(self._shut, room)
            self._stage, self._label_ids = _longer(self._stage, room), _longer(self._label_ids, room)
            self._accelerated, self._busy = _longer(self._accelerated, room), _longer(self._busy, room)
        self.hosts_made += count
        return first

    def save(self) -> SavedCapacity:
        """Return what `restore` needs to undo everything from here on."""
        return self.free.copy(), self.busy.copy(), self.hosts_made

    def restore(self, saved: SavedCapacity) -> None:
        """Undo everything since `save`."""
        free, busy, self.hosts_made = saved
        self.size = busy.size
        self._free[:, : self.size], self._busy[: self.size] = free, busy
        self._masks.clear()  # the same number of hosts may soon be other hosts


def _columns(counts: list[tuple[int, int]]) -> tuple[Counts, list[int]]:
    """Return for each new column its kind of host, and each launch's first. `counts`: (hosts of one, replicas)."""
    of: list[Counts] = []
    firsts, kind, column = [], 0, 0
    for hosts, replicas in counts:
        one = np.arange(kind, kind + hosts)
        of.append(np.tile(one, replicas) if hosts > 1 else np.repeat(one, replicas))
        firsts.append(column)
        kind, column = kind + hosts, column + hosts * replicas
    return (np.concatenate(of) if of else np.zeros(0, np.int64)), firsts


def _longer(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Return the array with zeros behind, up to `size` columns."""
    longer = np.zeros((*array.shape[:-1], size), array.dtype)
    longer[..., : array.shape[-1]] = array
    return longer


class _Rows:
    """Collects existing hosts, then makes the arrays at once. Hosts of one kind are worked out once: most are alike."""

    def __init__(self, draft: Draft, capacity: Capacity) -> None:
        self.draft = draft
        self.capacity = capacity
        self.free: list[list[int]] = []
        self.meta: list[tuple[int, bool, bool, int]] = []
        self.kinds: dict[tuple[str | int | bool | Resources | None, ...], int] = {}
        self.asks_labels = bool(capacity.terms.label_keys)
        self.of_host: list[int] = []
        self.rows = {name: row for row, name in enumerate(capacity.terms.names)}
        self.by_offer: dict[
            tuple[str, str | None, bool], tuple[Resources, Labels, list[int], tuple[tuple[str, str], ...], bool]
        ] = {}

    def add(self, claim: Claim, host: Host) -> None:
        """Add one host as a column."""
        offer = claim.offer
        joined = claim.phase is Phase.READY and host.node is not NodeFact.ABSENT
        # What differs with nearly every machine is told apart by identity, which is quicker: claims hold it meanwhile.
        own = (id(host.total), id(host.labels) if self.asks_labels else 0)
        key = (offer.pool, offer.zone, offer.market is Market.SPOT, claim.head, claim.foreign, joined, host.used, *own)
        kind = self.kinds.get(key)
        if kind is None:
            kind = self.kinds[key] = len(self.meta)
            self._add_kind(claim, host, joined=joined)
        self.of_host.append(kind)
        self.capacity.places.append(Place(host.id, claim.id, offer.pool))

    def _add_kind(self, claim: Claim, host: Host, *, joined: bool) -> None:
        """Work out what hosts like this one have."""
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
            left = offers.copy()
            for name, units in host.used.items():
                row = self.rows.get(name)
                if row is not None:
                    left[row] -= units
        self.free.append(left)
        stage = READY if joined else STARTING
        self.meta.append((stage, accelerated, bool(host.used), self.capacity.label_id(known)))

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
        shape, of_host = (len(self.free), capacity.terms.rows), np.array(self.of_host, np.int64)
        capacity.begin(np.array(self.free, np.int64).reshape(shape).T[:, of_host], self.meta, of_host)
