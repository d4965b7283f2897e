"""What must hold of every plan, checked against its snapshot without trusting the planner.

Cheap enough to run in production: one pass over claims, actions and placements.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from rayfleet.model import (
    CAPACITY,
    EXISTING,
    LEAVING,
    NO_LABELS,
    OBJECT_STORE,
    UNITS,
    Claim,
    DemandKind,
    DrainNodes,
    Finding,
    Host,
    Labels,
    Launch,
    Phase,
    Placement,
    Plan,
    Policy,
    ReasonCode,
    Resources,
    Selectors,
    Snapshot,
    Strategy,
    offer_labels,
    reason,
)
from rayfleet.planner.budgets import CODES, disruption_of, in_force
from rayfleet.planner.capacity import IMPLICIT_UNIT_PREFIX, INTERNAL_HEAD
from rayfleet.planner.draft import VOLUNTARY
from rayfleet.planner.orders import effective_policy
from rayfleet.planner.outgoing import RESTARTABLE_LABEL
from rayfleet.planner.pace import FIRST_TO_LEAVE
from rayfleet.planner.spending import DAY_S, HOUR_S
from rayfleet.planner.standby_rules import standby_rules, standby_usd

Broken = Iterator[tuple[str, str, str]]
"""(subject, rule, what is wrong)."""

TINY_USD = 1e-6
"""Sums of prices carry rounding errors."""
_IDLE = frozenset({ReasonCode.IDLE, ReasonCode.MAKES_ROOM})
_UNASKED = VOLUNTARY | {ReasonCode.UNNEEDED}


def check(snapshot: Snapshot, plan: Plan) -> tuple[Finding, ...]:
    """Return a finding for every rule that the plan breaks; none for a sound plan."""
    policy = effective_policy(snapshot)
    rules = (
        _records(snapshot, plan),
        _departures(snapshot, plan),
        _limits(policy, plan),
        _spending(policy, snapshot, plan),
        _rate(policy, snapshot, plan),
        _minimums(policy, plan),
        _budgets(policy, snapshot, plan),
        _pace(policy, plan),
        _restarts(policy, snapshot, plan),
        standby_rules(policy, snapshot, plan),
    )
    placements = (
        _demand_adds_up(snapshot, plan),
        _hosts_hold(snapshot, plan),
        _labels_hold(snapshot, plan),
        _strict_gangs(snapshot, plan),
        _alike_gangs(snapshot, plan),
    )
    broken = [hit for rule in (*rules, *placements) for hit in rule]
    return tuple(
        Finding(subject, reason(ReasonCode.BROKEN_INVARIANT, rule=rule, what=what)) for subject, rule, what in broken
    )


def _records(snapshot: Snapshot, plan: Plan) -> Broken:
    """Everything that is launched is written down, once, and every machine is counted."""
    claims = {claim.id: claim for claim in plan.claims}
    before = {claim.id for claim in snapshot.claims}
    if len(claims) != len(plan.claims):
        yield "claims", "ids are unique", "a claim is written twice"
    if plan.serial < snapshot.serial:
        yield "serial", "never falls", f"{plan.serial} after {snapshot.serial}"
    launched: Counter[str] = Counter()
    for launch in plan.launches:
        launched.update(launch.claims)
        known = [] if launch.again else [name for name in launch.claims if name in before]
        if known:
            yield launch.batch, "new machines get new names", f"{known} exist"
        unwritten = [name for name in launch.claims if name not in claims]
        if unwritten:
            yield launch.batch, "claims are saved before they are launched", f"{unwritten} are not"
        elif launch.count != sum(claims[name].count for name in launch.claims):
            yield launch.batch, "launches count machines", f"{launch.count} is not what its claims add up to"
    for name, count in launched.items():
        if count > 1:
            yield name, "a claim is launched once", f"it is in {count} launches"


def _departures(snapshot: Snapshot, plan: Plan) -> Broken:
    """Nothing leaves that is not ours, in use without need, or the head."""
    leaving = _reasons(plan)
    before = {claim.id: claim for claim in snapshot.claims} if leaving else {}
    for name, code in leaving:
        claim = before.get(name)
        if claim is None:
            continue
        if claim.foreign:
            yield name, "machines joined by hand stay", f"it leaves: {code}"
        if claim.head and code in {*_UNASKED, ReasonCode.OVER_MAX, ReasonCode.OVER_BUDGET} and _only_head(before):
            yield name, "the head stays", f"it leaves: {code}"
        if code in _IDLE and any(host.used for host in claim.hosts):
            yield name, "what is in use is not released for being idle", f"it leaves: {code}"
        if code in _UNASKED and not snapshot.engine_up:
            yield name, "nothing voluntary while the engine is down", f"it leaves: {code}"
    for name in {name for name, code in leaving if code in _UNASKED}:
        if name in _placed_on(snapshot, plan):
            yield name, "what demand is placed on stays", "it leaves"


def _restarts(policy: Policy, snapshot: Snapshot, plan: Plan) -> Broken:
    """What is in use leaves voluntarily only where its work may be restarted."""
    before = {claim.id: claim for claim in snapshot.claims} if plan.drains else {}
    pools = {pool.name: pool for pool in policy.pools}
    for drain in plan.drains:
        claim = before.get(drain.claim)
        if claim is None or drain.reason.code not in VOLUNTARY or claim.phase in LEAVING:
            continue
        pool = pools.get(claim.pool)
        label = pool.labels.get(RESTARTABLE_LABEL) if pool else None
        allowed = label == "true" if label else bool(pool and pool.restartable)
        for host in claim.hosts:
            ended = _says(host, allowed=allowed) or _grace_is_given(policy, claim, drain, snapshot.now)
            if host.used and not (drain.voluntary is False and ended):
                yield drain.claim, "what is in use leaves voluntarily only when its work is restartable", host.id
            if host.do_not_disrupt:
                yield drain.claim, "what is labelled do-not-disrupt is not disrupted", host.id


def _grace_is_given(policy: Policy, claim: Claim, drain: DrainNodes, now: float) -> bool:
    """Say whether a claim is past its age, and its work has had or gets the grace that the policy gives."""
    pool = policy.pool(claim.pool)
    ages = [policy.max_age_s if pool is None or pool.max_age_s is None else pool.max_age_s]
    ages.append(policy.max_age_grace_s if pool is None or pool.max_age_grace_s is None else pool.max_age_grace_s)
    most_s, grace_s = ages
    if drain.reason.code is not ReasonCode.EXPIRED or most_s is None or grace_s is None:
        return False
    return now >= claim.created + most_s and drain.deadline >= claim.created + most_s + grace_s


def _says(host: Host, *, allowed: bool) -> bool:
    label = host.labels.get(RESTARTABLE_LABEL)
    return allowed if label is None else label == "true"


def _reasons(plan: Plan) -> list[tuple[str, ReasonCode]]:
    """Return claim and reason of everything that leaves."""
    drains = [(drain.claim, drain.reason.code) for drain in plan.drains]
    return drains + [(release.claim, release.reason.code) for release in plan.releases]


def _only_head(claims: dict[str, Claim]) -> bool:
    return sum(claim.head for claim in claims.values()) == 1


def _placed_on(snapshot: Snapshot, plan: Plan) -> set[str]:
    claim_of = {host.id: claim.id for claim in snapshot.claims for host in claim.hosts}
    return {claim_of[placement.on] for placement in plan.placements if placement.on in claim_of}


# ---- limits ----------------------------------------------------------------------------------------------------------


def _limits(policy: Policy, plan: Plan) -> Broken:
    """A plan that launches leaves no limit exceeded."""
    heads = {claim.id for claim in plan.claims if claim.head} if plan.launches else set()
    new = [launch for launch in plan.launches if not launch.again and not heads.intersection(launch.claims)]
    if not new:
        return
    hosts: Counter[str] = Counter()
    for claim in plan.claims:
        if claim.phase in EXISTING and not claim.head and not claim.standby:
            hosts[claim.pool] += claim.count
    for name in sorted({launch.offer.pool for launch in new}):
        pool = next((pool for pool in policy.pools if pool.name == name), None)
        if pool is None:
            yield name, "only pools are launched", "there is no such pool"
        elif pool.max_workers is not None and hosts[name] > pool.max_workers:
            yield name, "pool maximum", f"{hosts[name]} of {pool.max_workers}"
    total = sum(hosts.values())
    if policy.max_workers is not None and total > policy.max_workers:
        yield "cluster", "cluster maximum", f"{total} of {policy.max_workers}"
    most = policy.max_usd_per_hour
    working_usd = plan.cost.after - standby_usd(plan) if most is not None else 0.0
    if most is not None and working_usd > most + 1e-6 and any(_priced(plan, launch.claims) for launch in new):
        yield "cluster", "budget", f"{plan.cost.after} of {most} USD per hour"
    yield from _resource_limits(policy, plan, new)


def _resource_limits(policy: Policy, plan: Plan, new: list[Launch]) -> Broken:
    """No resource of which more is launched is beyond its limit."""
    pools = {pool.name: pool.resources for pool in policy.pools}
    launched = {name for launch in new for name in pools.get(launch.offer.pool, Resources())}
    for name, most in policy.max_resources.items():
        have = 0
        for claim in plan.claims:
            if claim.phase in EXISTING and not claim.head and not claim.standby:
                of_pool = pools.get(claim.pool, Resources())
                have += sum((of_pool if h.total is None else h.total).get(name, 0) for h in claim.hosts)
        if name in launched and have > most:
            yield "cluster", "resource maximum", f"{have} of {most} units of {name}"


def _spending(policy: Policy, snapshot: Snapshot, plan: Plan) -> Broken:
    """Machines with a price are launched only when today's money is enough for all that runs, until midnight."""
    most, spent = policy.max_usd_per_day, plan.spent
    if spent is None or spent.usd < 0 or spent.at != snapshot.now:
        yield "cluster", "spending is told", f"{spent} at {snapshot.now}"
        return
    heads = {claim.id for claim in plan.claims if claim.head}
    new = [launch for launch in plan.launches if not launch.again and not heads.intersection(launch.claims)]
    hours = (DAY_S - snapshot.now % DAY_S) / HOUR_S
    if most is None or not any(_priced(plan, launch.claims) for launch in new):
        return
    if spent.usd + (plan.cost.after - standby_usd(plan)) * hours > most + TINY_USD:
        yield "cluster", "budget of the day", f"{spent.usd} + {plan.cost.after} USD per hour of {most}"


