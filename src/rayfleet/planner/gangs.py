"""Step 8: gangs (placement groups), each whole or not at all.

Ray places a group's bundles in one transaction, so a machine for half a group is money for nothing. STRICT_PACK
is one piece of the summed size. STRICT_SPREAD takes a machine per bundle (see `apart`). PACK and SPREAD bind nothing:
their bundles are pieces like tasks, placed together or not at all; they only choose between equal prices. Different
gangs may share machines. Bundles that are `placed` already need no room; strict ones look at where those are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rayfleet.model import (
    ANYWHERE,
    Bundle,
    DemandKind,
    Gang,
    LabelMatch,
    LabelSelector,
    Reason,
    ReasonCode,
    Resources,
    Selectors,
    Strategy,
)
from rayfleet.planner.apart import serve_apart
from rayfleet.planner.capacity import Mask
from rayfleet.planner.layout import Layout, Manner
from rayfleet.planner.quotas import Owner, Owners, whole_gang
from rayfleet.planner.work import Item, Source, item


@dataclass(slots=True)
class Party:
    """Equal gangs: `waiting` per position in the demand list. `bundles` are (index, bundle) without a place."""

    gang: Gang
    bundles: tuple[tuple[int, Bundle], ...]
    waiting: dict[int, int]

    @property
    def count(self) -> int:
        """Return how many of the gangs still wait."""
        return sum(self.waiting.values())

    @property
    def is_loose(self) -> bool:
        """Say whether its bundles may be anywhere, as tasks may."""
        return self.gang.strategy in _LOOSE and self.gang.same_label is None

    @property
    def needs_nothing(self) -> bool:
        """Say whether none of its bundles needs anything, so that any machine will do."""
        return not any(bundle.shape for _, bundle in self.bundles)

    def next_index(self) -> int:
        """Return the list position of the gang that is served next."""
        return next(index for index, count in self.waiting.items() if count)


@dataclass(frozen=True, slots=True)
class Missing:
    """Equal gangs without a place: how many `waiting` per list position.

    `machines`: how many more than allowed one of them needs; None when no number of machines would do.
    `needed`: how many new ones it needs in all. `held`: nothing is launched for it because of its owner's quota.
    `apart`: the label on which its machines do not agree anywhere, where nothing else is in the way.
    """

    waiting: dict[int, int]
    machines: int | None
    needed: int = 0
    held: Reason | None = None
    apart: str | None = None


_LOOSE: Final = frozenset({Strategy.PACK, Strategy.SPREAD})


def place_gangs(layout: Layout, parties: list[Party], owners: Owners | None = None) -> list[Missing]:
    """Place all gangs that can be; return those that could not. `owners`: where there are quotas."""
    held: dict[int, Reason] = {}
    for number, party in enumerate(parties):
        if owners is not None:
            refusal = _place_owned(layout, party, owners.of_gang(party.gang))
            held |= {number: refusal} if refusal else {}
        elif not _at_once(layout, party):
            while party.count and _one(layout, party):
                party.waiting[party.next_index()] -= 1
    left = [(number, party) for number, party in enumerate(parties) if party.count]
    return [replace(_missing(layout, party), held=held.get(number)) for number, party in left]


def how_many_fit(layout: Layout, gangs: tuple[Gang, ...]) -> int:
    """Place as many of these gangs as can be and return how many that are; for trials that are undone."""
    placed = 0
    for party in parties_of(gangs, layout.draft.policy.gangs_same_label):
        while party.count and _one(layout, party):
            party.waiting[party.next_index()] -= 1
            placed += 1
    return placed


def _place_owned(layout: Layout, party: Party, owner: Owner) -> Reason | None:
    """Place gangs one by one, launching within their owner's quota; return why it ends there if the quota ends it."""
    need = whole_gang(party.gang)
    while party.count:
        refusal = owner.refusal(need)
        saved, before = layout.save(), layout.capacity.hosts_made
        if not _one(layout, party):
            return None
        if refusal and layout.capacity.hosts_made > before:
            layout.restore(saved)
            return refusal
        owner.used = owner.used + need
        party.waiting[party.next_index()] -= 1
    return None


def _missing(layout: Layout, party: Party) -> Missing:
    """Try one gang without any limit, to say how many more machines than allowed it takes."""
    saved = layout.save()
    possible = layout.room.most_hosts()
    layout.room = layout.room.unlimited()
    before = layout.capacity.hosts_made
    fits = _one(layout, party)
    made = layout.capacity.hosts_made - before
    label = party.gang.same_label
    apart = label if not fits and label and _one(layout, replace(party, gang=_unbound(party.gang))) else None
    layout.restore(saved)
    return Missing(party.waiting, max(1, made - possible) if fits else None, made if fits else 0, apart=apart)


