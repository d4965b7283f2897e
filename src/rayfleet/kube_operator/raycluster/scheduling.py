"""Pods for another scheduler than Kubernetes' own, where the operator is told of one: YuniKorn, KAI.

    labels of the RayCluster ---> labels of its pods ---> the scheduler's queues
    label `ray.io/gang-scheduling-enabled` ---> how many pods of each group there must be room for (YuniKorn)

Whoever names a scheduler in a template keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import GroupSpec
from rayfleet.kube_operator.raycluster.cluster import Cluster, group_name
from rayfleet.kube_operator.raycluster.names import HEAD_GROUP
from rayfleet.kube_operator.raycluster.sidecar import autoscaler_container
from rayfleet.wire.kube.objects import Object

YUNIKORN: Final = "yunikorn"
KAI: Final = "kai-scheduler"
SCHEDULERS: Final = ("", YUNIKORN, KAI)
GANG_LABEL: Final = "ray.io/gang-scheduling-enabled"
TASK_GROUP: Final = "yunikorn.apache.org/task-group-name"
TASK_GROUPS: Final = "yunikorn.apache.org/task-groups"
_COPIED: Final = {
    YUNIKORN: {"yunikorn.apache.org/app-id": "applicationId", "yunikorn.apache.org/queue": "queue"},
    KAI: {"kai.scheduler/queue": "kai.scheduler/queue"},
}
"""Labels of a RayCluster -> those of its pods."""
_PLACES: Final = ("nodeSelector", "tolerations", "affinity")


def hand_over(cluster: Cluster, group: GroupSpec, pod: Object) -> None:
    """Have the operator's batch scheduler, if any, place the pod."""
    scheduler = cluster.settings.batch_scheduler
    if not scheduler or pod["spec"].setdefault("schedulerName", scheduler) != scheduler:
        return
    labels = {ours: cluster.labels[theirs] for theirs, ours in _COPIED[scheduler].items() if cluster.labels.get(theirs)}
    pod["metadata"]["labels"] |= labels
    if scheduler == YUNIKORN and GANG_LABEL in cluster.labels:
        groups = cluster.annotations.get(TASK_GROUPS) or json.dumps(task_groups(cluster), separators=(",", ":"))
        own = {TASK_GROUP: group_name(group), TASK_GROUPS: groups}
        pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | own


def task_groups(cluster: Cluster) -> list[Object]:
    """Return for how many pods of which size there must be room before any of them is placed: all minimums."""
    has_it_beside = cluster.autoscaled and not cluster.autoscaled_centrally
    beside = [autoscaler_container(cluster, "")] if has_it_beside else []
    groups = [_task_group(HEAD_GROUP, 1, cluster.head, beside)]
    for group in cluster.spec.worker_group_specs:
        least = 0 if group.suspend else group.min_replicas * group.num_of_hosts
        groups.append(_task_group(group.group_name, least, group, ()))
    return groups


def _task_group(name: str, least: int, group: GroupSpec, beside: Iterable[Object]) -> Object:
    spec = group.template.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *beside]
    places = {place: spec[place] for place in _PLACES if spec.get(place)}
    return {"name": name, "minMember": least, "minResource": _requests(containers), **places}


def _requests(containers: Iterable[Object]) -> dict[str, str]:
    """Return what containers ask for together; what one only limits, it also asks for."""
    total: dict[str, Decimal] = {}
    for container in containers:
        resources = container.get("resources") or {}
        for name, amount in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    return {name: _text(amount) for name, amount in total.items()}


def _text(amount: Decimal) -> str:
    return str(int(amount)) if amount == int(amount) else f"{int(amount * 1000)}m"
