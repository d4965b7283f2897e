"""What a RayCluster's status says, from what is seen of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import GroupSpec
from rayfleet.kube_operator.conditions import Condition, holds, timestamp, updated
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.health import Health, health, why_not
from rayfleet.kube_operator.raycluster.names import HEAD, NODE_TYPE_LABEL, WORKER
from rayfleet.kube_operator.raycluster.start_command import container_limits, container_requests
from rayfleet.kube_operator.raycluster.workers import desired_replicas
from rayfleet.kube_operator.reconciling import Observed
from rayfleet.wire.kube.objects import POD, SERVICE, Object, is_leaving, key_of, labels_of

PROVISIONED: Final = "RayClusterProvisioned"
HEAD_READY: Final = "HeadPodReady"
REPLICA_FAILURE: Final = "ReplicaFailure"
SUSPENDING: Final = "RayClusterSuspending"
SUSPENDED: Final = "RayClusterSuspended"

READY, STATE_SUSPENDED = "ready", "suspended"
_RUNNING: Final = (Health.RUNNING, Health.READY)


def pods_of(seen: Observed, kind: str) -> list[Object]:
    """Return the cluster's pods of a kind (head or worker) that are not leaving."""
    return [pod for pod in seen.all(POD) if labels_of(pod).get(NODE_TYPE_LABEL) == kind and not is_leaving(pod)]


def status_of(cluster: Cluster, seen: Observed, suspension: Iterable[Condition | str] = ()) -> Object:
    """Return the whole status; times change only where something else does. `suspension`: what changes about that."""
    before = cluster.thing.get("status") or {}
    said = [*_conditions(cluster, seen), *suspension]
    conditions = updated(before.get("conditions") or (), said, seen.now)
    status = {
        **{key: value for key, value in before.items() if key not in ("reason", "lastUpdateTime")},
        **_counts(cluster, seen),
        **_desired_resources(cluster),
        **_head(cluster, seen),
        **_state(before, conditions, seen),
        "conditions": conditions,
        "observedGeneration": cluster.thing["metadata"].get("generation", 0),
    }
    if seen.failures:
        status["reason"] = seen.failures[0].message
    if "lastUpdateTime" in before and status == {key: v for key, v in before.items() if key != "lastUpdateTime"}:
        return before
    return {**status, "lastUpdateTime": timestamp(seen.now)}


def invalid_status(cluster: Cluster, seen: Observed, problems: str) -> Object:
    """Return the status of a cluster whose spec is wrong: as it was, and why nothing is done about it."""
    before = cluster.thing.get("status") or {}
    said = {"reason": problems, "observedGeneration": cluster.thing["metadata"].get("generation", 0)}
    if said.items() <= before.items():
        return before
    return {**before, **said, "lastUpdateTime": timestamp(seen.now)}


def is_provisioned(cluster: Cluster, seen: Observed) -> bool:
    """Say whether all pods that are wanted are there and ready."""
    pods = [*pods_of(seen, HEAD), *pods_of(seen, WORKER)]
    wanted = 1 + sum(_hosts(cluster, "desired"))
    return not seen.failures and len(pods) == wanted and all(health(pod) is Health.READY for pod in pods)


def _conditions(cluster: Cluster, seen: Observed) -> Iterator[Condition | str]:
    yield _head_condition(seen)
    if seen.failures:
        yield Condition(REPLICA_FAILURE, holds=True, reason=seen.failures[0].reason, message=seen.failures[0].message)
    else:
        yield REPLICA_FAILURE
    if is_provisioned(cluster, seen):
        yield Condition(PROVISIONED, holds=True, reason="AllPodRunningAndReadyFirstTime", message="")
    elif not holds(cluster.thing, PROVISIONED):  # once it was, the loss of a pod does not take it back
        yield Condition(PROVISIONED, holds=False, reason="RayClusterPodsProvisioning", message="")


