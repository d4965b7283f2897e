"""The pods of a cluster: the user's template, and what makes a Ray node of it.

    template -> metadata -> Ray container (command, environment, probes, volumes) -> init container -> pod

What the user's template says stays, but for a few labels and variables by which everything else finds the pod.
"""

from __future__ import annotations

import copy
from typing import Final

from rayfleet.config.rayio.raycluster import GroupSpec, WorkerGroupSpec
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.authentication import mount_kubernetes_token
from rayfleet.kube_operator.raycluster.certificates import mount_certificate, wait_for_certificate
from rayfleet.kube_operator.raycluster.cluster import Cluster, group_name
from rayfleet.kube_operator.raycluster.environment import init_environment, node_environment
from rayfleet.kube_operator.raycluster.names import HEAD_SLOT, Slot
from rayfleet.kube_operator.raycluster.probes import node_probes
from rayfleet.kube_operator.raycluster.scheduling import hand_over
from rayfleet.kube_operator.raycluster.sidecar import CONTAINER as AUTOSCALER
from rayfleet.kube_operator.raycluster.sidecar import add_autoscaler
from rayfleet.kube_operator.raycluster.start_command import (
    METRICS_PORT,
    container_command,
    start_command,
    start_params,
)
from rayfleet.kube_operator.raycluster.storage import mount_storage, storage_annotations, storage_params
from rayfleet.kube_operator.raycluster.upkeep import recreate_hash, recreates
from rayfleet.kube_operator.raycluster.volumes import share, share_memory
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import Object

RAY_LOGS: Final = "ray-logs"
LOGS_PATH: Final = "/tmp/ray"  # noqa: S108 - in the pod, where Ray writes
WAIT_CONTAINER: Final = "wait-gcs-ready"
_WAIT_RESOURCES: Final = {"cpu": "200m", "memory": "256Mi"}


def head_pod(cluster: Cluster, *token: object) -> Object:
    """Return the head's pod. `token` makes its name one that no earlier pod had."""
    pod = _pod(cluster, cluster.head, HEAD_SLOT, *token)
    mount_storage(cluster, pod)
    if cluster.autoscaled_centrally:
        pod["metadata"].setdefault("annotations", {})[names.AUTOSCALER_ANNOTATION] = str(Autoscaling.CENTRAL)
    elif cluster.autoscaled:
        pod["spec"].setdefault("serviceAccountName", names.trimmed(cluster.name, names.LABEL_MAX))
        share(pod, RAY_LOGS, {"mountPath": LOGS_PATH}, {"emptyDir": {}})
        add_autoscaler(cluster, pod)
    wait_for_certificate(cluster, pod)
    return _seeing_logs(pod)


def worker_pod(cluster: Cluster, group: WorkerGroupSpec, slot: Slot, *token: object) -> Object:
    """Return the pod of a worker that is to stand in `slot`."""
    pod = _pod(cluster, group, slot, *token)
    pod["metadata"]["labels"] |= _replica_labels(cluster, group, slot, token)
    if group.num_of_hosts > 1:
        pod["spec"].setdefault("subdomain", names.headless_service_name(cluster.name))
    if cluster.settings.init_container:
        pod["spec"]["initContainers"] = [
            *pod["spec"].get("initContainers", ()),
            _wait_for_head(cluster, pod["spec"]["containers"][0]),
        ]
    wait_for_certificate(cluster, pod)
    return pod


def _seeing_logs(pod: Object) -> Object:
    """Have the autoscaler see the folder that Ray writes to, also where the template mounts another volume there."""
    ray, *others = pod["spec"]["containers"]
    folder = next((mount for mount in ray.get("volumeMounts") or () if mount["mountPath"] == LOGS_PATH), None)
    for container in others:
        if folder is not None and container["name"] == AUTOSCALER:
            mounts = container["volumeMounts"]
            container["volumeMounts"] = [folder if mount["name"] == RAY_LOGS else mount for mount in mounts]
    return pod


def _pod(cluster: Cluster, group: GroupSpec, slot: Slot, *token: object) -> Object:
    template = copy.deepcopy(group.template)
    spec = template.setdefault("spec", {})
    spec["containers"] = [dict(container) for container in spec.get("containers") or [{"name": "ray"}]]
    pod: Object = {"metadata": _metadata(cluster, group, slot, template, token), "spec": spec}
    if cluster.restarts_by_pod:
        spec.setdefault("restartPolicy", "Never")
    _make_node(cluster, group, pod, head=slot == HEAD_SLOT)
    hand_over(cluster, group, pod)
    return pod


