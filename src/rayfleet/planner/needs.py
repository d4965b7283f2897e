"""Steps 8 to 11 in a row: gangs, then requested resources, tasks, and buffers. What is left over is handed on.

`request_resources` is counted against total capacity, whether idle or used, and tasks fill what it launches: the two
are combined by their maximum, not their sum. So that the machines are the cheapest for all of it, what may be anywhere
(PACK and SPREAD gangs, tasks, requested resources) is packed in one go. When that leaves something, a limit has cut it,
and each kind has its turn after the other.

What needs nothing comes last: it fits onto whatever there is then, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.model import ANYWHERE, DemandKind, ReasonCode, Selectors
from rayfleet.planner.ahead import place_ahead
from rayfleet.planner.capacity import Need
from rayfleet.planner.draft import Draft
from rayfleet.planner.gangs import Missing, Party, loose_pieces, parties_of, place_gangs
from rayfleet.planner.layout import Layout
from rayfleet.planner.quotas import Owners
from rayfleet.planner.replay import Replay
from rayfleet.planner.swaps import Before, swap_idle
from rayfleet.planner.thresholds import can_be_had, place_nothing, place_tasks, settle_all
from rayfleet.planner.weights import weight
from rayfleet.planner.work import Item, in_order, items

BOTH_WAYS: Final = 24
"""Up to so many sorts of pieces are also packed kind by kind, and the cheaper way is taken. Above, one go nearly always
is the cheaper, and packing twice would cost as much time again."""

NOTHING: Final = (0.0, 0.0)


@dataclass(slots=True)
class Leftover:
    """Demand without a place: gangs, and the items of the other kinds."""

    gangs: list[Missing]
    requested: list[Item]
    tasks: list[Item]
    ahead: list[Item]


def place_demand(draft: Draft, layout: Layout) -> Leftover:
    """Place all demand as far as machines and limits allow, on the cheapest of the machines there are."""
    before = Before.of(layout)
    left = _place(draft, layout)
    swap_idle(draft, layout, before)
    return left


def _place(draft: Draft, layout: Layout) -> Leftover:
    """Place all demand; what is on its way is for what it was launched for."""
    # What waits is too few to launch for only beside what there is.
    replay = Replay.of(draft, layout) if draft.policy.scale_up_pending_threshold is None else None
    if replay is None:
        return _placed(draft, layout)
    before = draft.ahead
    left = _placed(draft, replay.layout)
    outlay = _outlay(draft, replay.layout, left, len(layout.made)) if replay.end() else None
    if outlay != NOTHING:
        ahead, draft.ahead = draft.ahead, before
        other = layout.copy()
        others = _placed(draft, other)
        if outlay is None or _outlay(draft, other, others, len(layout.made)) < outlay:
            layout.become(other)
            return others
        draft.ahead = ahead
    layout.become(replay.layout)
    return left


def _outlay(draft: Draft, layout: Layout, left: Leftover, since: int) -> tuple[float, float]:
    """Return what is left without a place, by weight, and the price of what was made for the rest."""
    pieces = sum((piece.weight or 1.0) * piece.left for piece in (*left.requested, *left.tasks, *left.ahead))
    for missing in left.gangs:
        for index, count in missing.waiting.items():
            bundles = draft.snapshot.demand.gangs[index].bundles
            pieces += count * sum(weight(bundle.shape) or 1.0 for bundle in bundles)
    price = sum(made.variant.price * made.replicas for made in layout.made[since:])
    return (round(pieces, 9), round(price, 9))


def _placed(draft: Draft, layout: Layout) -> Leftover:
    """Place what needs something, then what is wanted ahead, then what needs nothing."""
    owners = Owners.of(draft) if draft.policy.quotas else None
    parties = parties_of(draft.snapshot.demand.gangs, draft.policy.gangs_same_label)
    some = [party for party in parties if not party.needs_nothing]
    left = _in_one_go(draft, layout, some) if _is_free(draft) else _in_turns(draft, layout, some, owners)
    waiting = ((piece.need, piece.selectors) for piece in left.tasks if piece.left and piece.need)
    layout.waiting = [*_held_gangs(layout, left.gangs), *waiting]
    left.ahead = place_ahead(draft, layout)
    left.gangs += place_gangs(layout, [party for party in parties if party.needs_nothing], owners)
    place_nothing(layout, left.requested, ReasonCode.REQUESTED)
    place_nothing(layout, left.tasks, ReasonCode.TASKS)
    return left


def _held_gangs(layout: Layout, gangs: list[Missing]) -> Iterator[tuple[Need, Selectors]]:
    """Yield the bundles of gangs that quotas hold back: other gangs wait because there can be no room for them."""
    for missing in gangs:
        for index in missing.waiting if missing.held else ():
            for bundle in layout.draft.snapshot.demand.gangs[index].bundles:
                yield layout.terms.need(bundle.shape), bundle.selectors or (ANYWHERE,)


def _is_free(draft: Draft) -> bool:
    """Say whether nobody's work is to wait for that of others."""
    return not draft.policy.quotas and draft.policy.scale_up_pending_threshold is None