def _unbound(gang: Gang) -> Gang:
    return replace(gang, same_label=None)


_ORDER = {Strategy.STRICT_PACK: 0, Strategy.STRICT_SPREAD: 1, Strategy.PACK: 2, Strategy.SPREAD: 3}


def parties_of(gangs: tuple[Gang, ...], same_label: str | None = None) -> list[Party]:
    """Group equal gangs; the hardest to place come first: strict before others, then the biggest bundle.

    `same_label`: what the machines of those agree on that name nothing themselves.
    """
    groups: dict[Gang, dict[int, int]] = {}
    for index, gang in enumerate(gangs):
        if gang.count > 0:
            same = replace(gang, count=1, age_s=0.0, same_label=gang.same_label or same_label)
            groups.setdefault(same, {})[index] = gang.count
    parties = [
        Party(gang, tuple((n, b) for n, b in enumerate(gang.bundles) if str(n) not in gang.placed), waiting)
        for gang, waiting in groups.items()
    ]
    return sorted(parties, key=_difficulty)


def _difficulty(party: Party) -> tuple[object, ...]:
    gang = party.gang
    shapes = sorted((tuple(b.shape.items()), b.selectors) for _, b in party.bundles)
    biggest = max((sum(b.shape.values()) for _, b in party.bundles), default=0)
    alike = gang.same_label or ""
    placed = tuple(gang.placed.items())
    return (not gang.placed, not alike, _ORDER[gang.strategy], -biggest, -len(party.bundles), shapes, placed, alike)


# ---- one party ------------------------------------------------------------------------------------------------------


def _at_once(layout: Layout, party: Party) -> bool:
    """Try to place all gangs of a party together, which packs better and costs one try."""
    if party.gang.strategy is Strategy.STRICT_SPREAD or party.count == 1:
        return False
    if party.gang.same_label is not None:
        return False
    everybody = dict(party.waiting)
    if _whole_or_nothing(layout, lambda: _serve(layout, party, everybody), alone=False):
        party.waiting = dict.fromkeys(party.waiting, 0)
        return True
    return False


def _one(layout: Layout, party: Party) -> bool:
    index = party.next_index()
    if party.gang.same_label is not None:
        return _one_alike(layout, party)
    if party.gang.strategy is Strategy.STRICT_SPREAD:
        return _whole_or_nothing(layout, lambda: _serve_apart(layout, party, index, waiting=party.count))
    return _whole_or_nothing(layout, lambda: _serve(layout, party, {index: 1}))


def _one_alike(layout: Layout, party: Party) -> bool:
    """Place a gang where its machines agree on a label: where new ones cost least, the first of equals."""
    key = party.gang.same_label or ""
    ways: list[tuple[float, int, Party]] = []
    for number, match in enumerate(_values(layout, party, key)):
        bound = _bound(party, match)
        saved = layout.save()
        if _one(layout, bound):
            price = sum(made.variant.price * made.replicas for made in layout.made[saved.made :])
            ways.append((round(price, 9), number, bound))
        layout.restore(saved)
        if ways and not ways[-1][0]:
            break
    return bool(ways) and _one(layout, min(ways, key=lambda way: way[:2])[2])


def _values(layout: Layout, party: Party, key: str) -> list[LabelMatch]:
    """Return what a label may be, as matches: that of machines that hold bundles already, else all, missing last."""
    homes = _homes(layout, party)
    known = layout.capacity.values_of(key) if homes is None else layout.capacity.values_of(key, homes)
    if homes is None:
        known |= {dict(variant.labels).get(key) for variant in layout.variants}
    named = sorted(value for value in known if value is not None)
    missing = [LabelMatch(key, tuple(named), negated=True)] if None in known and homes is None else []
    return [LabelMatch(key, (value,)) for value in named] + missing


def _bound(party: Party, match: LabelMatch) -> Party:
    """Return a gang of a party with all of its bundles bound by one more match."""
    bundles = tuple(
        (
            number,
            replace(bundle, selectors=tuple(_and(selector, match) for selector in bundle.selectors or (ANYWHERE,))),
        )
        for number, bundle in party.bundles
    )
    return Party(_unbound(party.gang), bundles, {party.next_index(): 1})


def _and(selector: LabelSelector, match: LabelMatch) -> LabelSelector:
    return LabelSelector(tuple(sorted({*selector.matches, match})))


def _whole_or_nothing(layout: Layout, attempt: Callable[[], bool], *, alone: bool = True) -> bool:
    """Undo an attempt that fails, or that launches too many at once. `alone`: one gang, which may overshoot once."""
    saved = layout.save()
    before = layout.room.launches
    if attempt():
        left = layout.room.launches
        if left >= 0 or left == before or (alone and before > 0):
            return True
    layout.restore(saved)
    return False