def _metadata(cluster: Cluster, group: GroupSpec, slot: Slot, template: Object, token: tuple[object, ...]) -> Object:
    given = template.get("metadata") or {}
    kind = names.HEAD if slot == HEAD_SLOT else names.WORKER
    labels = {
        names.IS_RAY_NODE_LABEL: "yes",
        names.IDENTIFIER_LABEL: names.label_value(f"{cluster.name}-{kind}"),
        **names.APP_LABELS,
        **({names.SERVE_LABEL: "true"} if kind == names.WORKER and cluster.serves else {}),
        **group.labels,
        **(given.get("labels") or {}),
        names.CLUSTER_LABEL: cluster.name,
        names.NODE_TYPE_LABEL: kind,
        names.GROUP_LABEL: group_name(group),
    }
    metadata: Object = {
        "name": names.pod_name(cluster.name, slot, cluster.uid, *token),
        "namespace": cluster.namespace,
        "labels": labels,
        "ownerReferences": [cluster.owner_reference()],
    }
    annotations = (given.get("annotations") or {}) | _inherited(cluster) | storage_annotations(cluster)
    if recreates(cluster):
        annotations[names.RECREATE_HASH_ANNOTATION] = recreate_hash(cluster)
    return metadata | ({"annotations": annotations} if annotations else {})


def _inherited(cluster: Cluster) -> dict[str, str]:
    """Return the annotations that pods take over from their cluster."""
    passed_on = (names.FT_ANNOTATION, names.STORAGE_NAMESPACE_ANNOTATION, names.OVERWRITE_COMMAND_ANNOTATION)
    return {name: cluster.annotations[name] for name in passed_on if name in cluster.annotations}


def _replica_labels(cluster: Cluster, group: WorkerGroupSpec, slot: Slot, token: tuple[object, ...]) -> dict[str, str]:
    """Return where a pod stands. A replica's name is its own: one that takes its place later has another."""
    labels = {names.REPLICA_INDEX_LABEL: str(slot.replica)}
    if group.num_of_hosts == 1:
        return labels
    replica = names.label_value(f"{group.group_name}-{names.digest(cluster.uid, slot.replica, *token)}")
    return labels | {names.REPLICA_NAME_LABEL: replica, names.HOST_INDEX_LABEL: str(slot.host)}


# ---- the Ray container -----------------------------------------------------------------------------------------------


def _make_node(cluster: Cluster, group: GroupSpec, pod: Object, *, head: bool) -> None:
    """Make a Ray node of the pod's first container."""
    container = pod["spec"]["containers"][0]
    params = start_params(cluster, group, container, head=head) | (storage_params(cluster) if head else {})
    start = start_command(params, head=head)
    overwrite = pod["metadata"].get("annotations", {}).get(names.OVERWRITE_COMMAND_ANNOTATION) == "true"
    container |= container_command(cluster, container, start, overwrite=overwrite)
    container["env"] = node_environment(cluster, container, start, head=head)
    container["ports"] = _ports(container)
    if cluster.settings.probes:
        for name, probe in node_probes(cluster, head=head).items():
            container.setdefault(name, probe)
    if "plasma-directory" not in params:
        share_memory(pod)
    mount_kubernetes_token(cluster, pod)
    mount_certificate(cluster, pod, names.HEAD if head else names.WORKER)


def _ports(container: Object) -> list[Object]:
    ports = list(container.get("ports") or ())
    if not any(port.get("name") == "metrics" for port in ports):
        ports.append({"name": "metrics", "containerPort": METRICS_PORT})
    return ports


def _wait_for_head(cluster: Cluster, container: Object) -> Object:
    """Return the init container that ends when the head answers: before that a worker would only start and fail."""
    waiting = (
        f"until ray health-check --address {cluster.address}:{cluster.port} > /dev/null 2>&1; do "
        f"echo waiting for the head at {cluster.address}:{cluster.port}; sleep 2; done"
    )
    made: Object = {
        "name": WAIT_CONTAINER,
        "command": ["/bin/bash", "-c", "--"],
        "args": [waiting],
        "env": init_environment(cluster, container),
        "resources": {"limits": dict(_WAIT_RESOURCES), "requests": dict(_WAIT_RESOURCES)},
    }
    for name in ("image", "imagePullPolicy", "securityContext", "volumeMounts", "envFrom"):
        if name in container:
            made[name] = copy.deepcopy(container[name])
    return made
