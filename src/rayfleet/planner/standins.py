"""Step 10, its end: work on machines that are leaving gets room elsewhere before they are gone.

Which machines: those that their provider takes back, those that leave voluntarily although their work is restartable,
and those that are about to. What a host uses is one piece, because nobody knows its parts; it goes where the labels of
its pool hold, onto machines that are up, then onto starting ones, and what is left is launched. These pieces are no
demand: nothing of them is reported as placed or unmet. Once the work itself waits, it is demand like any other and the
host uses nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from rayfleet.model import (
    ANYWHERE,
    Claim,
    Demand,
    DemandKind,
    Disruption,
    LabelMatch,
    LabelSelector,
    Phase,
    Reason,
    ReasonCode,
    TaskDemand,
    reason,
)
from rayfleet.planner.budgets import Budgets, disruption_of
from rayfleet.planner.consolidation import fits
from rayfleet.planner.draft import Draft, is_used, used_share
from rayfleet.planner.headroom import Headroom
from rayfleet.planner.layout import Layout, Manner
from rayfleet.planner.outgoing import drain_outgoing, may_be_disrupted
from rayfleet.planner.work import Item, Source, item

CONSOLIDATED: Final = 20
"""So many machines are tried in one plan, those first of which least is used."""


@dataclass(slots=True)
class Housing:
    """What came of it: claims whose work has room on machines that are up, and claims that keep room free."""

    housed: set[str] = field(default_factory=set)
    held: dict[str, Reason] = field(default_factory=dict)


def with_leaving_work(draft: Draft) -> Demand:
    """Return the demand and the work that may have to move, so that its resources and labels are looked at too."""
    demand = draft.snapshot.demand
    wanted = draft.policy.consolidation_threshold is not None
    movers = [c for c in draft.workers() if is_used(c)] if wanted else _moving(draft)
    extra = {TaskDemand(host.used, 1, (_home(draft, c),)) for c in movers for host in c.hosts if host.used}
    return replace(demand, tasks=(*demand.tasks, *sorted(extra, key=repr))) if extra else demand


def _moving(draft: Draft) -> list[Claim]:
    """Return the claims in use whose work needs a place elsewhere."""
    leaving = [c for c in draft.claims.values() if c.phase is Phase.DRAINING or c.id in draft.outgoing]
    return [c for c in leaving if is_used(c) and not c.head and not c.foreign and _is_moving(draft, c)]


def _is_moving(draft: Draft, claim: Claim) -> bool:
    if claim.id in draft.outgoing:
        return True
    if claim.drain is None:
        return False
    return claim.drain.reason.code is ReasonCode.INTERRUPTED or disruption_of(claim) is not None


def _home(draft: Draft, claim: Claim) -> LabelSelector:
    pool = draft.policy.pool(claim.pool)
    labels = pool.labels if pool else {}
    return LabelSelector(tuple(LabelMatch(key, (value,)) for key, value in labels.items())) if labels else ANYWHERE


def house_leaving_work(draft: Draft, layout: Layout) -> Housing:
    """Find or launch room for the work of machines that are leaving."""
    housing = Housing()
    for claim in _moving(draft):
        pieces = _pieces(draft, layout, claim)
        columns = _served(layout, pieces)
        if not any(piece.left for piece in pieces) and all(layout.capacity.stage[c] == 0 for c in columns):
            housing.housed.add(claim.id)
        _hold(layout, housing, columns)
    return housing


def _pieces(draft: Draft, layout: Layout, claim: Claim) -> list[Item]:
    home = _home(draft, claim)
    return [
        item(layout.terms, DemandKind.TASKS, host.used, (home,), [Source(-1, None, 1)])
        for host in claim.hosts
        if host.used
    ]


def _served(layout: Layout, pieces: list[Item], *, only_up: bool = False) -> list[int]:
    """Place pieces without a trace in the placements; return the columns that they took."""
    mark = len(layout.placed)
    if only_up:
        for piece in pieces:
            layout.settle(piece, piece.selectors[0], Manner(only=layout.capacity.stage == 0))
    else:
        layout.serve(pieces, ReasonCode.REPLACEMENT)
    columns = [column for put in layout.placed[mark:] for column, _ in put.by_column()]
    del layout.placed[mark:]
    return columns


def _hold(layout: Layout, housing: Housing, columns: list[int]) -> None:
    for column in columns:
        if column < layout.capacity.existing:
            housing.held[layout.capacity.places[column].claim] = reason(ReasonCode.STANDS_IN)


# ---- consolidation --------------------------------------------------------------------------------------------------


def consolidate(draft: Draft, layout: Layout, budgets: Budgets, housing: Housing) -> None:
    """Drain machines whose work fits on others that are up: only when nothing is launched, starting or waiting."""
    if draft.policy.consolidation_threshold is None or layout.made or _is_busy_scaling(draft, layout):
        return
    needed = layout.needed()
    spare, headroom = above_minimum(draft), Headroom.of(draft)
    tried = 0
    for claim in _least_used_first(draft):
        free = claim.id not in needed and claim.id not in housing.held and spare.get(claim.pool, 0) >= claim.count
        why = fits(draft, claim) if free and may_be_disrupted(draft, claim) else None
        if why is None or budgets.held(Disruption.UNDERUSED, claim):
            continue
        tried += 1
        if headroom.held(claim) is None and _moves(draft, layout, claim, housing):
            headroom.take(claim)
            spare[claim.pool] -= claim.count
            budgets.take(Disruption.UNDERUSED, claim)
            drain_outgoing(draft, claim, why)
        if tried == CONSOLIDATED:
            return


def _is_busy_scaling(draft: Draft, layout: Layout) -> bool:
    starting = any(c.phase in {Phase.REQUESTED, Phase.BOOTING} for c in draft.claims.values())
    waiting = any(placed.kind is not DemandKind.REQUESTED for placed in layout.placed)
    return starting or waiting or bool(draft.outgoing)


def above_minimum(draft: Draft) -> dict[str, int]:
    """Return by pool how many READY hosts there are above its minimum; outdated ones hold none."""
    spare = {pool.name: -pool.min_workers for pool in draft.policy.pools}
    for claim in draft.workers():
        if claim.phase is Phase.READY and not draft.is_replaced(claim) and claim.pool in spare:
            spare[claim.pool] += claim.count
    return spare


def _least_used_first(draft: Draft) -> list[Claim]:
    used = [claim for claim in draft.workers() if claim.phase is Phase.READY and is_used(claim)]
    return sorted(used, key=lambda c: (used_share(c, draft.policy), -(draft.usd_per_hour(c) or 0.0), c.created, c.id))


def _moves(draft: Draft, layout: Layout, claim: Claim, housing: Housing) -> bool:
    """Move a claim's work onto other machines that are up, whole or not at all."""
    saved = layout.save()
    own = np.array([place.claim == claim.id for place in layout.capacity.places], np.bool_)
    layout.capacity.free[:, own] = 0
    pieces = _pieces(draft, layout, claim)
    columns = _served(layout, pieces, only_up=True)
    if any(piece.left for piece in pieces) or any(own[column] for column in columns):
        layout.restore(saved)
        return False
    layout.capacity.whole[:, own] = 0
    _hold(layout, housing, columns)
    return True