def _rate(policy: Policy, snapshot: Snapshot, plan: Plan) -> Broken:
    """Not more is launched within a minute than allowed; one gang may be larger."""
    most = policy.max_launches_per_min
    if most is None or snapshot.demand.gangs:
        return
    heads = {claim.id for claim in plan.claims if claim.head}
    new = [launch for launch in plan.launches if not launch.again and not heads.intersection(launch.claims)]
    count = sum(launch.count for launch in new)
    if count > max(0, most - snapshot.launched_last_min):
        yield "cluster", "launches per minute", f"{snapshot.launched_last_min} + {count} of {most}"


def _priced(plan: Plan, names: tuple[str, ...]) -> bool:
    return any(claim.usd_per_hour for claim in plan.claims if claim.id in names)


def _minimums(policy: Policy, plan: Plan) -> Broken:
    """What leaves for not being needed leaves every pool its minimum."""
    unasked = {name for name, code in _reasons(plan) if code in {*_IDLE, ReasonCode.UNNEEDED}}
    if not unasked:
        return
    ours = [
        claim for claim in plan.claims if not claim.head and (not claim.drifted or policy.disruption_budgets)
    ]  # outdated ones hold no minimum
    pools = {claim.pool for claim in ours if claim.id in unasked}
    for pool in policy.pools:
        if pool.name not in pools:
            continue
        stay = sum(claim.count for claim in ours if claim.pool == pool.name and claim.phase in CAPACITY)
        if stay < pool.min_workers:
            yield pool.name, "idle and unneeded machines leave the minimum", f"{stay} of {pool.min_workers}"


