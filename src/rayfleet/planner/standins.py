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
    LEAVING,
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
from rayfleet.planner.capacity import NEW, Mask
from rayfleet.planner.census import census, holding
from rayfleet.planner.consolidation import fits
from rayfleet.planner.draft import Draft, is_used
from rayfleet.planner.exchange import Mover, in_order, mover, spare_machines, with_offer, with_spare
from rayfleet.planner.grace import may_finish
from rayfleet.planner.headroom import Headroom
from rayfleet.planner.layout import Layout, Manner
from rayfleet.planner.outgoing import drain_outgoing, may_be_disrupted
from rayfleet.planner.work import Item, Source, item

CONSOLIDATED: Final = 20
"""So many machines are tried in one plan, those first of which least is used."""


_PASSING: Final = frozenset({DemandKind.TASKS, DemandKind.GANG})


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
    if not draft.outgoing and not census(draft).workers(LEAVING):
        return []
    leaving = [c for c in draft.claims.values() if c.phase in LEAVING or c.id in draft.outgoing]
    return [c for c in leaving if is_used(c) and not c.head and not c.foreign and _is_moving(draft, c)]


def _is_moving(draft: Draft, claim: Claim) -> bool:
    if may_finish(draft, claim):
        return False
    if claim.id in draft.outgoing:
        return True
    if claim.drain is None:
        # Its time is over: what it runs is on its way back into the queue, where it is demand like any other.
        return claim.phase is Phase.RELEASING and disruption_of(claim) is not None
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
        if disruption_of(claim) is Disruption.UNDERUSED or claim.phase is Phase.RELEASING:
            # It has left because there was room: what needs new machines now is no reason to have kept it.
            _hold(layout, housing, _settled(layout, pieces, layout.capacity.stage < NEW))
            continue
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


def _served(layout: Layout, pieces: list[Item]) -> list[int]:
    """Place pieces, on new machines too, without a trace in the placements; return the columns that they took."""
    mark = len(layout.placed)
    layout.serve(pieces, ReasonCode.REPLACEMENT)
    return _traceless(layout, mark)


def _settled(layout: Layout, pieces: list[Item], only: Mask) -> list[int]:
    """Place pieces on some of the machines that there are, likewise."""
    mark = len(layout.placed)
    for piece in pieces:
        layout.settle(piece, piece.selectors[0], Manner(only=only))
    return _traceless(layout, mark)


def _traceless(layout: Layout, mark: int) -> list[int]:
    columns = [column for put in layout.placed[mark:] for column, _ in put.by_column()]
    del layout.placed[mark:]
    return columns


def _staying(layout: Layout) -> Mask:
    """Return the machines that are up and stay whatever consolidation does: in use, or held by a minimum."""
    draft, capacity = layout.draft, layout.capacity
    spare = above_minimum(draft)
    held = [
        draft.claims[p.claim].head or draft.claims[p.claim].foreign or spare.get(p.pool, 0) <= 0
        for p in capacity.places
    ]
    staying: Mask = (capacity.stage == 0) & (capacity.busy | np.array(held, np.bool_))
    return staying


def _hold(layout: Layout, housing: Housing, columns: list[int]) -> None:
    for column in columns:
        if column < layout.capacity.existing:
            housing.held[layout.capacity.places[column].claim] = reason(ReasonCode.STANDS_IN)


# ---- consolidation --------------------------------------------------------------------------------------------------


def consolidate(draft: Draft, layout: Layout, budgets: Budgets, housing: Housing) -> dict[str, Reason]:
    """Drain machines whose work fits on others that stay, or on one that takes the place of several.

    Return why machines stay that are to give way to one that is not up yet.
    """
    if draft.policy.consolidation_threshold is None:
        return {}
    at_rest = not (layout.made or _is_busy_scaling(draft, layout) or _has_changed(draft))
    movers = _movers(draft, layout, housing, above_minimum(draft))
    if at_rest and _gave_up(draft, layout, budgets, housing, movers):
        return {}
    return _exchanged(draft, layout, budgets, housing, movers, at_rest=at_rest) if movers else {}


