"""Step 6, its end, and step 11: READY machines that are to be replaced, and their way out.

Who is replaced: what is older than `max_age_s`; what is outdated, where a disruption budget speaks of that; and, with
`consolidation_threshold`, what a cheaper offer would do as well (so on-demand machines give way to spot that can be had
again). Only idle machines, and machines whose work is restartable (their pool says so, or the label
`rayfleet.io/restartable`); never those that are labelled do-not-disrupt; and no more than the budgets allow.

A chosen machine counts as gone when places are given out: minimums, requests and its own work (see standins) find
room elsewhere or launch what they lack. It leaves when all of that is up - idle ones when Ray agrees, others with a
deadline. Nothing of this is remembered: the next plan chooses the same machines again, for the same reasons.
Past their age, machines in use may also be given a grace (see grace).
Where a maximum leaves no room for a replacement, outdated and expired machines go first and are replaced then.
"""

from __future__ import annotations

from typing import Final

from rayfleet.model import CAPACITY, Claim, DemandKind, Disruption, NodeFact, Phase, Reason, ReasonCode, reason
from rayfleet.planner import leaving
from rayfleet.planner.budgets import CODES, Budgets
from rayfleet.planner.census import holding
from rayfleet.planner.consolidation import cheaper
from rayfleet.planner.draft import Draft, is_used
from rayfleet.planner.grace import grace_ends_at, max_age_s, may_finish
from rayfleet.planner.layout import Layout
from rayfleet.planner.rolling import replace_requested
from rayfleet.planner.surplus import busy_with

RESTARTABLE_LABEL: Final = "rayfleet.io/restartable"
"""Label of a node: "true" or "false"; goes before what its pool says."""
_RANK: Final = {Disruption.DRIFTED: 0, Disruption.EXPIRED: 1, Disruption.UNDERUSED: 2}


def choose_outgoing(draft: Draft, budgets: Budgets) -> None:
    """Fill `draft.outgoing` and `draft.rolling`: outdated ones first, then expired ones, the oldest of each first."""
    draft.rolling = frozenset(
        pool.name for pool in draft.policy.pools if budgets.speaks_of(Disruption.DRIFTED, pool.name)
    )
    requested, everybody = bool(draft.snapshot.demand.requested), draft.rolling or draft.policy.replaces_machines
    if draft.held or not (everybody or requested):
        return
    ready = [c for c in draft.workers() if c.phase is Phase.READY and (everybody or c.drifted)]
    candidates = [claim for claim in ready if not _is_protected(draft, claim)]
    movable = [claim for claim in candidates if _is_movable(draft, claim)]
    found = []
    for claim in candidates:
        why = _why(draft, claim) if claim in movable else _ended_by_age(draft, claim)
        if why is not None:
            found.append((claim, why))
    for claim, why in sorted(found, key=lambda pair: (_RANK[CODES[pair[1].code]], pair[0].created)):
        if budgets.held(CODES[why.code], claim) is None:
            budgets.take(CODES[why.code], claim)
            draft.outgoing[claim.id] = why
    replace_requested(draft, movable, budgets)


def may_be_disrupted(draft: Draft, claim: Claim) -> bool:
    """Say whether a READY claim may leave although nothing forces it to."""
    return not _is_protected(draft, claim) and _is_movable(draft, claim)


def _is_protected(draft: Draft, claim: Claim) -> bool:
    if claim.retry_at is not None and draft.now < claim.retry_at:
        return True
    return any(host.do_not_disrupt or host.node is NodeFact.ABSENT for host in claim.hosts)


def _is_movable(draft: Draft, claim: Claim) -> bool:
    return busy_with(claim) is None or is_restartable(draft, claim)


def is_restartable(draft: Draft, claim: Claim) -> bool:
    """Say whether the work on every host may be ended and started again: its label says, else its pool."""
    pool = draft.policy.pool(claim.pool)
    by_pool = "true" if pool is not None and pool.restartable else "false"
    if pool is not None:
        by_pool = pool.labels.get(RESTARTABLE_LABEL, by_pool)
    return all(host.labels.get(RESTARTABLE_LABEL, by_pool) == "true" for host in claim.hosts)