def _budgets(policy: Policy, snapshot: Snapshot, plan: Plan) -> Broken:
    """What starts to leave voluntarily leaves every disruption budget that holds now unbroken."""
    starting = {drain.claim: CODES.get(drain.reason.code) for drain in plan.drains}
    ours = [claim for claim in plan.claims if not claim.head and not claim.foreign]
    for budget in in_force(policy.disruption_budgets, snapshot.now):
        known = [claim for claim in ours if budget.pool in ("", claim.pool)]
        away = [c for c in known if (why := disruption_of(c)) and budget.applies(why, c.pool)]
        begun = [c for c in away if (why := starting.get(c.id)) and budget.applies(why, c.pool)]
        gone = sum(claim.count for claim in known if disruption_of(claim))
        machines = gone + sum(claim.count for claim in known if claim.phase is Phase.READY)
        leaving = sum(claim.count for claim in away)
        if begun and leaving > budget.allowed(machines):
            yield "cluster", "disruption budgets", f"{leaving} of {machines} leave, {budget.nodes_text} may"


def _pace(policy: Policy, plan: Plan) -> Broken:
    """What starts to leave voluntarily keeps the downscaling speed; what is cancelled on its way does not count."""
    speed = policy.downscaling_speed
    begun = {drain.claim for drain in plan.drains if drain.reason.code in VOLUNTARY}
    cancelled = {release.claim for release in plan.releases if release.reason.code is ReasonCode.UNNEEDED}
    ours = [c for c in plan.claims if not c.head and not c.foreign and c.id not in cancelled]
    for pool in policy.pools if speed is not None else ():
        mine = [claim for claim in ours if claim.pool == pool.name]
        now = sum(claim.count for claim in mine if claim.id in begun)
        away = sum(claim.count for claim in mine if claim.phase in LEAVING)
        ready = now + sum(claim.count for claim in mine if claim.phase is Phase.READY)
        most = max(FIRST_TO_LEAVE, math.ceil((speed or 0.0) * ready), pool.hosts_per_replica if away == now else 0)
        if now and away > most:
            yield pool.name, "downscaling speed", f"{away} leave, {most} may"


