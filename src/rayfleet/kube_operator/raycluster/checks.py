"""What is wrong with a RayCluster that the API server lets through. While anything is, nothing is made of it.

Where KubeRay refuses what only its own autoscaler cannot do (priority and idleTimeoutSeconds of a group below some
version), nothing is refused: the autoscaler here can.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from rayfleet.config.rayio.policy import group_resources
from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import AuthMode, GroupSpec, WorkerGroupSpec
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION, HEAD_GROUP, LABEL_MAX
from rayfleet.kube_operator.raycluster.storage_checks import storage_problems
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import Object

NAME_MAX: Final = 53
"""What Kubernetes leaves of 63 characters once pods and Services have their endings."""
TOKEN_SINCE: Final = (2, 52)
K8S_TOKEN_SINCE: Final = (2, 55)
AUTOSCALER_VERSIONS: Final = (None, "", "v1", "v2")

_DNS_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_FLAGS: Final = {"CPU": "num-cpus", "GPU": "num-gpus", "memory": "memory"}


def problems(cluster: Cluster) -> list[str]:
    """Return everything that is wrong, each with what to do."""
    found = [*_name(cluster), *_groups(cluster), *_authentication(cluster), *storage_problems(cluster)]
    return [*found, *_autoscaler(cluster), *_origin(cluster), *_network(cluster), *_unsupported(cluster)]


def _name(cluster: Cluster) -> Iterator[str]:
    if len(cluster.name) > NAME_MAX:
        yield f"metadata.name has {len(cluster.name)} characters; its pods' names need room, so at most {NAME_MAX}"
    if not _DNS_NAME.fullmatch(cluster.name):
        yield (
            f"metadata.name {cluster.name} cannot name a Service; begin with a letter, and use only lower-case letters,"
            " digits and dashes"
        )


# ---- groups ----------------------------------------------------------------------------------------------------------


def _groups(cluster: Cluster) -> Iterator[str]:
    yield from _any_group("headGroupSpec", cluster.head)
    yield from _restart(cluster, "headGroupSpec", cluster.head)
    groups = cluster.spec.worker_group_specs
    for name, times in Counter(group.group_name for group in groups).items():
        if times > 1:
            yield f"{times} worker groups are named {name}; give each a groupName of its own"
    for index, group in enumerate(groups):
        where = f"workerGroupSpecs[{index}] ({group.group_name})"
        yield from _worker_group(where, group)
        yield from _any_group(where, group)
        yield from _restart(cluster, where, group)
        if cluster.autoscaled:
            yield from _parameters(where, group)
        if group.suspend and cluster.autoscaled:
            yield f"{where}.suspend would fight with the autoscaler; set maxReplicas: 0, or no autoscaling"


def _worker_group(where: str, group: WorkerGroupSpec) -> Iterator[str]:
    name = group.group_name
    if not name or not _LABEL_VALUE.fullmatch(name):
        yield f"{where}.groupName is a label of its pods; use at most {LABEL_MAX} letters, digits and dashes"
    if name == HEAD_GROUP:
        yield f"{where}.groupName is the head's; choose another"
    counts = {"replicas": group.replicas, "minReplicas": group.min_replicas, "maxReplicas": group.max_replicas}
    yield from (f"{where}.{field} must not be negative" for field, count in counts.items() if count < 0)
    if group.min_replicas > group.max_replicas:
        yield (
            f"{where}.minReplicas is {group.min_replicas} and maxReplicas {group.max_replicas}; raise maxReplicas or"
            " lower minReplicas"
        )
    if group.num_of_hosts < 1:
        yield f"{where}.numOfHosts must be at least 1"
    if group.idle_timeout_seconds is not None and group.idle_timeout_seconds < 0:
        yield f"{where}.idleTimeoutSeconds must not be negative"


def _any_group(where: str, group: GroupSpec) -> Iterator[str]:
    containers = (group.template.get("spec") or {}).get("containers") or []
    if not containers:
        yield f"{where}.template.spec.containers is empty; its first container is the one that runs Ray"
    for container in containers[:1]:
        yield from _amounts(f"{where}.template.spec.containers[0].resources", container)
    yield from _quantities(f"{where}.resources", group.resources)
    yield from _said_twice(where, group)
    for key, value in group.labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            yield f"{where}.labels: {key}={value} also goes to the pods, and is no label of Kubernetes; rename it"


def _amounts(where: str, container: Object) -> Iterator[str]:
    for kind in ("limits", "requests"):
        yield from _quantities(f"{where}.{kind}", (container.get("resources") or {}).get(kind) or {})


def _quantities(where: str, amounts: Mapping[str, object]) -> Iterator[str]:
    for name, value in amounts.items():
        try:
            quantity(value)
        except ValueError:
            yield f"{where}.{name}: {value} must be a quantity such as 2, 500m or 4Gi"


def _said_twice(where: str, group: GroupSpec) -> Iterator[str]:
    """Yield what both the group and its `rayStartParams` say: which of them holds would be a guess."""
    for name in group.resources:
        flag = _FLAGS.get(name, "resources")
        if flag in group.ray_start_params:
            yield f"{where}.resources.{name} and rayStartParams.{flag} say the same thing; give one of them"
    if group.labels and "labels" in group.ray_start_params:
        yield f"{where}.labels and rayStartParams.labels say the same thing; give one of them"


def _parameters(where: str, group: WorkerGroupSpec) -> Iterator[str]:
    """Yield what the autoscaler cannot read of a group."""
    try:
        group_resources(group.model_copy(update={"template": {}, "resources": {}}))
    except ValueError as error:
        yield f"{where}.rayStartParams cannot be read by the autoscaler ({error}); correct its resources"


def _restart(cluster: Cluster, where: str, group: GroupSpec) -> Iterator[str]:
    """Refuse other policies where v2 is asked for in words; a manifest that leaves the version out ran with any."""
    options = cluster.spec.autoscaler_options
    policy = (group.template.get("spec") or {}).get("restartPolicy") or "Never"
    if cluster.autoscaled and options is not None and options.version == "v2" and policy != "Never":
        yield f"{where}.template.spec.restartPolicy must be Never with autoscaler v2, not {policy}; leave it out"


# ---- the whole cluster -----------------------------------------------------------------------------------------------


def _authentication(cluster: Cluster) -> Iterator[str]:
    options = cluster.spec.auth_options
    if options is None:
        return
    where = "authOptions"
    if options.mode is AuthMode.TOKEN:
        yield from _since(cluster, f"{where}.mode token", TOKEN_SINCE)
    elif options.secret_name or options.enable_k8s_token_auth:
        yield f"{where} has secretName or enableK8sTokenAuth without a token; set mode: token"
    if not options.enable_k8s_token_auth:
        return
    yield from _since(cluster, f"{where}.enableK8sTokenAuth", K8S_TOKEN_SINCE)
    if options.secret_name:
        yield f"{where}.enableK8sTokenAuth takes tokens of Kubernetes; leave secretName out"
    if cluster.autoscaled and not cluster.brings_autoscaler:
        yield (
            f"{where}.enableK8sTokenAuth does not work with the autoscaler beside the head; use mode: token alone, or"
            " Ray's own autoscaler by autoscalerOptions.image and command"
        )
    if cluster.made_by:
        yield f"{where}.enableK8sTokenAuth does not work with a {cluster.made_by}; use mode: token alone"


def _since(cluster: Cluster, what: str, version: tuple[int, int]) -> Iterator[str]:
    least = ".".join(map(str, version))
    if cluster.ray_version is None:
        yield f"{what} needs Ray {least} or newer; say in rayVersion which one the image has"
    elif cluster.ray_version < version:
        yield f"{what} needs Ray {least} or newer; rayVersion is {cluster.spec.ray_version}"


def _autoscaler(cluster: Cluster) -> Iterator[str]:
    options = cluster.spec.autoscaler_options
    if options is not None and options.version not in AUTOSCALER_VERSIONS:
        yield f"autoscalerOptions.version {options.version} is not known; use v1 or v2, or leave it out"
    if options is not None and (options.idle_timeout_seconds or 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds must not be negative"
    yield from _place(cluster)
    idle = cluster.spec.idle_termination_options
    if idle is None:
        return
    if not cluster.autoscaled:
        yield "idleTerminationOptions needs the autoscaler, which sees who is idle; set enableInTreeAutoscaling: true"
    if not cluster.brings_autoscaler:
        yield (
            "idleTerminationOptions is carried out by Ray's own autoscaler only; remove it, or run that one by"
            " autoscalerOptions.image and command"
        )
    if (idle.timeout_seconds or 0) <= 0:
        yield "idleTerminationOptions.timeoutSeconds is missing; give the seconds after which an idle cluster goes"


def _place(cluster: Cluster) -> Iterator[str]:
    """Refuse what the annotation asks for and cannot be had; the operator's own setting gives way without a word."""
    asked = cluster.annotations.get(AUTOSCALER_ANNOTATION)
    if asked and asked not in (*Autoscaling,):
        yield f"annotation {AUTOSCALER_ANNOTATION}: {asked} is not known; use {' or '.join(Autoscaling)}"
    if asked == Autoscaling.CENTRAL and cluster.brings_autoscaler:
        yield (
            f"annotation {AUTOSCALER_ANNOTATION}: {asked} leaves no place for the autoscaler of"
            " autoscalerOptions.command; remove one of them"
        )


def _origin(cluster: Cluster) -> Iterator[str]:
    if cluster.made_by and cluster.spec.upgrade_strategy is not None:
        yield f"upgradeStrategy is for RayClusters of their own, not for those of a {cluster.made_by}; leave it out"


def _network(cluster: Cluster) -> Iterator[str]:
    options = cluster.spec.network_policy
    if options is None:
        return
    known = {group.group_name for group in cluster.spec.worker_group_specs}
    for name, times in Counter(rules.group_name for rules in options.worker_groups).items():
        if name not in known:
            yield f"networkPolicy.workerGroups names {name}, which is no worker group; correct or remove it"
        if times > 1:
            yield f"networkPolicy.workerGroups has {times} entries for {name}; put their rules into one"


def _unsupported(cluster: Cluster) -> Iterator[str]:
    if cluster.spec.tls_options is not None and cluster.spec.tls_options.enabled:
        yield "tlsOptions is not supported; remove it, and mount certificates of your own as Ray's TLS guide shows"
    if cluster.spec.history_server_options is not None:
        yield "historyServerOptions is not supported; remove it, and add the collector to the pod templates yourself"
