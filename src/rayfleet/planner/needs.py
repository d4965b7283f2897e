"""Steps 8 to 11 in a row: gangs, then requested resources, tasks, and buffers. What is left over is handed on.

`request_resources` is counted against total capacity, whether idle or used, and tasks fill what it launches: the two
are combined by their maximum, not their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.model import ANYWHERE, DemandKind, ReasonCode, Selectors
from rayfleet.planner.ahead import place_ahead
from rayfleet.planner.capacity import Need
from rayfleet.planner.draft import Draft
from rayfleet.planner.gangs import Missing, place_gangs
from rayfleet.planner.layout import Layout
from rayfleet.planner.quotas import Owners
from rayfleet.planner.thresholds import place_tasks
from rayfleet.planner.work import Item, items


@dataclass(slots=True)
class Leftover:
    """Demand without a place: gangs, and the items of the other kinds."""

    gangs: list[Missing]
    requested: list[Item]
    tasks: list[Item]
    ahead: list[Item]


def place_demand(draft: Draft, layout: Layout) -> Leftover:
    """Place all demand as far as machines and limits allow."""
    demand = draft.snapshot.demand
    owners = Owners.of(draft) if draft.policy.quotas else None
    gangs = place_gangs(draft, layout, owners)
    requested = items(layout.terms, DemandKind.REQUESTED, demand.requested)
    layout.serve(requested, ReasonCode.REQUESTED, whole=True)
    tasks = place_tasks(draft, layout, owners)
    layout.waiting = [*_of_gangs(layout, gangs), *((piece.need, piece.selectors) for piece in tasks if piece.left)]
    return Leftover(gangs, requested, tasks, place_ahead(draft, layout))


def _of_gangs(layout: Layout, gangs: list[Missing]) -> Iterator[tuple[Need, Selectors]]:
    """Yield the bundles of gangs that quotas hold back: other gangs wait because there can be no room for them."""
    for missing in gangs:
        for index in missing.waiting if missing.held else ():
            for bundle in layout.draft.snapshot.demand.gangs[index].bundles:
                yield layout.terms.need(bundle.shape), bundle.selectors or (ANYWHERE,)