# ---- placements ------------------------------------------------------------------------------------------------------


def _demand_adds_up(snapshot: Snapshot, plan: Plan) -> Broken:
    """Every piece of demand is placed once or reported as unmet; a gang as a whole."""
    if not snapshot.engine_up:
        return
    placed: Counter[tuple[DemandKind, int, int | None]] = Counter()
    for placement in plan.placements:
        placed[placement.kind, placement.index, placement.bundle] += placement.count
    unmet = {(u.kind, u.index): u.count for u in plan.unmet}
    demand = snapshot.demand
    wanted = {(DemandKind.TASKS, index): task.count for index, task in enumerate(demand.tasks)}
    wanted |= {(DemandKind.REQUESTED, index): asked.count for index, asked in enumerate(demand.requested)}
    wanted |= {(DemandKind.BUFFER, index): ahead.count for index, ahead in enumerate(plan.ahead)}
    for (kind, index), count in wanted.items():
        have = placed[kind, index, None] + unmet.get((kind, index), 0)
        if have != max(0, count):
            yield f"{kind.value} {index}", "demand is placed or unmet", f"{have} of {count}"
    for index, gang in enumerate(demand.gangs):
        missing = gang.count - unmet.get((DemandKind.GANG, index), 0)
        for bundle in range(len(gang.bundles)):
            have = placed[DemandKind.GANG, index, bundle]
            if str(bundle) not in gang.placed and have != missing:
                yield f"gang {index}", "a gang is placed whole", f"bundle {bundle}: {have} of {missing}"


def _hosts_hold(snapshot: Snapshot, plan: Plan) -> Broken:
    """No host takes more than it has; requested resources count against totals."""
    hosts = _room_of_hosts(snapshot, plan) if plan.placements else {}
    for whole in (False, True):
        sums: dict[str, Counter[str]] = {}
        for placement in plan.placements:
            if (placement.kind is DemandKind.REQUESTED) is whole:
                load = sums.setdefault(placement.on, Counter())
                for name, units in _shape(snapshot, plan, placement).items():
                    load[name] += units * placement.count
        for host, load in sums.items():
            if host not in hosts:
                yield host, "demand is placed on hosts that exist", "there is no such host"
                continue
            total, used = hosts[host]
            for name, units in load.items():
                have = _have(name, total) - (0 if whole else used.get(name, 0))
                if units > have:
                    yield host, "a host holds what is placed on it", f"{units} of {have} units of {name}"


def _have(name: str, total: Resources) -> int:
    if name in total:
        return total[name]
    if name.startswith(IMPLICIT_UNIT_PREFIX) or name == INTERNAL_HEAD:
        return UNITS
    return 2**62 if name == OBJECT_STORE else 0


def _room_of_hosts(snapshot: Snapshot, plan: Plan) -> dict[str, tuple[Resources, Resources]]:
    """Return what every host has and uses, those of this plan's launches too."""
    policy = snapshot.policy
    pools = {pool.name: pool.resources for pool in policy.pools}
    of_head = policy.head.resources if policy.head else None
    hosts: dict[str, tuple[Resources, Resources]] = {}
    for claim in snapshot.claims:
        typical = of_head if claim.head and of_head is not None else pools.get(claim.pool, Resources())
        hosts.update({host.id: (typical if host.total is None else host.total, host.used) for host in claim.hosts})
    for claim in plan.claims:
        if claim.hosts[0].id not in hosts:  # adopted in this plan
            hosts.update({host.id: (pools.get(claim.pool, Resources()), host.used) for host in claim.hosts})
    number = 0
    for launch in plan.launches:
        for _ in range(launch.count):
            hosts[f"new:{number}"] = (pools.get(launch.offer.pool, Resources()), Resources())
            number += 1
    return hosts


