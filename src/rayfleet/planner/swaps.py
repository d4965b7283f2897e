"""Step 11, its end: of idle machines, those that cost least get the work, so that the dear ones go idle and leave.

Places are given out by the tightest fit, which says nothing of prices. Afterwards all that was placed on an idle
machine moves, as a whole, to an idle one that got nothing, holds it all, has the same of the labels that anybody asks
about, and costs less. Nothing that had a place loses it and nothing is launched for it, so that no plan gets dearer by
it. A machine that its pool's minimum holds costs nothing more when it works, and saves nothing when it does not.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from rayfleet.model import CAPACITY, Strategy
from rayfleet.planner.capacity import READY, Amounts, Counts, Mask
from rayfleet.planner.draft import Draft
from rayfleet.planner.gangs import named_hosts
from rayfleet.planner.layout import Layout

MOST_SWAPS: Final = 200
"""So many machines are tried, the dearest first."""
_BINDING: Final = frozenset({Strategy.STRICT_PACK, Strategy.STRICT_SPREAD})


class Before(NamedTuple):
    """Machines that are up and idle before anything is placed: their columns, and what is free of them."""

    idle: Counts
    free: Amounts

    @classmethod
    def of(cls, layout: Layout) -> Before:
        """Look at them."""
        capacity = layout.capacity
        known = slice(0, capacity.existing)
        idle = np.flatnonzero((capacity.stage[known] == READY) & ~capacity.busy[known])
        return cls(idle, capacity.free[:, idle])


def swap_idle(draft: Draft, layout: Layout, before: Before) -> None:
    """Move work from dear idle machines to cheap ones."""
    capacity = layout.capacity
    taken = _with_work(layout, before.idle)
    if not taken.any() or taken.all():
        return
    strict = [gang for gang in draft.snapshot.demand.gangs if gang.placed and gang.strategy in _BINDING]
    homes = named_hosts(layout, {name for gang in strict for name in gang.placed.values()}) if strict else set[str]()
    ours = np.array([_is_ours(draft, layout, column, homes) for column in before.idle.tolist()], np.bool_)
    idle, taken = before.idle[ours], taken[ours]
    load = before.free[:, ours] - capacity.free[:, idle]
    beyond = _beyond_minimums(draft)
    price = np.array([_price(draft, layout, column, beyond) for column in idle.tolist()])
    if not taken.any() or taken.all() or not price[taken].max() > price[~taken].min():
        return
    to = np.arange(capacity.size)
    dear = [n for n in np.argsort(-price, kind="stable").tolist() if taken[n] and math.isfinite(price[n])]
    for n in dear[:MOST_SWAPS]:
        fits = ~taken & (price < price[n]) & (capacity.free[:, idle] >= load[:, [n]]).all(axis=0)
        fits &= capacity.label_ids[idle] == capacity.label_ids[idle[n]]
        if fits.any():
            m = int(np.flatnonzero(fits)[np.argmin(price[fits])])
            to[idle[n]] = idle[m]
            taken[m], price[n] = True, math.inf  # nobody moves twice, nor onto what has just been emptied
            capacity.free[:, idle[m]] -= load[:, n]
            capacity.free[:, idle[n]] += load[:, n]
            capacity.busy[idle[[m, n]]] = True, False
    for put in layout.placed if (to != np.arange(capacity.size)).any() else ():
        put.move(to)


def _is_ours(draft: Draft, layout: Layout, column: int, homes: set[str]) -> bool:
    """Say whether a machine is a worker and no part of a replica, which is idle or in use as a whole.

    `homes`: hosts that hold bundles of strict gangs: what waits of those is bound to them, or must not join them.
    """
    place = layout.capacity.places[column]
    claim = draft.claims[place.claim]
    return claim.count == 1 and not (claim.foreign or claim.head or place.host in homes)


def _with_work(layout: Layout, idle: Counts) -> Mask:
    """Say of idle machines which have got any work, which may be work that needs nothing."""
    mask = np.zeros(layout.capacity.size, np.bool_)
    for put in layout.placed:
        if not isinstance(put.columns, range):
            mask[put.columns] = True
    return mask[idle]


def _price(draft: Draft, layout: Layout, column: int, beyond: dict[str, int]) -> float:
    """Return what it costs that a machine works instead of leaving, USD per hour; infinite when that is unknown."""
    claim = draft.claims[layout.capacity.places[column].claim]
    stays = beyond.get(claim.pool, 0) <= 0 or any(host.do_not_disrupt for host in claim.hosts)
    return 0.0 if stays else (draft.usd_per_hour(claim) or math.inf)


def _beyond_minimums(draft: Draft) -> dict[str, int]:
    """Return how many machines each pool has beyond its minimum."""
    beyond = {pool.name: -pool.min_workers for pool in draft.policy.pools}
    for claim in draft.workers():
        if claim.phase in CAPACITY and claim.pool in beyond and not draft.is_replaced(claim):
            beyond[claim.pool] += claim.count
    return beyond
