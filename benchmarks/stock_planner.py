"""One tick of Ray's own autoscaler (v2), called directly: a reconcile of a settled cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from benchmarks.stock import HEAD_TYPE, NODE_TYPE, NOTHING_TO_SET_UP, PROVIDER

_MANY = 10**6
_HEAD = "head"


class StockTick:
    """A settled cluster of Ray's autoscaler: its instance manager knows all nodes, nine in ten of which are busy."""

    def __init__(self, nodes: int, pending: int) -> None:
        """Build it and let it settle. `pending`: tasks of one CPU that wait; there is room for 4 in each idle node."""
        from ray.autoscaler.v2.instance_manager.instance_manager import InstanceManager
        from ray.autoscaler.v2.instance_manager.instance_storage import InstanceStorage
        from ray.autoscaler.v2.instance_manager.storage import InMemoryStorage
        from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
        from ray.autoscaler.v2.scheduler import ResourceDemandScheduler

        self._monitor = CloudResourceMonitor()
        self._manager = InstanceManager(InstanceStorage("bench", InMemoryStorage()), [self._monitor])
        self._scheduler = ResourceDemandScheduler()
        self._config = _autoscaling_config(nodes)
        self._instances = _instances(nodes)
        self._state = _cluster_state(nodes, 0)
        for _ in range(2):
            self.reconcile()
        self._state = _cluster_state(nodes, pending)

    def reconcile(self) -> None:
        """Run one tick. RuntimeError when it wants to change anything, because then it is not settled."""
        from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

        state = Reconciler.reconcile(
            instance_manager=self._manager,
            scheduler=self._scheduler,
            cloud_provider=None,
            cloud_resource_monitor=self._monitor,
            ray_cluster_resource_state=self._state,
            non_terminated_cloud_instances=self._instances,
            autoscaling_config=self._config,
        )
        if state.pending_instance_requests or state.pending_instances or state.infeasible_resource_requests:
            raise RuntimeError(f"Ray's autoscaler is not settled: {state}")


def _request(resources: Mapping[str, float], count: int) -> Any:
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    return ResourceRequestByCount(request=ResourceRequestUtil.make(dict(resources)), count=count)


def _autoscaling_config(nodes: int) -> Any:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)  # it warns of keys that it has itself filled in
    return AutoscalingConfig(
        {
            "cluster_name": "bench",
            "max_workers": nodes,
            "idle_timeout_minutes": 60,
            "provider": {**PROVIDER, "disable_launch_config_check": True},
            **NOTHING_TO_SET_UP,
            "head_node_type": HEAD_TYPE,
            "available_node_types": {
                HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                NODE_TYPE: {"resources": {"CPU": 4}, "node_config": {}, "min_workers": nodes, "max_workers": nodes},
            },
        },
        skip_content_hash=True,
    )


def _instances(nodes: int) -> dict[str, Any]:
    """Return what the provider lists: the head and its nodes, all running."""
    from ray.autoscaler.v2.instance_manager.node_provider import CloudInstance
    from ray.core.generated.instance_manager_pb2 import NodeKind

    found = {_HEAD: CloudInstance(_HEAD, HEAD_TYPE, NodeKind.HEAD, is_running=True)}
    for number in range(nodes):
        name = f"i-{number}"
        found[name] = CloudInstance(name, NODE_TYPE, NodeKind.WORKER, is_running=True)
    return found


def _cluster_state(nodes: int, pending: int) -> Any:
    """Return what the GCS says: every tenth node is idle, the others are full."""
    from ray.core.generated.autoscaler_pb2 import ClusterResourceState, NodeState, NodeStatus

    head = NodeState(
        node_id=b"head".rjust(28, b"\0"), instance_id=_HEAD, ray_node_type_name=HEAD_TYPE, status=NodeStatus.RUNNING
    )
    states = [head]
    for number in range(nodes):
        busy = bool(number % 10)
        states.append(
            NodeState(
                node_id=number.to_bytes(28, "big"),
                instance_id=f"i-{number}",
                ray_node_type_name=NODE_TYPE,
                total_resources={"CPU": 4.0},
                available_resources={} if busy else {"CPU": 4.0},
                status=NodeStatus.RUNNING if busy else NodeStatus.IDLE,
                idle_duration_ms=0 if busy else 1000,
            )
        )
    waiting = [_request({"CPU": 1.0}, pending)] if pending else []
    return ClusterResourceState(cluster_resource_state_version=1, node_states=states, pending_resource_requests=waiting)
