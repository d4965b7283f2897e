"""Outdated machines that nothing but `request_resources` holds are replaced: the new one is made before they leave.

Where no budget speaks of outdated machines, they leave once they are idle and nobody needs them (see surplus). What is
requested is counted against total capacity, so it would hold an idle machine for as long as it stands, outdated or not.
Such machines are outgoing like those that a budget lets go: they count as gone when what is requested is given out, so
that another machine is found or launched for it, and they leave when that is up. At most half of a pool at a time.

A machine that work which waits could run on stays: Ray is about to put it there.
"""

from __future__ import annotations

import math

from rayfleet.model import (
    LEAVING,
    Bundle,
    Claim,
    Disruption,
    Phase,
    Pool,
    ReasonCode,
    RequestedDemand,
    TaskDemand,
    reason,
)
from rayfleet.planner.budgets import Budgets
from rayfleet.planner.draft import Draft
from rayfleet.planner.surplus import DRIFTED_SHARE, busy_with


def replace_requested(draft: Draft, candidates: list[Claim], budgets: Budgets) -> None:
    """Add outdated, idle claims to `draft.outgoing`, the oldest first. `candidates`: claims that may be disrupted."""
    if not draft.snapshot.demand.requested:
        return
    may: dict[str, int] = {}
    for claim in sorted(candidates, key=lambda c: c.created):
        pool = draft.policy.pool(claim.pool)
        mine = claim.drifted and claim.pool not in draft.rolling and claim.id not in draft.outgoing
        if not mine or pool is None or busy_with(claim) is not None or _is_wanted(draft, pool):
            continue
        left = may.setdefault(claim.pool, _share(draft, pool))
        if claim.count <= left and budgets.held(Disruption.DRIFTED, claim) is None:
            may[claim.pool] = left - claim.count
            budgets.take(Disruption.DRIFTED, claim)
            draft.outgoing[claim.id] = reason(ReasonCode.DRIFTED, pool=claim.pool)


def _share(draft: Draft, pool: Pool) -> int:
    """Return how many hosts of a pool may be on their way out now: one whole replica, however few there are."""
    ours = [claim for claim in draft.workers() if claim.pool == pool.name]
    ready = sum(claim.count for claim in ours if claim.phase is Phase.READY)
    away = sum(claim.count for claim in ours if claim.phase in LEAVING or claim.id in draft.outgoing)
    return max(pool.hosts_per_replica, math.floor(ready * DRIFTED_SHARE)) - away


def _is_wanted(draft: Draft, pool: Pool) -> bool:
    """Say whether a machine of a pool could take any task or bundle that waits."""
    demand = draft.snapshot.demand
    bundles = [bundle for gang in demand.gangs if gang.count for bundle in gang.bundles]
    waiting: list[TaskDemand | RequestedDemand | Bundle] = [*(task for task in demand.tasks if task.count), *bundles]
    return any(all(pool.resources.get(n, 0) >= units for n, units in each.shape.items()) for each in waiting)
