"""Quotas and fair shares: whose work machines are launched for when not all of it may have some.

Work belongs to the first quota whose label it carries: its own `labels`, else the first of its label selectors when
that asks for exactly that value (all that Ray tells of a task). What an owner uses is what the snapshot says (`usage`),
else what is in use on machines that have the label; what this plan places for it is added.

First, all that quotas allow is placed and launched for. When the limits leave room for all of it, weights do not
matter. When not, owners take turns: the one with the least use per weight gets room for its next pieces; use is weighed
as machines without a price are (`weights`), and work that no quota names is an owner of weight 1. Then, what quotas
hold back is placed where room is left: Ray runs it there without asking.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from typing import Final

from rayfleet.model import (
    CAPACITY,
    Demand,
    DemandKind,
    Gang,
    Labels,
    Quota,
    Reason,
    ReasonCode,
    Resources,
    Selectors,
    TaskDemand,
    amount,
    offer_labels,
    reason,
)
from rayfleet.planner.draft import Draft
from rayfleet.planner.layout import Layout
from rayfleet.planner.room import UNLIMITED
from rayfleet.planner.weights import weight
from rayfleet.planner.work import Item, Source, in_order, items

TURNS: Final = 64
"""An owner's work of one shape is handed out in so many parts at most, so that the effort does not grow with counts."""


@dataclass(slots=True)
class Owner:
    """An owner of work, what it uses so far, and its pieces that wait. `quota` None: work that no quota names."""

    quota: Quota | None
    used: Resources
    pieces: list[Item] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return its use per weight; the least has the next turn."""
        return weight(self.used) / (self.quota.weight if self.quota else 1.0)

    def left_for(self, shape: Resources) -> int:
        """Return for how many pieces of a shape machines may still be launched."""
        most = self.quota.max_resources if self.quota else {}
        counts = [(most[name] - self.used.get(name, 0)) // units for name, units in shape.items() if name in most]
        return max(0, min(counts, default=UNLIMITED))

    def refusal(self, shape: Resources) -> Reason | None:
        """Return why nothing is launched for one more piece of a shape; None when something is."""
        if self.quota is None or self.left_for(shape):
            return None
        most = self.quota.max_resources
        name = next(n for n, units in shape.items() if n in most and self.used.get(n, 0) + units > most[n])
        used = amount(self.used.get(name, 0))
        return reason(ReasonCode.QUOTA, owner=self.quota.owner, resource=name, used=used, most=amount(most[name]))


@dataclass(slots=True)
class Owners:
    """All owners of a plan's work, in the order of the quotas; work without one is last."""

    owners: list[Owner]

    @classmethod
    def of(cls, draft: Draft) -> Owners:
        """Find out what each owner uses before this plan."""
        owners = [Owner(quota, _used_by(draft, quota)) for quota in draft.policy.quotas]
        return cls([*owners, Owner(None, Resources())])

    def of_work(self, labels: Labels, selectors: Selectors) -> Owner:
        """Return the owner of work that carries these labels and selectors."""
        first = selectors[0].matches if selectors else ()
        asked = {match.key: match.values[0] for match in first if len(match.values) == 1 and not match.negated}
        carried = {**asked, **labels}
        for owner in self.owners[:-1]:
            if owner.quota is not None and carried.get(owner.quota.label) == owner.quota.value:
                return owner
        return self.owners[-1]

    def of_gang(self, gang: Gang) -> Owner:
        """Return the owner of a gang: its labels, else those that its first bundle asks for."""
        return self.of_work(gang.labels, gang.bundles[0].selectors if gang.bundles else ())


def _used_by(draft: Draft, quota: Quota) -> Resources:
    told = draft.snapshot.usage.get(quota.owner)
    if told is not None:
        return told
    total: dict[str, int] = {}
    for claim in draft.claims.values():
        if claim.phase not in CAPACITY:
            continue
        for host in claim.hosts:
            labels = host.labels if claim.foreign else offer_labels(draft.policy.pool(claim.pool), claim.offer)
            if host.used and labels.merged(host.labels).get(quota.label) == quota.value:
                for name, units in host.used.items():
                    total[name] = total.get(name, 0) + units
    return Resources(total)


def whole_gang(gang: Gang) -> Resources:
    """Return what a gang's bundles without a place need together."""
    total = Resources()
    for number, bundle in enumerate(gang.bundles):
        if str(number) not in gang.placed:
            total = total + bundle.shape
    return total


# ---- tasks ----------------------------------------------------------------------------------------------------------