def _shape(snapshot: Snapshot, plan: Plan, placement: Placement) -> Resources:
    demand = snapshot.demand
    match placement.kind:
        case DemandKind.TASKS:
            return demand.tasks[placement.index].shape
        case DemandKind.BUFFER:
            return plan.ahead[placement.index].shape
        case DemandKind.REQUESTED:
            return demand.requested[placement.index].shape
        case DemandKind.GANG:
            return demand.gangs[placement.index].bundles[placement.bundle or 0].shape


def _labels_hold(snapshot: Snapshot, plan: Plan) -> Broken:
    """Nothing is placed where none of its label selectors holds."""
    chosen = [(placement, _selectors(snapshot, plan, placement)) for placement in plan.placements]
    chosen = [(placement, selectors) for placement, selectors in chosen if selectors]
    labels = _labels_of_hosts(snapshot, plan) if chosen else {}
    for placement, selectors in chosen:
        have = labels.get(placement.on, NO_LABELS)
        if not any(selector.holds(have) for selector in selectors):
            yield placement.on, "a host has the labels that are asked for", f"{placement.kind.value} {placement.index}"


def _selectors(snapshot: Snapshot, plan: Plan, placement: Placement) -> Selectors:
    demand = snapshot.demand
    match placement.kind:
        case DemandKind.TASKS:
            return demand.tasks[placement.index].selectors
        case DemandKind.BUFFER:
            return plan.ahead[placement.index].selectors
        case DemandKind.REQUESTED:
            return demand.requested[placement.index].selectors
        case DemandKind.GANG:
            return demand.gangs[placement.index].bundles[placement.bundle or 0].selectors


def _labels_of_hosts(snapshot: Snapshot, plan: Plan) -> dict[str, Labels]:
    policy = snapshot.policy
    labels: dict[str, Labels] = {}
    for claim in (*plan.claims, *snapshot.claims):
        pool = policy.head if claim.head and policy.head else policy.pool(claim.pool)
        known = NO_LABELS if claim.foreign else offer_labels(pool, claim.offer)
        labels.update({host.id: known.merged(host.labels) for host in claim.hosts})
    number = 0
    for launch in plan.launches:
        known = offer_labels(policy.pool(launch.offer.pool), launch.offer)
        labels.update({f"new:{number + n}": known for n in range(launch.count)})
        number += launch.count
    return labels


def _alike_gangs(snapshot: Snapshot, plan: Plan) -> Broken:
    """The machines of a gang agree on the label that it names, as far as a count of one tells."""
    unmet = {u.index: u.count for u in plan.unmet if u.kind is DemandKind.GANG}
    single = {
        index: key
        for index, gang in enumerate(snapshot.demand.gangs)
        if (key := gang.same_label or snapshot.policy.gangs_same_label) and gang.count - unmet.get(index, 0) == 1
    }
    labels = _labels_of_hosts(snapshot, plan) if single else {}
    for index, key in single.items():
        hosts = {p.on for p in plan.placements if p.kind is DemandKind.GANG and p.index == index}
        values = {labels.get(host, NO_LABELS).get(key) for host in hosts}
        if len(values) > 1:
            yield f"gang {index}", "machines of a gang agree on a label", f"{key}: {sorted(map(str, values))}"


def _strict_gangs(snapshot: Snapshot, plan: Plan) -> Broken:
    """STRICT_PACK shares a host, STRICT_SPREAD never does, as far as counts of equal gangs tell."""
    loads: dict[tuple[int, str], dict[int, int]] = {}
    for placement in plan.placements:
        if placement.kind is DemandKind.GANG:
            loads.setdefault((placement.index, placement.on), {})[placement.bundle or 0] = placement.count
    unmet = {u.index: u.count for u in plan.unmet if u.kind is DemandKind.GANG}
    for (index, host), load in loads.items():
        gang = snapshot.demand.gangs[index]
        if gang.strategy is Strategy.STRICT_PACK:
            whole = len(load) == len(gang.bundles) - len(gang.placed) and len({*load.values()}) == 1
            if not whole:
                yield f"gang {index}", "STRICT_PACK shares a host", f"{load} on {host}"
        elif gang.strategy is Strategy.STRICT_SPREAD and sum(load.values()) > gang.count - unmet.get(index, 0):
            yield f"gang {index}", "STRICT_SPREAD shares no host", f"{load} on {host}"
