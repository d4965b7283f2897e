"""Step 15: for all demand without a place: why, and for every pool why it does not take it."""

from __future__ import annotations

from collections.abc import Sequence

from rayfleet.model import (
    ANYWHERE,
    OBJECT_STORE,
    UNITS,
    Ahead,
    Bundle,
    Demand,
    DemandKind,
    Gang,
    Pool,
    PoolVerdict,
    Reason,
    ReasonCode,
    RequestedDemand,
    Resources,
    Selectors,
    Strategy,
    TaskDemand,
    Unmet,
    amount,
    offer_labels,
    reason,
)
from rayfleet.planner import backoffs
from rayfleet.planner.capacity import IMPLICIT_UNIT_PREFIX, PLENTY
from rayfleet.planner.draft import Draft
from rayfleet.planner.gangs import Missing
from rayfleet.planner.layout import Layout
from rayfleet.planner.market import by_price
from rayfleet.planner.minimums import backed_off
from rayfleet.planner.needs import Leftover
from rayfleet.planner.sparing import spared
from rayfleet.planner.weights import has_accelerator
from rayfleet.planner.work import Item

NEVER = frozenset({ReasonCode.TOO_SMALL, ReasonCode.LABELS_DIFFER})
"""Verdicts that no waiting and no higher limit changes."""

_URGENCY = (
    ReasonCode.MAX_WORKERS,
    ReasonCode.BUDGET,
    ReasonCode.DAY_BUDGET,
    ReasonCode.MAX_RESOURCES,
    ReasonCode.UPSCALING_SPEED,
    ReasonCode.LAUNCH_RATE,
    ReasonCode.BACKED_OFF,
    ReasonCode.POOL_MAX_WORKERS,
)
"""Which limit is named first when several pools are kept away by different ones: what would help most."""


def unmet_by_limits(draft: Draft, layout: Layout, left: Leftover) -> list[Unmet]:
    """Return all demand that this plan does not serve, in the order of its lists."""
    found: list[Unmet] = []
    demand = draft.snapshot.demand
    for kind, pieces in (
        (DemandKind.REQUESTED, left.requested),
        (DemandKind.TASKS, left.tasks),
        (DemandKind.BUFFER, left.ahead),
    ):
        for piece in pieces:
            found.extend(_of_item(draft, layout, kind, piece))
    for missing in left.gangs:
        found.extend(_of_gang(draft, layout, demand, missing))
    order = {DemandKind.GANG: 0, DemandKind.REQUESTED: 1, DemandKind.TASKS: 2, DemandKind.BUFFER: 3}
    return sorted(found, key=lambda u: (order[u.kind], u.index))


def unmet_while_held(demand: Demand, why: Reason) -> list[Unmet]:
    """Return all demand as unmet for one reason."""
    found = [Unmet(DemandKind.GANG, n, gang, gang.count, why) for n, gang in enumerate(demand.gangs) if gang.count]
    found += [Unmet(DemandKind.REQUESTED, n, r, r.count, why) for n, r in enumerate(demand.requested) if r.count]
    found += [Unmet(DemandKind.TASKS, n, t, t.count, why) for n, t in enumerate(demand.tasks) if t.count]
    return found


def _of_item(draft: Draft, layout: Layout, kind: DemandKind, piece: Item) -> list[Unmet]:
    waiting = [source for source in piece.sources if source.left]
    if not waiting:
        return []
    selectors = () if piece.selectors == (ANYWHERE,) else piece.selectors
    verdicts = _verdicts(draft, layout, Bundle(piece.shape, selectors), hosts=0)
    why = _main(verdicts, piece.shape)
    if piece.held and len(verdicts) < len(draft.policy.pools):
        why = piece.held  # there is a pool that would take it
    elif piece.shared:
        why = why.because(piece.shared)
    return [Unmet(kind, s.index, _listed(draft, kind)[s.index], s.left, why, verdicts) for s in waiting]


def _listed(draft: Draft, kind: DemandKind) -> Sequence[TaskDemand | RequestedDemand | Ahead]:
    if kind is DemandKind.BUFFER:
        return draft.ahead
    return draft.snapshot.demand.requested if kind is DemandKind.REQUESTED else draft.snapshot.demand.tasks


def _of_gang(draft: Draft, layout: Layout, demand: Demand, missing: Missing) -> list[Unmet]:
    gang = demand.gangs[next(iter(missing.waiting))]
    bundle = _hardest(draft, layout, gang)
    verdicts = _verdicts(draft, layout, bundle, hosts=missing.needed)
    if missing.held:
        why = missing.held
    elif missing.machines is None and missing.apart:
        why = reason(ReasonCode.GANG_APART, label=missing.apart)
    elif missing.machines is None:
        why = _main(tuple(v for v in verdicts if _waits(v.reason)), bundle.shape)
    else:
        why = reason(ReasonCode.GANG_TOO_WIDE, bundles=len(gang.bundles), missing=missing.machines)
        limit = next((v.reason for v in _by_urgency(verdicts)), None)
        why = why.because(limit) if limit else why
    return [Unmet(DemandKind.GANG, n, demand.gangs[n], c, why, verdicts) for n, c in missing.waiting.items() if c]