def owned_items(owners: Owners, layout: Layout, demand: Demand) -> list[Item]:
    """Group tasks as `items` does, those of different owners apart. What needs nothing is nobody's."""
    nothing: list[Item] = []
    by_owner: dict[int, list[tuple[int, TaskDemand]]] = {}
    for index, task in enumerate(demand.tasks):
        number = owners.owners.index(owners.of_work(task.labels, task.selectors))
        by_owner.setdefault(number, []).append((index, task))
    for number, tasks in by_owner.items():
        found = items(layout.terms, DemandKind.TASKS, [task for _, task in tasks])
        for piece in found:
            for source in piece.sources:
                source.index = tasks[source.index][0]
        owners.owners[number].pieces = [piece for piece in found if piece.need]
        nothing += [piece for piece in found if not piece.need]
    return [*(piece for owner in owners.owners for piece in owner.pieces), *nothing]


def serve_owned(owners: Owners, layout: Layout) -> None:
    """Place tasks within quotas, by turns when limits do not leave room for all of it; the rest where room is left."""
    saved = layout.save()
    parts = _allowed(owners)
    layout.serve(in_order([part for _, _, part, _ in parts]), ReasonCode.TASKS)
    enough = not any(part.left for _, _, part, _ in parts)
    if enough:
        for owner, piece, part, count in parts:
            _count(owner, piece, count - part.left)
    else:
        layout.restore(saved)
        _by_turns(owners, layout)
    for owner in owners.owners:
        for piece in owner.pieces:
            if piece.left:
                piece.held = owner.refusal(piece.shape)
                piece.shared = None if enough else _in_turns(owner)
    _beyond(owners, layout)


def _beyond(owners: Owners, layout: Layout) -> None:
    """Put what quotas hold back onto machines that have room for it all the same: Ray runs it there without asking."""
    for owner in owners.owners:
        for piece in owner.pieces:
            for selector in piece.selectors if piece.left else ():
                layout.settle(piece, selector)


def _allowed(owners: Owners) -> list[tuple[Owner, Item, Item, int]]:
    """Return for each item the part that quotas let machines be launched for, and how large it is."""
    parts = []
    for owner in owners.owners:
        used = owner.used
        for piece in owner.pieces:
            count = min(piece.left, owner.left_for(piece.shape))
            owner.used = owner.used + piece.shape.times(count)
            if count:
                parts.append((owner, piece, _part(piece, count), count))
        owner.used = used
    return parts


def _by_turns(owners: Owners, layout: Layout) -> None:
    sizes = {id(piece): _size(layout, piece) for owner in owners.owners for piece in owner.pieces}
    queue = [(owner.share, number) for number, owner in enumerate(owners.owners) if owner.pieces]
    heapq.heapify(queue)
    while queue:
        _, number = heapq.heappop(queue)
        owner = owners.owners[number]
        if _turn(owner, layout, sizes):
            heapq.heappush(queue, (owner.share, number))


def _size(layout: Layout, piece: Item) -> int:
    """Return how many pieces are one turn: what fills the largest machine, and a part that bounds the turns."""
    fits = (min((v.offers[row] // units for row, units in piece.need), default=1) * v.hosts for v in layout.variants)
    return max(*fits, -(-piece.left // TURNS)) if layout.variants else 1


def _turn(owner: Owner, layout: Layout, sizes: dict[int, int]) -> bool:
    """Launch for the owner's next pieces that can have a machine; False when none can."""
    for piece in owner.pieces:
        count = min(piece.left, owner.left_for(piece.shape), sizes[id(piece)])
        if count:
            part = _part(piece, count)
            layout.serve([part], ReasonCode.TASKS)
            if part.left < count:
                _count(owner, piece, count - part.left)
                return True
    return False


def _part(piece: Item, count: int) -> Item:
    """Return the first `count` pieces of an item that wait, as an item of its own."""
    sources = []
    for source in piece.sources:
        take = min(count, source.left)
        if take:
            sources.append(Source(source.index, source.bundle, take))
            count -= take
    return replace(piece, sources=sources)


def _count(owner: Owner, piece: Item, placed: int) -> None:
    """Take pieces that have a place off their whole - the first ones, as with the part - and count them as used."""
    piece.consume(placed)
    owner.used = owner.used + piece.shape.times(placed)


def _in_turns(owner: Owner) -> Reason:
    who, share = (owner.quota.owner, owner.quota.weight) if owner.quota else ("work without a quota", 1.0)
    return reason(ReasonCode.FAIR_SHARE, owner=who, weight=share)