def _serve(layout: Layout, party: Party, gangs: dict[int, int]) -> bool:
    if party.gang.strategy is Strategy.STRICT_PACK:
        return _serve_together(layout, party, gangs)
    spread = party.gang.strategy is Strategy.SPREAD
    if spread and _spread_out(layout, party, gangs):
        return True
    pieces = _pieces(layout, party, gangs)
    layout.serve(pieces, ReasonCode.GANG, spread=spread)
    return not any(piece.left for piece in pieces)


MOST_APART: Final = 64
"""More SPREAD gangs of one kind than this are placed in bulk, which sends equal bundles only to different machines."""


def _spread_out(layout: Layout, party: Party, gangs: dict[int, int]) -> bool:
    """Place SPREAD gangs on different machines of those there are, if there is room for all of them so."""
    if layout.capacity.size < len(party.bundles) or party.count > MOST_APART:
        return False
    every = [index for index, count in gangs.items() for _ in range(count)]
    return _whole_or_nothing(layout, lambda: all(_serve_apart(layout, party, index, waiting=0) for index in every))


def _serve_apart(layout: Layout, party: Party, index: int, *, waiting: int) -> bool:
    homes = _homes(layout, party)
    taken = np.zeros(layout.capacity.size, np.bool_) if homes is None else homes
    return serve_apart(layout, _pieces(layout, party, {index: 1}), taken, waiting=waiting)


def loose_pieces(layout: Layout, parties: list[Party]) -> list[Item]:
    """Return all bundles of parties that are loose."""
    return [piece for party in parties for piece in _pieces(layout, party, party.waiting)]


def _pieces(layout: Layout, party: Party, gangs: dict[int, int]) -> list[Item]:
    """Return the bundles as items: equal ones are one item."""
    groups: dict[tuple[Resources, Selectors], list[Source]] = {}
    for number, bundle in party.bundles:
        sources = groups.setdefault((bundle.shape, bundle.selectors), [])
        sources.extend(Source(index, number, count) for index, count in gangs.items() if count)
    pieces = [item(layout.terms, DemandKind.GANG, shape, sel, s) for (shape, sel), s in groups.items()]
    for piece in pieces:
        piece.spread = party.gang.strategy is Strategy.SPREAD
    return sorted(pieces, key=lambda p: (not p.accelerated, p.selectors == (ANYWHERE,), -p.weight))


# ---- STRICT_PACK ----------------------------------------------------------------------------------------------------

MOST_ALTERNATIVES = 32
"""Bundles with different alternatives multiply; more combinations than this are not tried."""


def _serve_together(layout: Layout, party: Party, gangs: dict[int, int]) -> bool:
    total = Resources()
    for _, bundle in party.bundles:
        total = total + bundle.shape
    sources = [Source(index, None, count) for index, count in gangs.items() if count]
    piece = item(layout.terms, DemandKind.GANG, total, _combined([b for _, b in party.bundles]), sources)
    mark = len(layout.placed)
    home = _homes(layout, party)
    if home is None:
        layout.serve([piece], ReasonCode.GANG)
    else:
        for selector in piece.selectors:
            layout.settle(piece, selector, Manner(only=home))
    for put in layout.placed[mark:]:
        put.bundles = tuple(number for number, _ in party.bundles)
    return piece.left == 0


def _combined(bundles: list[Bundle]) -> Selectors:
    """Return the alternatives of bundles that share a machine: the best-liked combinations first."""
    lists = {bundle.selectors for bundle in bundles if bundle.selectors}
    combinations: list[tuple[int, LabelSelector]] = [(0, ANYWHERE)]
    for alternatives in sorted(lists):
        combinations = [
            (rank + n, LabelSelector(tuple(sorted({*selector.matches, *other.matches}))))
            for rank, selector in combinations
            for n, other in enumerate(alternatives)
        ]
        combinations = sorted(combinations, key=lambda pair: pair[0])[:MOST_ALTERNATIVES]
    return tuple(selector for _, selector in combinations)


def _homes(layout: Layout, party: Party) -> Mask | None:
    """Return the hosts that hold bundles of the gang already; None when none of them is known."""
    machines = set(party.gang.placed.values())
    if not machines:
        return None
    ids = named_hosts(layout, machines)
    mask = np.zeros(layout.capacity.size, np.bool_)
    mask[: layout.capacity.existing] = [place.host in ids for place in layout.capacity.places]
    return mask if mask.any() else None


def named_hosts(layout: Layout, machines: set[str]) -> set[str]:
    """Return host ids of machines that are named by host, machine or node id."""
    return {
        host.id
        for claim in layout.draft.claims.values()
        for host in claim.hosts
        if host.id in machines or host.machine_id in machines or host.node_id in machines
    }