def _waits(verdict: Reason) -> bool:
    """Say whether a pool may take it once its offers are asked again; no higher limit is what it lacks."""
    return ReasonCode.BACKED_OFF in {verdict.code, *(link.code for link in verdict.chain)}


def _hardest(draft: Draft, layout: Layout, gang: Gang) -> Bundle:
    """Return the part of a gang that fewest pools can take: the sum for STRICT_PACK, else the first such bundle."""
    loose = [bundle for number, bundle in enumerate(gang.bundles) if str(number) not in gang.placed]
    if gang.strategy is Strategy.STRICT_PACK:
        total = Resources()
        for bundle in loose:
            total = total + bundle.shape
        return Bundle(total, loose[0].selectors if loose else ())

    def takers(bundle: Bundle) -> int:
        verdicts = _verdicts(draft, layout, bundle, hosts=1)
        return sum(verdict.reason.code not in NEVER for verdict in verdicts) - len(verdicts)

    distinct = list(dict.fromkeys(loose))
    return min(distinct, key=takers, default=Bundle(Resources()))


# ---- verdicts -------------------------------------------------------------------------------------------------------


def _verdicts(draft: Draft, layout: Layout, piece: Bundle, *, hosts: int) -> tuple[PoolVerdict, ...]:
    """Return why each pool does not take a piece. `hosts`: so many new ones a gang needs; 0 for other demand."""
    found = []
    for pool in draft.policy.pools:
        verdict = too_small(layout, pool, piece.shape) or labels_differ(pool, piece.selectors)
        verdict = verdict or _no_room(draft, layout, pool, hosts=hosts)
        if verdict is None and has_accelerator(pool.resources):
            verdict = spared(draft, layout.room, piece.shape, piece.selectors)
        if verdict is not None:
            found.append(PoolVerdict(pool.name, verdict))
    return tuple(found)


def machine_has(layout: Layout, pool: Pool, name: str) -> int:
    """Return how many units of a resource a new machine of a pool is taken to have."""
    if name == OBJECT_STORE and name not in pool.resources:
        return _object_store(layout, pool)
    return pool.resources.get(name, UNITS if name.startswith(IMPLICIT_UNIT_PREFIX) else 0)


def too_small(layout: Layout, pool: Pool, shape: Resources) -> Reason | None:
    """Return what a machine of a pool has too little of for a shape; None when it would fit."""
    for name, units in shape.items():
        have = machine_has(layout, pool, name)
        if units > have:
            return reason(ReasonCode.TOO_SMALL, resource=name, have=amount(have), need=amount(units))
    return None


def _object_store(layout: Layout, pool: Pool) -> int:
    """Return what a pool that does not say is taken to have."""
    row = layout.terms.names.index(OBJECT_STORE)
    return next((variant.offers[row] for variant in layout.variants if variant.pool.name == pool.name), PLENTY)


def labels_differ(pool: Pool, selectors: Selectors) -> Reason | None:
    """Return that no offer of a pool has labels that any of the selectors means; None when one has."""
    if not selectors:
        return None
    labels = [offer_labels(pool, offer.key(pool.name)) for offer in pool.offers]
    if any(selector.holds(of_offer) for selector in selectors for of_offer in labels):
        return None
    return reason(ReasonCode.LABELS_DIFFER, selector=" or ".join(str(selector) for selector in selectors))


def _no_room(draft: Draft, layout: Layout, pool: Pool, *, hosts: int) -> Reason | None:
    waits = backed_off(draft, pool)
    price = _price(draft, pool)
    hits = layout.room.blockers(draft, pool, price, hurried=hosts > 0, hosts=max(1, hosts))
    if waits is not None:
        hits.append(waits)
    if not hits:
        return None
    first = hits[0]
    for other in hits[1:]:
        first = first.because(other)
    return first


def _price(draft: Draft, pool: Pool) -> float | None:
    """Return the price of the cheapest offer that may be asked now, else of the cheapest."""
    known = by_price(pool)
    free = [offer for offer in known if backoffs.active(draft, offer.key(pool.name)) is None]
    return (free or known)[0].usd_per_hour


def _by_urgency(verdicts: tuple[PoolVerdict, ...]) -> list[PoolVerdict]:
    limits = [verdict for verdict in verdicts if verdict.reason.code in _URGENCY]
    return sorted(limits, key=lambda verdict: _URGENCY.index(verdict.reason.code))


def _main(verdicts: tuple[PoolVerdict, ...], shape: Resources) -> Reason:
    limits = _by_urgency(verdicts)
    if not limits:
        return reason(ReasonCode.NO_POOL_FITS, shape=str(shape))
    why = limits[0].reason
    named = {why.code, *(link.code for link in why.chain)}
    for verdict in limits[1:]:
        if verdict.reason.code not in named:
            named.add(verdict.reason.code)
            why = why.because(verdict.reason)
    return why
