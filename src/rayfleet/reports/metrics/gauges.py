"""How a cluster is now, as samples. Pure: TickReport -> samples; done when somebody asks, not at every tick.

What is not known in a report is left out, so that a gap shows as a gap: demand while Ray does not answer, and what a
plan says while there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rayfleet.model import (
    STARTING,
    Backoff,
    Claim,
    DemandKind,
    OfferKey,
    Phase,
    Policy,
    Pool,
    Resources,
    TickReport,
    amount,
)
from rayfleet.planner.orders import effective_policy
from rayfleet.reports import on_demand
from rayfleet.reports.metrics import families as of
from rayfleet.reports.metrics.families import Family
from rayfleet.reports.metrics.samples import Sample, market_of, of_offer
from rayfleet.reports.status_json import current_claims, usage

_SHOWN_PHASES: Final = tuple(phase for phase in Phase if phase is not Phase.FAILED)
_RUNNING: Final = frozenset({Phase.READY, Phase.DRAINING})
_PER_NODE: Final = "node:"
"""Ray gives every node a resource of its own of that name; as labels they would grow without bound."""


def is_decided(report: TickReport) -> bool:
    """Say whether the report holds a plan: a tick that fails, or knows no claims, has none."""
    return not report.error and (report.saved or bool(report.plan.claims or report.plan.actions))


def now_gauges(report: TickReport) -> Iterator[Sample]:
    """Yield what the newest report tells, whether it could plan or not."""
    snapshot = report.snapshot
    yield Sample(of.LAST_TICK, (), snapshot.now)
    yield Sample(of.ENGINE_UP, (), float(snapshot.engine_up))
    yield Sample(of.LEDGER_SAVED, (), float(report.saved))
    yield Sample(of.TICK_FAILED, (), float(bool(report.error)))
    yield Sample(of.TROUBLES, (), len(report.troubles))
    if snapshot.engine_up:
        yield from _demand(report)


def plan_gauges(report: TickReport) -> Iterator[Sample]:
    """Yield what the newest report with a plan tells of machines, offers, limits and money."""
    policy, claims = effective_policy(report.snapshot), current_claims(report)
    pools = (*policy.pools, policy.head) if policy.head else policy.pools
    yield from _nodes(pools, claims)
    yield from _resources(pools, claims, seen=report.snapshot.engine_up)
    if report.snapshot.engine_up:
        yield from _unmet(report)
    yield from _offers(pools, report)
    yield from _limits(policy)
    yield from _money(policy, report, claims)
    yield from _counted(of.ORDERS, Counter((order.kind.value,) for order in report.plan.orders))
    yield from _counted(of.FINDINGS, Counter((finding.reason.code.value,) for finding in report.plan.findings))


# ---- demand ---------------------------------------------------------------------------------------------------------


def _demand(report: TickReport) -> Iterator[Sample]:
    demand = report.snapshot.demand
    for kind, waiting in (
        (DemandKind.TASKS, demand.tasks),
        (DemandKind.GANG, demand.gangs),
        (DemandKind.REQUESTED, demand.requested),
    ):
        yield Sample(of.DEMAND, (kind.value,), sum(each.count for each in waiting))
    for kind, ages in (
        (DemandKind.TASKS, [task.age_s for task in demand.tasks]),
        (DemandKind.GANG, [gang.age_s for gang in demand.gangs]),
    ):
        yield Sample(of.DEMAND_AGE, (kind.value,), max(ages, default=0.0))


def _unmet(report: TickReport) -> Iterator[Sample]:
    counts = Counter[tuple[str, ...]]()
    for unmet in report.plan.unmet:
        counts[unmet.kind.value, unmet.reason.code.value] += unmet.count
    yield from _counted(of.UNMET, counts)


# ---- nodes ----------------------------------------------------------------------------------------------------------


def _nodes(pools: tuple[Pool, ...], claims: tuple[Claim, ...]) -> Iterator[Sample]:
    """Yield machines by phase; those of each pool also where there are none, so that 0 is not taken for silence."""
    nodes = Counter[tuple[str, ...]]()
    for pool in pools:
        for market in dict.fromkeys(offer.market.value for offer in pool.offers):
            nodes.update({(pool.name, market, phase.value): 0 for phase in _SHOWN_PHASES})
    active, pending = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for name in (pool.name for pool in pools):
        active[name,], pending[name,] = 0, 0
    for claim in claims:
        if claim.phase in _SHOWN_PHASES:
            nodes[claim.pool, market_of(claim), claim.phase.value] += claim.count
        active[claim.pool,] += claim.count * (claim.phase in _RUNNING)
        pending[claim.pool,] += claim.count * (claim.phase in STARTING)
    yield from _counted(of.NODES, nodes)
    yield from _counted(of.RAY_ACTIVE, active)
    yield from _counted(of.RAY_PENDING, pending)
    yield Sample(of.RAY_WORKERS, (), sum(c.count for c in claims if c.phase in _RUNNING and not c.head))


def _resources(pools: tuple[Pool, ...], claims: tuple[Claim, ...], *, seen: bool) -> Iterator[Sample]:
    """Yield what nodes have and will have, also of what no node has now. `seen`: Ray has answered: nodes are known."""
    sizes = {pool.name: pool.resources for pool in pools}
    known = {name for size in sizes.values() for name in size}
    booting = Resources()
    for claim in claims:
        if claim.phase in STARTING:
            booting += sizes.get(claim.pool, Resources()).times(claim.count)
    for name in sorted(known):
        yield Sample(of.RAY_PENDING_RESOURCES, (name,), amount(booting.get(name, 0)))
        yield Sample(of.RESOURCES, (name, "booting"), amount(booting.get(name, 0)))
    if not seen:
        return
    all_of = usage(claims)
    for name in sorted({*known, *(name for name in all_of if not name.startswith(_PER_NODE))}):
        used, total = all_of.get(name, (0, 0))
        yield Sample(of.RAY_RESOURCES, (name,), amount(total))
        yield Sample(of.RESOURCES, (name, "used"), amount(used))
        yield Sample(of.RESOURCES, (name, "free"), amount(total - used))


# ---- offers, limits, money ------------------------------------------------------------------------------------------


def _offers(pools: tuple[Pool, ...], report: TickReport) -> Iterator[Sample]:
    now = report.snapshot.now
    standing = [backoff for backoff in report.plan.backoffs if backoff.until > now]
    for pool in pools:
        yield Sample(of.OFFERS, (pool.name,), len(pool.offers))
        held = Counter[tuple[str, ...]]()
        for offer in pool.offers:
            key = offer.key(pool.name)
            if offer.usd_per_hour is not None:
                yield Sample(of.PRICE, of_offer(key), offer.usd_per_hour)
            longest = _longest(standing, key)
            if longest is not None:
                held[pool.name, longest.trouble.value] += 1
                yield Sample(of.BACKOFF, (*of_offer(key), longest.trouble.value), longest.until - now)
        yield from _counted(of.BACKED_OFF, held)


def _longest(standing: list[Backoff], key: OfferKey) -> Backoff | None:
    """Return the back-off that keeps an offer away for longest."""
    hits = [backoff for backoff in standing if backoff.scope.covers(key)]
    return max(hits, key=lambda backoff: backoff.until, default=None)


def _limits(policy: Policy) -> Iterator[Sample]:
    for pool in policy.pools:
        yield Sample(of.POOL_MIN, (pool.name,), pool.min_workers)
        yield from _if_any(of.POOL_MAX, pool.max_workers, pool.name)
    yield from _if_any(of.CLUSTER_MAX, policy.max_workers)


def _money(policy: Policy, report: TickReport, claims: tuple[Claim, ...]) -> Iterator[Sample]:
    cost, spent = report.plan.cost, report.plan.spent
    yield Sample(of.COST, (), cost.after)
    yield Sample(of.ON_DEMAND, (), on_demand.compare(cost, claims, policy).usd_per_hour)
    yield Sample(of.UNPRICED, (), cost.unpriced)
    yield Sample(of.SPENT, (), spent.usd if spent else report.snapshot.spent_today_usd)
    yield from _if_any(of.BUDGET, policy.max_usd_per_hour)
    yield from _if_any(of.DAY_BUDGET, policy.max_usd_per_day)


def _if_any(family: Family, limit: float | None, *labels: str) -> Iterator[Sample]:
    if limit is not None:
        yield Sample(family, labels, limit)


def _counted(family: Family, counts: Counter[tuple[str, ...]]) -> Iterator[Sample]:
    return (Sample(family, labels, value) for labels, value in counts.items())
