"""What must hold of machines on standby in every plan; part of `invariants.check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rayfleet.model import (
    STARTING,
    Claim,
    Launch,
    MachineFact,
    OfferKey,
    Phase,
    Plan,
    Policy,
    ReasonCode,
    ReleaseMode,
    Snapshot,
)

Broken = Iterator[tuple[str, str, str]]
STOPPABLE: Final = frozenset({ReasonCode.IDLE, ReasonCode.MAKES_ROOM})
"""Why idle machines leave that may as well wait: nothing is wrong with them, and what waits counts in no maximum."""


def standby_usd(plan: Plan) -> float:
    """Return what waiting machines cost, and those that were: work has the money before them."""
    return sum((claim.usd_per_hour or 0.0) * claim.count for claim in plan.claims if claim.standby)


def standby_rules(policy: Policy, snapshot: Snapshot, plan: Plan) -> Broken:
    """Yield every rule of standby machines that a plan breaks."""
    before = {claim.id: claim for claim in snapshot.claims if claim.phase is Phase.STANDBY}
    if not before and not any(pool.standby for pool in policy.pools):
        return
    yield from _starts(before, plan)
    yield from _works(before, plan)
    yield from _fills(policy, plan)
    yield from _stops(policy, plan)


def _starts(before: dict[str, Claim], plan: Plan) -> Broken:
    """What is started waited, is started once, and is no claim of its own any more; new ones are made only then."""
    machines = {host.machine_id or host.id: claim for claim in before.values() for host in claim.hosts}
    stay = {claim.id for claim in plan.claims}
    started = Counter(machine for launch in plan.launches if not launch.again for machine in launch.reuse)
    for machine, times in started.items():
        if machine not in machines:
            yield machine, "only what is on standby is started", "it is not"
        elif machines[machine].id in stay:
            yield machine, "what is started waits no longer", f"{machines[machine].id} still does"
        if times > 1:
            yield machine, "a machine is started once", f"{times} times"
    new = {launch.offer for launch in plan.launches if _is_new(launch)}
    for claim in plan.claims:
        if claim.id in before and claim.offer in new and _could_start(claim):
            yield claim.id, "what waits is started before new machines are made", "it waits"


def _is_new(launch: Launch) -> bool:
    return (
        not launch.again and not launch.reuse and launch.standby is None and launch.reason.code is not ReasonCode.HEAD
    )


def _could_start(claim: Claim) -> bool:
    waits = claim.phase is Phase.STANDBY and claim.accepted and not claim.drifted
    return waits and all(h.machine in {None, MachineFact.STANDBY} and h.interrupt_at is None for h in claim.hosts)


def _works(before: dict[str, Claim], plan: Plan) -> Broken:
    """Nothing is placed on what waits."""
    hosts = {host.id for claim in before.values() for host in claim.hosts}
    for placement in plan.placements:
        if placement.on in hosts:
            yield placement.on, "nothing is placed on what waits", f"{placement.kind.value} {placement.index}"


def _fills(policy: Policy, plan: Plan) -> Broken:
    """Machines are made to wait only where the pool wants them, within maximums, and never beside a launch for work."""
    made = [launch for launch in plan.launches if launch.standby is not None and not launch.again]
    if not made:
        return
    if any(_is_new(launch) or launch.reuse for launch in plan.launches):
        yield "cluster", "work comes before standby", "both are launched"
    if any(claim.phase in STARTING and not claim.head for claim in plan.claims):
        yield "cluster", "work comes before standby", "machines for work are on their way"
    counts = _counts(plan)
    for offer in dict.fromkeys(launch.offer for launch in made):
        yield from _filled(policy, offer, counts[offer.pool])
    total = sum(count.total() for count in counts.values())
    if policy.max_workers is not None and total > policy.max_workers:
        yield "cluster", "standby machines are made within the maximum", f"{total} of {policy.max_workers}"


def _filled(policy: Policy, offer: OfferKey, count: Counter[str]) -> Broken:
    pool = policy.pool(offer.pool)
    if pool is None or pool.standby is None:
        yield offer.pool, "standby machines are made where they are wanted", "the pool wants none"
        return
    size = pool.hosts_per_replica
    if count["waits"] >= pool.standby.wanted(count["ready"]) + size:
        yield pool.name, "standby machines are made as far as wanted", f"{count['waits']} wait"
    if pool.max_workers is not None and count.total() > pool.max_workers:
        yield pool.name, "standby machines are made within the maximum", f"{count.total()} of {pool.max_workers}"


def _counts(plan: Plan) -> dict[str, Counter[str]]:
    """Return per pool how many machines wait, are ready, and are anything else that counts in maximums."""
    counts: dict[str, Counter[str]] = {}
    for claim in plan.claims:
        if claim.head or claim.phase is Phase.FAILED or (claim.standby and claim.phase is not Phase.STANDBY):
            continue
        word = {Phase.STANDBY: "waits", Phase.READY: "ready"}.get(claim.phase, "other")
        counts.setdefault(claim.pool, Counter())[word] += claim.count
    return counts


def _stops(policy: Policy, plan: Plan) -> Broken:
    """Only idle machines are stopped, and only in pools that want some on standby."""
    for drain in plan.drains:
        if drain.mode is not ReleaseMode.STOP:
            continue
        claim = next((claim for claim in plan.claims if claim.id == drain.claim), None)
        pool = policy.pool(claim.pool) if claim else None
        if pool is None or pool.standby is None:
            yield drain.claim, "machines are stopped where some are wanted on standby", "the pool wants none"
        if drain.reason.code not in STOPPABLE:
            yield drain.claim, "only idle machines are stopped", drain.reason.code.value
