"""Other autoscalers on the same loop: their rules decide, what happens to machines is told by the same life cycle.

A peer chooses what to launch and what to end. Everything else - claims, lost and late machines, adoption, the head -
goes its production way, so that peers and policies are compared on the same footing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from rayfleet.model import (
    CAPACITY,
    STARTING,
    Claim,
    Demand,
    Host,
    How,
    Launch,
    Phase,
    Plan,
    Policy,
    Pool,
    ReasonCode,
    Snapshot,
    reason,
)
from rayfleet.planner import leaving
from rayfleet.planner.adopt import adopt_strays
from rayfleet.planner.draft import Draft, idle_s
from rayfleet.planner.explain import cost
from rayfleet.planner.head import tend_head
from rayfleet.planner.names import host_ids
from rayfleet.planner.outcomes import apply_outcomes
from rayfleet.planner.progress import advance_claims
from rayfleet.simulator.run import Planner
from rayfleet.wiring import peers

_IDLE = "IDLE"
BOOT_TIMEOUT_S = 3600.0
REQUEST_TIMEOUT_S = 600.0
"""Ray v2's own patience with machines that do not come."""


class Rules(Protocol):
    """What a peer decides."""

    def decide(self, claims: Iterable[Claim], demand: Demand) -> tuple[dict[str, int], dict[str, str]]:
        """Return machines to ask for by pool, and claims to end with the cause (IDLE: only when it is idle)."""
        ...


def peers_known() -> tuple[str, ...]:
    """Return the names of the peers."""
    return tuple(peers())


def as_peer(policy: Policy) -> Policy:
    """Return the policy with the peer's own time-outs where it has none of ours."""
    timeouts = replace(policy.timeouts, boot_timeout_s=BOOT_TIMEOUT_S, request_timeout_s=REQUEST_TIMEOUT_S)
    return replace(policy, timeouts=timeouts)


def peer_planner(name: str, policy: Policy) -> Callable[[], Planner]:
    """Return what makes a fresh decision function of the peer under the limits and pools of `policy`."""
    make = peers()[name]
    return lambda: _planner(make(policy))


def _planner(rules: Rules) -> Planner:
    def decide(snapshot: Snapshot) -> Plan:
        claims = {claim.id: claim for claim in snapshot.claims}
        draft = Draft(snapshot, snapshot.policy, claims, serial=snapshot.serial, taken=frozenset(claims))
        apply_outcomes(draft)
        advance_claims(draft)
        adopt_strays(draft)
        tend_head(draft)
        if not draft.held:
            _scale(draft, rules)
        return _finished(draft)

    return decide


def _scale(draft: Draft, rules: Rules) -> None:
    asked, ended = rules.decide(list(draft.claims.values()), draft.snapshot.demand)
    for name, cause in ended.items():
        _end(draft, draft.claims[name], cause)
    for pool in draft.policy.pools:
        if asked.get(pool.name):
            _launch(draft, pool, asked[pool.name])


def _end(draft: Draft, claim: Claim, cause: str) -> None:
    if claim.phase in STARTING:
        leaving.release(draft, claim, reason(ReasonCode.UNNEEDED), How.CANCEL)
    elif cause == _IDLE:
        timeout_s = draft.policy.idle_timeout_s
        why = reason(ReasonCode.IDLE, idle_s=idle_s(claim), idle_timeout_s=timeout_s)
        leaving.drain(draft, claim, why, deadline=draft.now + draft.timeouts.node_timeout_s, voluntary=True)
    elif claim.phase in CAPACITY:
        leaving.dismiss(draft, claim, reason(ReasonCode.UNNEEDED))


def _launch(draft: Draft, pool: Pool, machines: int) -> None:
    """Ask for machines of the pool's first offer: a peer that knows no offers has no other."""
    offer = pool.offers[0]
    replicas = -(-machines // pool.hosts_per_replica)
    names = [draft.next_id(pool.name) for _ in range(replicas)]
    batch = draft.token(names[0])
    for name in names:
        hosts = tuple(Host(id=host) for host in host_ids(name, pool.hosts_per_replica))
        claim = Claim(name, offer.key(pool.name), Phase.REQUESTED, hosts, draft.now, draft.now, batch, accepted=False)
        draft.keep(replace(claim, make=pool.make, usd_per_hour=offer.usd_per_hour))
    why = reason(ReasonCode.TASKS, tasks=sum(task.count for task in draft.snapshot.demand.tasks))
    count = replicas * pool.hosts_per_replica
    draft.launches.append(Launch(offer.key(pool.name), tuple(names), batch, count, why))


def _finished(draft: Draft) -> Plan:
    return Plan(
        launches=tuple(draft.launches),
        drains=tuple(draft.drains),
        releases=tuple(draft.releases),
        findings=tuple(draft.findings),
        cost=cost(draft),
        claims=tuple(c for c in draft.claims.values() if not c.foreign and c.phase is not Phase.FAILED),
        backoffs=(),
        serial=draft.serial,
    )