def _in_turns(draft: Draft, layout: Layout, parties: list[Party], owners: Owners | None) -> Leftover:
    """Place one kind after the other."""
    gangs = place_gangs(layout, parties, owners)
    requested = items(layout.terms, DemandKind.REQUESTED, draft.snapshot.demand.requested)
    layout.serve([piece for piece in requested if piece.need], ReasonCode.REQUESTED)
    return Leftover(gangs, requested, place_tasks(draft, layout, owners), [])


def _in_one_go(draft: Draft, layout: Layout, parties: list[Party]) -> Leftover:
    """Place gangs that bind their bundles, then all the rest together, if that leaves nothing and pays."""
    loose = [p for p in parties if p.is_loose and all(can_be_had(layout, b) for b in loose_pieces(layout, [p]))]
    gangs = place_gangs(layout, [party for party in parties if party not in loose])
    demand = draft.snapshot.demand
    if sum(map(bool, (loose, demand.requested, demand.tasks))) > 1:
        together = layout.copy()
        left, pieces = _together(draft, together, loose)
        if not any(piece.left for piece in pieces) and not _turns_are_cheaper(draft, layout, loose, (together, left)):
            layout.become(together)
            return replace(left, gangs=gangs)
    left = _in_turns(draft, layout, loose, None)
    return replace(left, gangs=gangs + left.gangs)


def _together(draft: Draft, layout: Layout, loose: list[Party]) -> tuple[Leftover, list[Item]]:
    """Pack gangs, tasks and requests in one go; return what is left, and the pieces that machines can be had for."""
    demand = draft.snapshot.demand
    requested = items(layout.terms, DemandKind.REQUESTED, demand.requested)
    tasks = items(layout.terms, DemandKind.TASKS, demand.tasks)
    rest = [piece for piece in (*tasks, *requested) if piece.need and not can_be_had(layout, piece)]
    settle_all(layout, rest)  # it has no other place than those there are
    some = [piece for piece in tasks if piece.need and piece not in rest]
    # Requests come last, because they are content with machines that are in use.
    asked = [piece for piece in requested if piece.need and piece not in rest]
    pieces = in_order(loose_pieces(layout, loose) + some) + asked
    layout.serve(pieces, None)
    return Leftover([], requested, tasks, []), pieces


def _turns_are_cheaper(draft: Draft, layout: Layout, loose: list[Party], found: tuple[Layout, Leftover]) -> bool:
    """Say whether it costs no more to place kind by kind; not asked where that would take long."""
    together, left = found
    kinds = len(draft.snapshot.demand.tasks) + len(draft.snapshot.demand.requested)
    if kinds + len(loose_pieces(layout, loose)) > BOTH_WAYS:
        return False
    turns = layout.copy()
    others = _in_turns(draft, turns, [replace(party, waiting=dict(party.waiting)) for party in loose], None)
    since = len(layout.made)
    return _outlay(draft, turns, others, since) <= _outlay(draft, together, left, since)
