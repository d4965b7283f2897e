"""plan(snapshot) -> Plan: pure, total, deterministic. One file per step, in the order in which they run.

     1 outcomes    calls that have ended change claims and back-offs
     2 lifecycle   what is known of machines and nodes moves claims on (progress carries it out)
     3 adopt       machines with our tag but without a claim get one
       drift       claims whose pool has changed since are outdated
     4 orders      schedules that are on and what people ordered become the effective policy, and drains;
                   overlays say what offers count as
     5 limits      what is beyond a maximum, or without a pool, has to leave
     6 head        a cluster has one head; until it is READY nothing else is scaled
     7 minimums    pools get their minimum
     8 gangs       placement groups, whole or not at all       \
     9 requested   request_resources, against total capacity    > needs
    10 tasks       the rest of the demand                      |
    11 ahead       buffers, from what is free then             /
       apart       bundles that go onto a machine each, by matching
       replay      what is on its way is planned for as if it were still to be launched
       swaps       of idle machines those that cost least get the work
       standins    the work of machines that are leaving gets room elsewhere; outgoing ones go when it has;
                   consolidation says when it pays to give a machine up (budgets: how many may go at a time)
    12 surplus     what nobody needs is cancelled (some of it stays on hand: patience), what is idle is drained: at
                   once where it keeps out what waits (making_room)
    13 launches    what has to be made becomes claims and calls; spot machines are spread over offers (spread), those
                   that wait are started first (reuse), and the reason names the cheaper offers that were not asked
                   (detours)
    14 standby     idle machines are stopped while too few wait, others made or given back
    15 explain     why every host stays, and what it costs
    16 unmet       what is not served, and why no pool takes it

Every step reads and writes one `Draft`. Steps 7 to 11 share a `Layout`: the table of hosts (`capacity`), the
limits (`room`), what can be bought (`market`) and the choice of new machines (`packing`). `weights` says what is
compared when prices are unknown; `leaving` is the only way out for a claim; `backoffs` the only keeper of
failures. `invariants.check` states what must hold of every plan.
"""

from __future__ import annotations

from rayfleet.model import Claim, Deferred, DemandKind, Phase, Placement, Plan, Reason, Snapshot
from rayfleet.planner.adopt import adopt_strays
from rayfleet.planner.backoffs import forget_old
from rayfleet.planner.budgets import Budgets
from rayfleet.planner.draft import Draft
from rayfleet.planner.drift import mark_drifted
from rayfleet.planner.explain import cost, kept_hosts
from rayfleet.planner.head import tend_head
from rayfleet.planner.launches import write_launches
from rayfleet.planner.layout import Layout
from rayfleet.planner.limits import enforce_limits
from rayfleet.planner.making_room import make_room
from rayfleet.planner.minimums import fill_minimums
from rayfleet.planner.names import natural
from rayfleet.planner.needs import place_demand
from rayfleet.planner.orders import apply_orders
from rayfleet.planner.outcomes import apply_outcomes
from rayfleet.planner.outgoing import choose_outgoing, send_off
from rayfleet.planner.overlays import apply_overlays
from rayfleet.planner.progress import advance_claims
from rayfleet.planner.schedules import apply_schedules
from rayfleet.planner.spending import spent_today
from rayfleet.planner.standby import end_forced, stop_idle, tend_standby
from rayfleet.planner.standins import consolidate, house_leaving_work, with_leaving_work
from rayfleet.planner.surplus import let_go
from rayfleet.planner.unmet import unmet_by_limits, unmet_while_held

__all__ = ["plan"]


def plan(snapshot: Snapshot) -> Plan:
    """Decide what to launch, drain and release, with every reason. Same snapshot, same plan, byte for byte."""
    draft = _begin(snapshot)
    apply_outcomes(draft)
    advance_claims(draft)
    adopt_strays(draft)
    mark_drifted(draft)
    apply_schedules(draft)
    apply_orders(draft)
    apply_overlays(draft)
    enforce_limits(draft)
    end_forced(draft)
    tend_head(draft)
    placements, why = _scale(draft)
    forget_old(draft)
    return _finish(draft, placements, why)


def _begin(snapshot: Snapshot) -> Draft:
    claims = {claim.id: claim for claim in sorted(snapshot.claims, key=lambda c: (c.created, natural(c.id)))}
    return Draft(
        snapshot=snapshot,
        policy=snapshot.policy,
        claims=claims,
        backoffs=list(snapshot.backoffs),
        serial=snapshot.serial,
        taken=frozenset(claims),
    )


def _scale(draft: Draft) -> tuple[tuple[Placement, ...], dict[str, Reason]]:
    """Run the steps that choose how many machines there should be; nothing while scaling is held."""
    budgets = Budgets.of(draft)
    if draft.held:
        if draft.snapshot.engine_up:
            draft.unmet.extend(unmet_while_held(draft.snapshot.demand, draft.held))
        return (), let_go(draft, {}, budgets, {})
    choose_outgoing(draft, budgets)
    layout = Layout.of(draft, with_leaving_work(draft))
    fill_minimums(draft, layout)
    left = place_demand(draft, layout)
    housing = house_leaving_work(draft, layout)
    why = send_off(draft, layout, frozenset(housing.housed))
    replacing = consolidate(draft, layout, budgets, housing)
    needed: dict[str, DemandKind] = layout.needed()
    draft.unmet.extend(unmet_by_limits(draft, layout, left))
    making_room = make_room(draft, layout, left, budgets, housing.held)
    why |= let_go(draft, needed, budgets, housing.held, making_room) | replacing
    stop_idle(draft)
    placements = write_launches(draft, layout)
    tend_standby(draft, layout)
    return placements, why


def _finish(draft: Draft, placements: tuple[Placement, ...], why: dict[str, Reason]) -> Plan:
    return Plan(
        launches=tuple(sorted(draft.launches, key=lambda launch: launch.standby is not None)),
        drains=tuple(draft.drains),
        releases=tuple(draft.releases),
        unmet=tuple(draft.unmet),
        kept=kept_hosts(draft, why),
        placements=placements,
        findings=tuple(draft.findings),
        cost=cost(draft),
        claims=_claims(draft),
        backoffs=tuple(draft.backoffs),
        orders=tuple(draft.orders),
        answered=tuple(draft.answered),
        serial=draft.serial,
        ahead=draft.ahead,
        spent=spent_today(draft),
    )


def _claims(draft: Draft) -> tuple[Claim, ...]:
    """Return what the ledger must hold; the claims of this plan's launches are written when somebody looks."""
    known = tuple(c for c in draft.claims.values() if not c.foreign and c.phase is not Phase.FAILED)
    fresh = tuple(draft.fresh)
    if not fresh:
        return known
    return Deferred(lambda: (*known, *(claim for batch in fresh for claim in batch.claims()))).as_tuple()
