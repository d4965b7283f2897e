"""Idle machines that nobody needs leave before their time-out where a limit they count in keeps away what waits.

At `max_workers` an idle machine of one pool would keep out, for as long as its idle time-out, the machine that a task
waits for; so with money and limited resources. What is tried is the plan itself: with the machines gone that are
leaving anyway, and then without idle ones too. Those without which as much can be had stay.

This is voluntary (nobody has lowered a limit): minimums, do-not-disrupt, disruption budgets for idle machines, the
downscaling speed and `scale_down_utilization` hold, and Ray may refuse. A machine that holds a buffer is needed. What
quotas or a threshold hold back, and buffers, make nobody leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from rayfleet.model import LEAVING, Claim, DemandKind, Disruption, Phase, Reason, ReasonCode, Unmet, reason
from rayfleet.planner.budgets import Budgets
from rayfleet.planner.draft import Draft, idle_s
from rayfleet.planner.gangs import how_many_fit
from rayfleet.planner.headroom import Headroom
from rayfleet.planner.layout import Layout
from rayfleet.planner.needs import Leftover
from rayfleet.planner.outgoing import may_be_disrupted
from rayfleet.planner.room import Room
from rayfleet.planner.standins import above_minimum
from rayfleet.planner.surplus import busy_with
from rayfleet.planner.work import Item, Source

MOST: Final = 32
"""So many machines are looked at in one plan, the longest idle ones."""
LIMITS: Final = frozenset(
    {
        ReasonCode.MAX_WORKERS,
        ReasonCode.POOL_MAX_WORKERS,
        ReasonCode.BUDGET,
        ReasonCode.DAY_BUDGET,
        ReasonCode.MAX_RESOURCES,
        ReasonCode.GANG_TOO_WIDE,
    }
)
"""Limits of which machines that leave give something back."""
Missing = tuple[float, float, float]
"""What is left of gangs, requested resources and tasks, by weight."""


def make_room(draft: Draft, layout: Layout, left: Leftover, budgets: Budgets, held: Iterable[str]) -> dict[str, Reason]:
    """Return the idle claims that should leave now, and why. `held`: claims that stay for the work of others."""
    why = next((unmet.reason for unmet in draft.unmet if _is_cut(unmet)), None)
    idle = _idle(draft, layout, budgets, set(held)) if why else []
    if why is None or not idle:
        return {}
    trial = _Trial(draft, layout, left)
    leaving = [claim for claim in draft.workers() if claim.phase in LEAVING]
    before, after = trial.missing(leaving), trial.missing([*leaving, *idle])
    if after >= before:
        return {}
    going = idle
    for claim in reversed(idle):
        rest = [other for other in going if other is not claim]
        if trial.missing([*leaving, *rest]) <= after:
            going = rest
    return {claim.id: reason(ReasonCode.MAKES_ROOM).because(why) for claim in going}


def _is_cut(unmet: Unmet) -> bool:
    codes = {unmet.reason.code, *(link.code for link in unmet.reason.chain)}
    return unmet.kind is not DemandKind.BUFFER and not codes.isdisjoint(LIMITS)


def _idle(draft: Draft, layout: Layout, budgets: Budgets, held: set[str]) -> list[Claim]:
    """Return claims that may leave and that nobody needs, the longest idle first."""
    needed, headroom, spare = layout.needed(), Headroom.of(draft), above_minimum(draft)
    known = [c for c in draft.workers() if c.phase is Phase.READY and c.id not in needed and c.id not in held]
    found: list[Claim] = []
    for claim in sorted(known, key=lambda c: -idle_s(c)):
        # What runs on a node that has just joined may not be reported yet.
        settled = busy_with(claim) is None and idle_s(claim) >= draft.timeouts.settle_s
        stays = claim.id in draft.outgoing or not settled or not may_be_disrupted(draft, claim)
        if stays or headroom.held(claim) or budgets.held(Disruption.IDLE, claim):
            continue
        if draft.is_replaced(claim) or spare.get(claim.pool, 0) >= claim.count:
            spare[claim.pool] = spare.get(claim.pool, 0) - (0 if draft.is_replaced(claim) else claim.count)
            headroom.take(claim)
            found.append(claim)
        if len(found) == MOST:
            break
    return found


class _Trial:
    """Asks what would be left of what waits if some machines were gone; nothing of it stays in the layout."""

    def __init__(self, draft: Draft, layout: Layout, left: Leftover) -> None:
        self._draft, self._layout, self._left = draft, layout, left
        gangs = draft.snapshot.demand.gangs
        # What a quota holds back, or no number of machines would do for, is not asked about.
        waiting = [m.waiting for m in left.gangs if m.held is None and m.machines is not None]
        self._gangs = tuple(replace(gangs[at], count=count) for each in waiting for at, count in each.items() if count)

    def missing(self, gone: list[Claim]) -> Missing:
        """Return what is left when these claims count in no limit any more."""
        layout = self._layout
        saved = layout.save()
        layout.room = _without(layout.room, self._draft, gone)
        fit = how_many_fit(layout, self._gangs)
        requested, tasks = _copies(self._left.requested), _copies(self._left.tasks)
        layout.serve(requested, ReasonCode.REQUESTED)
        layout.serve(tasks, ReasonCode.TASKS)
        layout.restore(saved)
        return (float(sum(gang.count for gang in self._gangs) - fit), _weight(requested), _weight(tasks))


def _copies(pieces: list[Item]) -> list[Item]:
    """Return what waits and may be launched for, to be placed in a trial."""
    return [
        replace(piece, sources=[Source(s.index, s.bundle, s.left) for s in piece.sources if s.left])
        for piece in pieces
        if piece.left and piece.held is None
    ]


def _weight(pieces: list[Item]) -> float:
    return round(sum((piece.weight or 1.0) * piece.left for piece in pieces), 9)


def _without(room: Room, draft: Draft, gone: list[Claim]) -> Room:
    """Return the room there is when some claims do not count; the launch rate is as it was."""
    launches = room.launches
    hosts: Counter[tuple[str, float | None]] = Counter()
    for claim in gone:
        hosts[claim.pool, draft.usd_per_hour(claim)] += claim.count
    for (name, usd), count in hosts.items():
        pool = draft.policy.pool(name)
        if pool is not None and name in room.pools:
            room = room.with_more(pool, usd, count // pool.hosts_per_replica)
    return replace(room, launches=launches)
