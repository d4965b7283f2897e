"""Ray v2's own decisions, for comparisons: its scheduler class is asked, and the launch limits around it are applied.

    what exists, what waits --> ResourceDemandScheduler.schedule --> queue --> launched now, ended now
                                 (Ray's own code, as it is)           |
                              at most 10 requested at a time, and per type ceil(upscaling_speed x running), 1 at least

What is launched waits in a queue of its own, as Ray's QUEUED instances do; the scheduler counts it as capacity. Prices,
zones and back-offs play no part, because none do there. Needs the installed Ray, whose class this is.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rayfleet.model import (
    CAPACITY,
    Bundle,
    Claim,
    Demand,
    Gang,
    Host,
    LabelSelector,
    Phase,
    Policy,
    Pool,
    Resources,
    Strategy,
    TaskDemand,
)

CONCURRENT_LAUNCHES: Final = 10
"""Machines that may be requested at a time (AUTOSCALER_MAX_CONCURRENT_LAUNCHES)."""
UPSCALING_SPEED: Final = 1.0
"""What Ray's cluster files have when they do not say."""
_GROUP_LABEL: Final = "_PG_"


class StockV2:
    """Ray v2's rules with their memory (the queue) for one cluster under one policy."""

    def __init__(self, policy: Policy) -> None:
        """Import Ray's planner; ImportError when Ray is not installed or has no such planner."""
        logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)  # it says much about every node it keeps
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

        self._policy = policy
        self._scheduler = ResourceDemandScheduler()
        self._types = {pool.name: _node_type(pool, policy) for pool in policy.pools}
        self._queued: deque[tuple[str, str]] = deque()  # (name of the instance, pool), the oldest first
        self._named = 0

    def decide(self, claims: Iterable[Claim], demand: Demand) -> tuple[dict[str, int], dict[str, str]]:
        """Return how many machines of each pool to ask for now, and which claims to end, each with Ray's cause."""
        known = [claim for claim in claims if claim.phase in CAPACITY and not claim.foreign]
        reply = self._scheduler.schedule(self._request(known, demand))
        ending = self._ending(reply.to_terminate, known)
        for launch in reply.to_launch:
            for _ in range(launch.count):
                self._named += 1
                self._queued.append((f"queued-{self._named}", launch.instance_type))
        return self._launch_now(known), ending

    def _ending(self, requests: Iterable[Any], claims: list[Claim]) -> dict[str, str]:
        """Return the claims to end; what is only queued is forgotten at once."""
        owner = {host.id: claim.id for claim in claims for host in claim.hosts}
        wanted = {request.instance_id: _cause(request) for request in requests}
        self._queued = deque(entry for entry in self._queued if entry[0] not in wanted)
        return {owner[name]: cause for name, cause in wanted.items() if name in owner}

    def _launch_now(self, claims: list[Claim]) -> dict[str, int]:
        """Take from the queue what the limits let through."""
        speed = UPSCALING_SPEED if self._policy.upscaling_speed is None else self._policy.upscaling_speed
        requested = sum(claim.count for claim in claims if claim.phase is Phase.REQUESTED)
        launching: dict[str, int] = {}
        for pool in dict.fromkeys(name for _, name in self._queued):
            running = sum(c.count for c in claims if c.pool == pool and c.phase is Phase.READY and not c.head)
            queued = sum(name == pool for _, name in self._queued)
            wanted = max(1, math.ceil(speed * max(running, 1)))
            count = max(0, min(CONCURRENT_LAUNCHES - requested, wanted, queued))
            requested += count
            launching[pool] = count
        self._take(dict(launching))
        return {pool: count for pool, count in launching.items() if count}

    def _take(self, counts: dict[str, int]) -> None:
        kept: deque[tuple[str, str]] = deque()
        for name, pool in self._queued:
            if counts.get(pool, 0):
                counts[pool] -= 1
            else:
                kept.append((name, pool))
        self._queued = kept

    # ---- in Ray's words -----------------------------------------------------------------------------

    def _request(self, claims: list[Claim], demand: Demand) -> Any:
        from ray.autoscaler.v2.scheduler import SchedulingRequest

        policy = self._policy
        instances = [_instance(claim, host) for claim in claims for host in claim.hosts]
        heads = {
            claim.pool: _node_type(policy.head, policy, head=True) for claim in claims if claim.head and policy.head
        }
        return SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs={**heads, **self._types},
            max_num_nodes=policy.max_workers,
            idle_timeout_s=policy.idle_timeout_s,
            resource_requests=[_by_count(task) for task in demand.tasks],
            gang_resource_requests=[one for n, gang in enumerate(demand.gangs) for one in _gangs(n, gang)],
            cluster_resource_constraints=_constraints(demand),
            current_instances=[*instances, *(_queued(name, pool) for name, pool in self._queued)],
        )