def _head_condition(seen: Observed) -> Condition:
    heads = pods_of(seen, HEAD)
    if not heads:
        return Condition(HEAD_READY, holds=False, reason="HeadPodNotFound", message="the cluster has no head pod")
    head = heads[0]
    if health(head) is Health.READY:
        return Condition(HEAD_READY, holds=True, reason="HeadPodRunningAndReady")
    # A pod that found no machine says so in another condition than one whose container does not come up.
    for kind in ("PodScheduled", "Ready", "ContainersReady"):
        reason, message = why_not(head, kind)
        if reason:
            return Condition(HEAD_READY, holds=False, reason=reason, message=message)
    return Condition(HEAD_READY, holds=False, reason="Unknown", message="the head pod says nothing yet")


def _state(before: Object, conditions: Iterable[Object], seen: Observed) -> Object:
    true = {one["type"] for one in conditions if one["status"] == "True"}
    state = before.get("state", "")
    if SUSPENDED in true:
        state = STATE_SUSPENDED
    elif PROVISIONED in true:
        state = READY
    elif state == STATE_SUSPENDED:
        state = ""
    times = before.get("stateTransitionTimes") or {}
    if state and state != before.get("state"):
        times = {**times, state: timestamp(seen.now)}
    return {"state": state, **({"stateTransitionTimes": times} if times else {})}


def _counts(cluster: Cluster, seen: Observed) -> Object:
    workers = pods_of(seen, WORKER)
    return {
        "readyWorkerReplicas": sum(health(pod) is Health.READY for pod in workers),
        "availableWorkerReplicas": sum(health(pod) in _RUNNING for pod in workers),
        "desiredWorkerReplicas": sum(_hosts(cluster, "desired")),
        "minWorkerReplicas": sum(_hosts(cluster, "min")),
        "maxWorkerReplicas": min(sum(_hosts(cluster, "max")), 2**31 - 1),
    }


def _hosts(cluster: Cluster, which: str) -> Iterator[int]:
    for group in cluster.spec.worker_group_specs:
        if not group.suspend:
            counts = {"desired": desired_replicas(group), "min": group.min_replicas, "max": group.max_replicas}
            yield counts[which] * group.num_of_hosts


def _desired_resources(cluster: Cluster) -> Object:
    groups = [(cluster.head, 1)]
    counted: list[tuple[GroupSpec, int]] = [
        *groups,
        *((group, desired_replicas(group) * group.num_of_hosts) for group in cluster.spec.worker_group_specs),
    ]
    total = {"cpu": Decimal(0), "memory": Decimal(0), "gpu": Decimal(0), "google.com/tpu": Decimal(0)}
    for group, count in counted:
        for name, value in _pod_resources(group).items():
            kind = "gpu" if name.endswith("gpu") else name
            if kind in total:
                total[kind] += quantity(value) * count
    fields = {"desiredCPU": "cpu", "desiredMemory": "memory", "desiredGPU": "gpu", "desiredTPU": "google.com/tpu"}
    return {name: _plain(total[kind]) for name, kind in fields.items()}


def _pod_resources(group: GroupSpec) -> dict[str, object]:
    containers = (group.template.get("spec") or {}).get("containers") or [{}]
    return {**container_requests(containers[0]), **container_limits(containers[0])}


def _plain(amount: Decimal) -> str:
    """Return an amount as a quantity: whole, or in thousandths."""
    return str(int(amount)) if amount == int(amount) else f"{int(amount * 1000)}m"


def _head(cluster: Cluster, seen: Observed) -> Object:
    heads = pods_of(seen, HEAD)
    name = cluster.address.partition(".")[0]
    service = next((one for one in seen.all(SERVICE) if key_of(one).name == name), None)
    if service is None:
        return {}
    head_status = (heads[0].get("status") or {}) if heads else {}
    ip = str(head_status.get("podIP", ""))
    cluster_ip = service["spec"].get("clusterIP", "")
    endpoints = {
        port["name"]: str(port.get("nodePort") or port.get("targetPort") or port["port"])
        for port in service["spec"].get("ports") or ()
        if port.get("name")
    }
    return {
        "endpoints": endpoints,
        "head": {
            "podIP": ip,
            "podName": key_of(heads[0]).name if heads else "",
            # A headless Service has no address of its own: its name leads to the pod's.
            "serviceIP": ip if cluster_ip in ("", "None") else cluster_ip,
            "serviceName": name,
        },
    }