def _why(draft: Draft, claim: Claim) -> Reason | None:
    if claim.drifted and claim.pool in draft.rolling:
        return reason(ReasonCode.DRIFTED, pool=claim.pool)
    pool = draft.policy.pool(claim.pool)
    return _expired(draft, claim) or (cheaper(draft, claim, pool) if pool else None)


def _expired(draft: Draft, claim: Claim) -> Reason | None:
    most = max_age_s(draft, draft.policy.pool(claim.pool))
    age = draft.now - claim.created
    if most is None or age < most:
        return None
    return reason(ReasonCode.EXPIRED, age_s=age, max_age_s=most)


def _ended_by_age(draft: Draft, claim: Claim) -> Reason | None:
    """Return why a claim leaves whose work nobody may restart: only for its age, and only with a grace."""
    return None if grace_ends_at(draft, claim) is None else _expired(draft, claim)


# ---- leaving --------------------------------------------------------------------------------------------------------


def send_off(draft: Draft, layout: Layout, housed: frozenset[str]) -> dict[str, Reason]:
    """Drain what is outgoing and has its replacement; return why the others stay. `housed`: whose work has room."""
    stays: dict[str, Reason] = {}
    if not draft.outgoing:
        return stays
    short = _below_minimum(draft)
    waits = _requests_wait(layout)
    for name, why in draft.outgoing.items():
        claim = draft.claims[name]
        free = name in housed or not is_used(claim) or may_finish(draft, claim)
        replaced = claim.pool not in short and not waits and free
        if replaced or _no_room(draft, layout, claim, why):
            drain_outgoing(draft, claim, why)
        else:
            stays[name] = reason(ReasonCode.REPLACING).because(why)
    return stays


def drain_outgoing(draft: Draft, claim: Claim, why: Reason) -> None:
    """Drain a claim that nobody forces to leave: asked when it is idle, told when its work may be ended."""
    ends_at = grace_ends_at(draft, claim) if why.code is ReasonCode.EXPIRED else None
    if busy_with(claim) is None:
        deadline = draft.now + draft.timeouts.node_timeout_s
        leaving.drain(draft, claim, why, deadline=deadline, voluntary=True)
    elif ends_at is not None:
        deadline = max(ends_at, draft.now + draft.timeouts.drain_timeout_s)
        why = why.because(reason(ReasonCode.GRACE, left_s=deadline - draft.now))
        leaving.drain(draft, claim, why, deadline=deadline, voluntary=False)
    else:
        why = why.because(reason(ReasonCode.RESTARTABLE))
        leaving.drain(draft, claim, why, deadline=draft.now + draft.timeouts.drain_timeout_s, voluntary=False)


def _below_minimum(draft: Draft) -> set[str]:
    """Return the pools whose READY machines, without the outgoing ones, do not hold the minimum yet."""
    ready = holding(draft, {Phase.READY})
    return {pool.name for pool in draft.policy.pools if ready.get(pool.name, 0) < pool.min_workers}


def _requests_wait(layout: Layout) -> bool:
    """Say whether requested resources are met by machines that are not up yet."""
    stage = layout.capacity.stage
    requested = [put for put in layout.placed if put.kind is DemandKind.REQUESTED]
    return any(stage[column] > 0 for put in requested for column, _ in put.by_column())


def _no_room(draft: Draft, layout: Layout, claim: Claim, why: Reason) -> bool:
    """Say whether a machine has to go before its replacement can be made; only what must be replaced does."""
    pool = draft.policy.pool(claim.pool)
    if CODES[why.code] is Disruption.UNDERUSED or pool is None:
        return False
    starting = any(c.pool == claim.pool and c.phase in CAPACITY - {Phase.READY} for c in draft.claims.values())
    made = any(made.variant.pool.name == claim.pool for made in layout.made)
    return not starting and not made and not layout.room.replicas(pool, draft.usd_per_hour(claim))
