"""What the world looks like when a plan has come true, as the next snapshot. For tests that plan more than once."""

from __future__ import annotations

from dataclasses import replace

from rayfleet.model import (
    LEAVING,
    STARTING,
    Claim,
    Demand,
    DemandKind,
    FrozenMap,
    Host,
    Phase,
    Plan,
    ReleaseMode,
    RequestedDemand,
    Resources,
    Snapshot,
    TaskDemand,
)
from rayfleet.planner.draft import Draft
from rayfleet.planner.quotas import Owners


def carried_out(snapshot: Snapshot, plan: Plan, *, later_s: float = 0.0, restarted: bool = False) -> Snapshot:
    """Return the snapshot after `plan`: machines are up, placed work runs, what left is gone.

    Requested resources still stand, as do gangs and tasks that were unmet. `restarted`: work on machines that left
    waits again, a piece per host. Owners of quotas use what they used and what was placed for them.
    """
    loads = _loads(snapshot, plan)
    new = [host.id for launch in plan.launches for name in launch.claims for host in _hosts(plan, name)]
    names = {f"new:{number}": host for number, host in enumerate(new)}
    used = {names.get(on, on): load for on, load in loads.items()}
    staying = [claim for claim in plan.claims if claim.phase not in LEAVING or _stops(claim)]
    foreign = [claim for claim in snapshot.claims if claim.foreign]
    now = snapshot.now + later_s
    return replace(
        snapshot,
        now=now,
        claims=tuple(_up(claim, used, now) for claim in (*staying, *foreign)),
        demand=_with_lost_work(_left(snapshot, plan), plan) if restarted else _left(snapshot, plan),
        backoffs=plan.backoffs,
        orders=plan.orders,
        usage=_usage(snapshot, plan),
        outcomes=(),
        strays=(),
        serial=plan.serial,
    )


def _stops(claim: Claim) -> bool:
    return claim.drain is not None and claim.drain.mode is ReleaseMode.STOP


def _hosts(plan: Plan, name: str) -> tuple[Host, ...]:
    return next(claim.hosts for claim in plan.claims if claim.id == name)


def _up(claim: Claim, used: dict[str, Resources], now: float) -> Claim:
    hosts = tuple(_working(host, used.get(host.id)) for host in claim.hosts)
    if claim.phase in STARTING:
        return replace(claim, phase=Phase.READY, since=now, accepted=True, hosts=hosts, reuse=False)
    if _stops(claim):
        return replace(claim, phase=Phase.STANDBY, since=now, hosts=hosts, drain=None, standby=True, usd_per_hour=0.0)
    if claim.phase is Phase.STANDBY:
        return replace(claim, accepted=True)
    return replace(claim, hosts=hosts)


def _working(host: Host, load: Resources | None) -> Host:
    if load is None:
        return host
    return replace(host, used=host.used + load, idle_s=0.0)


def _loads(snapshot: Snapshot, plan: Plan) -> dict[str, Resources]:
    """Return what tasks and gangs of this plan use, by host."""
    loads: dict[str, Resources] = {}
    demand = snapshot.demand
    for placement in plan.placements:
        if placement.kind in {DemandKind.REQUESTED, DemandKind.BUFFER}:
            continue
        shape = demand.tasks[placement.index].shape if placement.kind is DemandKind.TASKS else None
        if shape is None:
            shape = demand.gangs[placement.index].bundles[placement.bundle or 0].shape
        loads[placement.on] = loads.get(placement.on, Resources()) + shape.times(placement.count)
    return loads


def _usage(snapshot: Snapshot, plan: Plan) -> FrozenMap[Resources]:
    """Return what the owners of quotas use now: machines without the label of their work do not show it."""
    owners = Owners.of(Draft(snapshot, snapshot.policy, {claim.id: claim for claim in snapshot.claims}))
    for placement in plan.placements:
        if placement.kind is DemandKind.TASKS:
            task = snapshot.demand.tasks[placement.index]
            owner, shape = owners.of_work(task.labels, task.selectors), task.shape
        elif placement.kind is DemandKind.GANG:
            gang = snapshot.demand.gangs[placement.index]
            owner, shape = owners.of_gang(gang), gang.bundles[placement.bundle or 0].shape
        else:
            continue
        owner.used = owner.used + shape.times(placement.count)
    return FrozenMap({owner.quota.owner: owner.used for owner in owners.owners if owner.quota})


def _with_lost_work(demand: Demand, plan: Plan) -> Demand:
    lost = [host.used for claim in plan.claims if claim.phase in LEAVING for host in claim.hosts if host.used]
    return replace(demand, tasks=(*demand.tasks, *(TaskDemand(used) for used in lost)))


def _left(snapshot: Snapshot, plan: Plan) -> Demand:
    missing = {(unmet.kind, unmet.index): unmet.count for unmet in plan.unmet}
    demand = snapshot.demand
    requested: tuple[RequestedDemand, ...] = demand.requested
    return Demand(
        tasks=tuple(
            replace(task, count=missing[DemandKind.TASKS, index])
            for index, task in enumerate(demand.tasks)
            if (DemandKind.TASKS, index) in missing
        ),
        gangs=tuple(
            replace(gang, count=missing[DemandKind.GANG, index])
            for index, gang in enumerate(demand.gangs)
            if (DemandKind.GANG, index) in missing
        ),
        requested=requested,
    )