def _cause(request: Any) -> str:
    from ray.core.generated.instance_manager_pb2 import TerminationRequest

    return str(TerminationRequest.Cause.Name(request.cause))


def _node_type(pool: Pool, policy: Policy, *, head: bool = False) -> Any:
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    many = pool.max_workers if pool.max_workers is not None else policy.max_workers
    return NodeTypeConfig(
        name=pool.name,
        min_worker_nodes=0 if head else pool.min_workers,
        max_worker_nodes=0 if head else max(pool.min_workers, 10**6 if many is None else many),
        idle_timeout_s=pool.idle_timeout_s,
        priority=pool.priority,
        resources=_amounts(pool.resources),
        labels=dict(pool.labels),
    )


def _instance(claim: Claim, host: Host) -> Any:
    """Return a machine as Ray's instance manager and its GCS know it."""
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    joined = claim.phase is Phase.READY and host.node_id is not None and host.total is not None
    status = Instance.RAY_RUNNING if joined else Instance.ALLOCATED
    if claim.phase is Phase.REQUESTED:
        status = Instance.REQUESTED
    kind = NodeKind.HEAD if claim.head else NodeKind.WORKER
    known = Instance(
        instance_id=host.id, status=status, instance_type=claim.pool, node_kind=kind, node_id=host.node_id or "",
        cloud_instance_id=host.machine_id or "",
    )  # fmt: skip
    node = _ray_node(claim, host) if joined else None
    return AutoscalerInstance(cloud_instance_id=host.machine_id or None, ray_node=node, im_instance=known)


def _ray_node(claim: Claim, host: Host) -> Any:
    from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus

    total = host.total or Resources()
    return NodeState(
        node_id=(host.node_id or "").encode()[:28].rjust(28, b"\0"),
        instance_id=host.machine_id or "",
        ray_node_type_name=claim.pool,
        total_resources=_amounts(total),
        available_resources=_amounts((total - host.used).floored()),
        labels=dict(host.labels),
        status=NodeStatus.RUNNING if host.used else NodeStatus.IDLE,
        idle_duration_ms=0 if host.used else int(host.idle_s * 1000),
    )


def _queued(name: str, pool: str) -> Any:
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    known = Instance(instance_id=name, status=Instance.QUEUED, instance_type=pool, node_kind=NodeKind.WORKER)
    return AutoscalerInstance(im_instance=known)


def _by_count(task: TaskDemand) -> Any:
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    return ResourceRequestByCount(request=_one(task.shape, task.selectors), count=task.count)


def _constraints(demand: Demand) -> list[Any]:
    from ray.core.generated.autoscaler_pb2 import ClusterResourceConstraint, ResourceRequestByCount

    wishes = [ResourceRequestByCount(request=_one(w.shape, w.selectors), count=w.count) for w in demand.requested]
    return [ClusterResourceConstraint(resource_requests=wishes)] if wishes else []


def _gangs(number: int, gang: Gang) -> list[Any]:
    from ray.core.generated.autoscaler_pb2 import GangResourceRequest

    missing = [bundle for n, bundle in enumerate(gang.bundles) if str(n) not in gang.placed]
    return [
        GangResourceRequest(requests=[_bundle(bundle, gang.strategy, f"{number}-{copy}") for bundle in missing])
        for copy in range(gang.count)
    ]


def _bundle(bundle: Bundle, strategy: Strategy, group: str) -> Any:
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    kinds = ResourceRequestUtil.PlacementConstraintType
    label = f"{_GROUP_LABEL}{group}"
    constraints = {
        Strategy.STRICT_SPREAD: [(kinds.ANTI_AFFINITY, label, "")],
        Strategy.STRICT_PACK: [(kinds.AFFINITY, label, "")],
    }
    return _one(bundle.shape, bundle.selectors, constraints.get(strategy))


def _one(shape: Resources, selectors: Iterable[LabelSelector], constraints: Any = None) -> Any:
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.common_pb2 import LabelSelectorOperator

    out, into = (LabelSelectorOperator.Value(f"LABEL_OPERATOR_{word}") for word in ("NOT_IN", "IN"))
    wanted = [
        [(match.key, out if match.negated else into, list(match.values)) for match in selector.matches]
        for selector in selectors
    ]
    return ResourceRequestUtil.make(_amounts(shape), constraints, wanted or None)


def _amounts(amounts: Resources) -> Mapping[str, float]:
    return {name: float(amount) for name, amount in amounts.amounts().items()}
