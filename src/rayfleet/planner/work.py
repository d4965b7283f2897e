"""Demand as the steps place it: equal pieces are one item, whatever list entries they came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rayfleet.model import (
    ANYWHERE,
    Demand,
    DemandKind,
    Expected,
    LabelSelector,
    Policy,
    Reason,
    RequestedDemand,
    Resources,
    Selectors,
    TaskDemand,
)
from rayfleet.planner.capacity import Need, Terms
from rayfleet.planner.weights import has_accelerator, weight


@dataclass(slots=True)
class Source:
    """Where pieces of an item came from: position in the demand list, bundle of a gang, and how many are left."""

    index: int
    bundle: int | None
    left: int


@dataclass(slots=True)
class Item:
    """Equal pieces of demand. `selectors` are alternatives in order; `weight` compares sizes of unlike shapes.

    `held`: why nothing more is launched for it although something could be; `shared`: it had its turns beside others.
    `spread`: of machines there are it goes onto different ones, as long as that goes.
    """

    kind: DemandKind
    shape: Resources
    selectors: Selectors
    need: Need
    accelerated: bool
    weight: float
    sources: list[Source]
    held: Reason | None = None
    shared: Reason | None = None
    spread: bool = False

    @property
    def left(self) -> int:
        """Return how many pieces have no place yet."""
        return sum(source.left for source in self.sources)

    def set_left(self, lefts: list[int]) -> None:
        """Go back to what was left of each source."""
        for source, left in zip(self.sources, lefts, strict=True):
            source.left = left

    def consume(self, count: int) -> list[tuple[int, int | None, int]]:
        """Take `count` pieces off the sources in order; return (index, bundle, count) of each part."""
        parts = []
        for source in self.sources:
            part = min(count, source.left)
            if part:
                source.left -= part
                count -= part
                parts.append((source.index, source.bundle, part))
            if not count:
                break
        return parts


def item(terms: Terms, kind: DemandKind, shape: Resources, selectors: Selectors, sources: list[Source]) -> Item:
    """Make an item; no selectors means anywhere."""
    return Item(
        kind=kind,
        shape=shape,
        selectors=selectors or (ANYWHERE,),
        need=terms.need(shape, of_total=kind is DemandKind.REQUESTED),
        accelerated=has_accelerator(shape),
        weight=weight(shape),
        sources=sources,
    )


def items(terms: Terms, kind: DemandKind, demands: Iterable[TaskDemand | RequestedDemand]) -> list[Item]:
    """Group demand by shape and selectors, in an order that does not depend on the order of the list."""
    groups: dict[tuple[Resources, Selectors], list[Source]] = {}
    for index, demand in enumerate(demands):
        if demand.count > 0:
            key = (demand.shape, demand.selectors)
            groups.setdefault(key, []).append(Source(index, None, demand.count))
    return in_order([item(terms, kind, shape, selectors, s) for (shape, selectors), s in groups.items()])


def in_order(many: list[Item]) -> list[Item]:
    """Sort: what few machines can take comes first, then the biggest; equal ones by their text."""
    return sorted(
        many,
        key=lambda i: (
            not i.accelerated,
            i.selectors == (ANYWHERE,),
            -len(i.need),
            -i.weight,
            tuple(i.shape.items()),
            i.selectors,
        ),
    )


def has_buffers(policy: Policy, expected: tuple[Expected, ...]) -> bool:
    """Say whether anything is to be kept free."""
    return bool(policy.buffers or policy.scale_up_utilization or expected)


def terms_of(demand: Demand, policy: Policy, expected: tuple[Expected, ...] = ()) -> Terms:
    """Collect the resource names and label keys that the demand and the policy's buffers speak of."""
    names: set[str] = set(policy.scale_up_utilization)
    selectors: set[LabelSelector] = set()
    for task in demand.tasks:
        names.update(task.shape)
        selectors.update(task.selectors)
    for asked in demand.requested:
        names.update(asked.shape)
        selectors.update(asked.selectors)
    for shape, wanted in [(b.shape, b.selectors) for b in policy.buffers] + [(e.shape, e.selectors) for e in expected]:
        names.update(shape)
        selectors.update(wanted)
    keys = {gang.same_label or policy.gangs_same_label for gang in demand.gangs} - {None}
    for gang in demand.gangs:
        for bundle in gang.bundles:
            names.update(bundle.shape)
            selectors.update(bundle.selectors)
    keys |= {match.key for selector in selectors for match in selector.matches}
    return Terms(tuple(sorted(names)), frozenset(key for key in keys if key), requested=bool(demand.requested))
