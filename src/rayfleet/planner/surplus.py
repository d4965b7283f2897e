"""Step 12: what nobody needs leaves: first what is only starting (cancelled), then what has been idle (drained).

Needed is what the steps before placed demand on, and what a pool's minimum holds. As demand is placed on READY
machines before starting ones and on both before new ones, nothing that leaves here would be launched by the
next plan. Two more guards: right after a node has joined nothing is cancelled (`settle_s`), and an idle
drain is asked of Ray, which refuses when the node has work after all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from rayfleet.model import (
    LEAVING,
    STARTING,
    Claim,
    DemandKind,
    Disruption,
    How,
    NodeFact,
    Phase,
    Reason,
    ReasonCode,
    Resources,
    reason,
)
from rayfleet.planner import leaving
from rayfleet.planner.budgets import CODES, Budgets
from rayfleet.planner.census import census, holding
from rayfleet.planner.draft import Draft, idle_s, is_used
from rayfleet.planner.headroom import Headroom
from rayfleet.planner.patience import Patience

DRIFTED_SHARE = 0.5
"""At most this share of a pool's READY hosts (one replica at least) is replaced at a time when they are outdated."""
NOBODY: Final[Mapping[str, Reason]] = MappingProxyType({})


@dataclass(slots=True)
class Spare:
    """Counts per pool, in hosts, counted down as claims are let go. Whatever has no pool has been dismissed before.

    `above_min`: how many that are not outdated may leave before the minimum is touched, which is held without the
    outdated ones. `drifted`: how many outdated ones may leave. `why`: why each claim that stays does.
    """

    needed: dict[str, DemandKind]
    budgets: Budgets
    held: dict[str, Reason]
    headroom: Headroom
    making_room: Mapping[str, Reason]
    above_min: dict[str, int] = field(default_factory=dict)
    drifted: dict[str, int] = field(default_factory=dict)
    why: dict[str, Reason] = field(default_factory=dict)


def let_go(
    draft: Draft,
    needed: dict[str, DemandKind],
    budgets: Budgets,
    held: dict[str, Reason],
    making_room: Mapping[str, Reason] = NOBODY,
) -> dict[str, Reason]:
    """Cancel and drain what nobody needs; return why each worker claim that was looked at stays.

    `held`: claims that have room for the work of machines that are leaving.
    `making_room`: idle claims that leave before their time-out, and why.
    """
    spare = Spare(needed, budgets, held, Headroom.of(draft), making_room)
    _count(draft, spare)
    old = [draft.claims[c.id] for c in draft.snapshot.claims if c.id in draft.claims]
    workers = [c for c in old if not c.head and not c.foreign]
    # What somebody else asked for may have its start: it is let go when it has been idle, like what is there already.
    _cancel(draft, spare, [c for c in workers if c.phase in STARTING and not c.found])
    _drain_idle(draft, spare, [c for c in workers if c.phase is Phase.READY and c.id not in draft.outgoing])
    return spare.why


def _count(draft: Draft, spare: Spare) -> None:
    capacity, counted = holding(draft), census(draft)
    ready, away = counted.workers({Phase.READY}), counted.workers(LEAVING)
    for claim in (draft.claims[name] for name in draft.outgoing if name in draft.claims):
        if claim.phase not in LEAVING:
            away[claim.pool] = away.get(claim.pool, 0) + claim.count
    for pool in draft.policy.pools:
        spare.above_min[pool.name] = capacity.get(pool.name, 0) - pool.min_workers
        share = max(pool.hosts_per_replica, math.floor(ready.get(pool.name, 0) * DRIFTED_SHARE))
        spare.drifted[pool.name] = share - away.get(pool.name, 0)


# ---- starting -------------------------------------------------------------------------------------------------------


def _cancel(draft: Draft, spare: Spare, starting: list[Claim]) -> None:
    settled = bool(starting) and not _just_joined(draft)
    order = {Phase.REQUESTED: 0, Phase.BOOTING: 1}
    youngest_first = starting[::-1]
    claims = sorted(youngest_first, key=lambda c: order[c.phase])
    patience = Patience.of(draft, [c for c in claims if c.id not in spare.needed and c.id not in spare.held])
    for claim in claims:
        if draft.held:
            spare.why[claim.id] = draft.held
        elif claim.id in spare.needed:
            spare.why[claim.id] = _needed_by(spare.needed[claim.id].value)
        elif claim.id in spare.held:
            spare.why[claim.id] = spare.held[claim.id]
        elif _holds_minimum(draft, spare, claim):
            spare.why[claim.id] = _needed_by("the minimum of its pool")
        elif on_hand := patience.held(claim):
            spare.why[claim.id] = on_hand
        elif settled:
            _count_down(draft, spare, claim)
            leaving.release(draft, claim, reason(ReasonCode.UNNEEDED), How.CANCEL)
        else:
            spare.why[claim.id] = reason(ReasonCode.BOOTING)