def _movers(draft: Draft, layout: Layout, housing: Housing, spare: dict[str, int]) -> list[Mover]:
    """Return machines that may give way, all of them together, in the order in which they are tried."""
    # What only waits comes and goes with every plan: a machine that it is put on may give way in the next one.
    needed = {name for name, kind in layout.needed().items() if kind not in _PASSING}
    headroom = Headroom.of(draft)
    used = [claim for claim in draft.workers() if claim.phase is Phase.READY and is_used(claim)]
    free = [c for c in used if c.id not in needed and c.id not in housing.held and c.id not in draft.outgoing]
    known = [c for c in free if may_be_disrupted(draft, c) and fits(draft, c) is not None]
    movers = []
    for one in in_order([mover(draft, layout, claim, _home(draft, claim)) for claim in known]):
        claim = one.claim
        if spare.get(claim.pool, 0) >= claim.count and headroom.held(claim) is None:
            headroom.take(claim)
            spare[claim.pool] -= claim.count
            movers.append(one)
        if len(movers) == CONSOLIDATED:
            break
    return movers


def _gave_up(draft: Draft, layout: Layout, budgets: Budgets, housing: Housing, movers: list[Mover]) -> bool:
    """Drain what fits on machines that stay anyway; say whether anything did."""
    gone = False
    for one in movers:
        claim, why = one.claim, fits(draft, one.claim)
        if why is None or claim.id in housing.held or budgets.held(Disruption.UNDERUSED, claim):
            continue
        if _moves(draft, layout, claim, housing):
            budgets.take(Disruption.UNDERUSED, claim)
            drain_outgoing(draft, claim, why)
            gone = True
    return gone


def _exchanged(
    draft: Draft, layout: Layout, budgets: Budgets, housing: Housing, movers: list[Mover], *, at_rest: bool
) -> dict[str, Reason]:
    """Let machines give way to a spare one, or launch one that takes their place."""
    taken = {*layout.needed(), *housing.held}
    spare = list(spare_machines(draft, taken, above_minimum(draft)))
    found = with_spare(draft, layout, budgets, movers, spare)
    if found is None and at_rest:
        found = with_offer(draft, layout, budgets, movers)
    if found is None:
        return {}
    taker = found.taker
    if taker.variant is not None:
        layout.make(taker.variant, 1, ReasonCode.REPLACEMENT)
    elif taker.claim is not None:
        housing.held[taker.claim.id] = reason(ReasonCode.STANDS_IN)
        needed = taken.intersection(one.claim.id for one in found.movers)
        if not (layout.made or needed) and layout.capacity.stage[taker.column] == 0:
            for one in found.movers:
                budgets.take(Disruption.UNDERUSED, one.claim)
                drain_outgoing(draft, one.claim, found.reason)
            return {}
    return {one.claim.id: reason(ReasonCode.REPLACING).because(found.reason) for one in found.movers}


def _is_busy_scaling(draft: Draft, layout: Layout) -> bool:
    starting = any(c.phase in {Phase.REQUESTED, Phase.BOOTING} for c in draft.claims.values())
    waiting = any(placed.kind is not DemandKind.REQUESTED for placed in layout.placed)
    return starting or waiting or bool(draft.outgoing)


def _has_changed(draft: Draft) -> bool:
    """Say whether a machine joined so lately that the work may soon need as many again, or one leaves for too little.

    Work that comes and goes would end machines and launch them again without this pause.
    """
    after = max(0.0, draft.now - draft.policy.consolidate_after_s)
    return any(
        (claim.phase is Phase.READY and claim.since > after) or disruption_of(claim) is Disruption.UNDERUSED
        for claim in draft.workers()
    )


def above_minimum(draft: Draft) -> dict[str, int]:
    """Return by pool how many READY hosts there are above its minimum; outdated ones hold none."""
    ready = holding(draft, {Phase.READY})
    return {pool.name: ready.get(pool.name, 0) - pool.min_workers for pool in draft.policy.pools}


def _moves(draft: Draft, layout: Layout, claim: Claim, housing: Housing) -> bool:
    """Move a claim's work onto other machines that are up and stay, whole or not at all."""
    saved = layout.save()
    own = np.array([place.claim == claim.id for place in layout.capacity.places], np.bool_)
    layout.capacity.free[:, own] = 0
    pieces = _pieces(draft, layout, claim)
    columns = _settled(layout, pieces, _staying(layout))
    if any(piece.left for piece in pieces) or any(own[column] for column in columns):
        layout.restore(saved)
        return False
    _hold(layout, housing, columns)
    return True