def _holds_minimum(draft: Draft, spare: Spare, claim: Claim) -> bool:
    """Say whether a pool's minimum needs a claim; for an outdated one another is launched, so it never does."""
    return not draft.is_replaced(claim) and spare.above_min[claim.pool] < claim.count


def _count_down(draft: Draft, spare: Spare, claim: Claim) -> None:
    if not draft.is_replaced(claim):
        spare.above_min[claim.pool] -= claim.count


def _just_joined(draft: Draft) -> bool:
    """Say whether a node has joined so lately that what it runs may not be reported yet.

    Claims without a time (0: written by hand) have been there for ever.
    """
    after = max(0.0, draft.now - draft.timeouts.settle_s)
    return any(claim.phase is Phase.READY and claim.since > after for claim in draft.claims.values())


def _needed_by(whom: str) -> Reason:
    return reason(ReasonCode.NEEDED, by=whom)


# ---- idle -----------------------------------------------------------------------------------------------------------


def _drain_idle(draft: Draft, spare: Spare, ready: list[Claim]) -> None:
    """Drain idle claims, the longest idle first; a pool keeps its minimum."""
    timeouts = {p.name: _idle_timeout_s(draft, p.idle_timeout_s) for p in draft.policy.pools}
    candidates: list[tuple[float, Claim, Reason]] = []
    for claim in [c for c in ready if not is_used(c)]:  # why the others stay is said when somebody asks
        timeout_s = timeouts[claim.pool]
        stays = _stays(draft, spare, claim, timeout_s)
        if stays is not None:
            spare.why[claim.id] = stays
            continue
        idle = idle_s(claim)
        why = spare.making_room.get(claim.id) or reason(ReasonCode.IDLE, idle_s=idle, idle_timeout_s=timeout_s)
        if claim.drifted:
            why = reason(ReasonCode.DRIFTED, pool=claim.pool)
        candidates.append((idle, claim, why))
    for _, claim, why in sorted(candidates, key=lambda c: -c[0]):
        _drain(draft, spare, claim, why)


def _idle_timeout_s(draft: Draft, of_pool: float | None) -> float:
    return draft.policy.idle_timeout_s if of_pool is None else of_pool


def _stays(draft: Draft, spare: Spare, claim: Claim, timeout_s: float) -> Reason | None:
    """Return why a READY claim stays whatever limits say; None when it may go."""
    busy = busy_with(claim)
    if busy is not None:
        return busy
    if claim.id in spare.needed:
        return _needed_by(spare.needed[claim.id].value)
    if claim.id in spare.held:
        return spare.held[claim.id]
    if any(host.do_not_disrupt for host in claim.hosts):
        return reason(ReasonCode.DO_NOT_DISRUPT)
    if any(host.node is NodeFact.ABSENT for host in claim.hosts):
        return reason(ReasonCode.BOOTING)
    return draft.held or _too_early(draft, claim, 0.0 if claim.id in spare.making_room else timeout_s)


def _too_early(draft: Draft, claim: Claim, timeout_s: float) -> Reason | None:
    idle = idle_s(claim)
    if idle < timeout_s and not claim.drifted:
        return reason(ReasonCode.NOT_IDLE_YET, idle_s=idle, idle_timeout_s=timeout_s)
    if claim.retry_at is not None and draft.now < claim.retry_at:
        return reason(ReasonCode.DRAIN_REFUSED, retry_s=claim.retry_at - draft.now)
    return None


@lru_cache(maxsize=4096)
def _in_use(used: Resources) -> Reason:
    """Return why a machine stays; many are used alike, and hardly anybody asks for the sentence."""
    return reason(ReasonCode.BUSY, used=str(used))


def busy_with(claim: Claim) -> Reason | None:
    """Return what keeps a claim busy; None when it is idle."""
    if is_used(claim):
        return _in_use(next(host.used for host in claim.hosts if host.used))
    for host in claim.hosts:
        if host.activity and not host.idle_s:
            return reason(ReasonCode.BUSY, used=", ".join(host.activity))
    return None


def _drain(draft: Draft, spare: Spare, claim: Claim, why: Reason) -> None:
    pool, headroom = claim.pool, spare.headroom
    kind = CODES[why.code]
    outdated = kind is Disruption.DRIFTED
    if _holds_minimum(draft, spare, claim):
        spare.why[claim.id] = _needed_by("the minimum of its pool")
    elif outdated and not spare.budgets.speaks_of(kind, pool) and spare.drifted[pool] < claim.count:
        spare.why[claim.id] = _needed_by("the others of its pool are being replaced")
    elif (kind is Disruption.IDLE and (held := headroom.held(claim))) or (held := spare.budgets.held(kind, claim)):
        spare.why[claim.id] = held
    else:
        spare.budgets.take(kind, claim)
        headroom.take(claim)
        _count_down(draft, spare, claim)
        spare.drifted[pool] -= claim.count
        # An idle node that Ray lets go of leaves at once; the deadline only bounds one that hangs.
        leaving.drain(draft, claim, why, deadline=draft.now + draft.timeouts.node_timeout_s, voluntary=True)
