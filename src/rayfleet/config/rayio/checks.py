"""What is wrong with a RayCluster that the API server lets through. While anything is, nothing is made of it.

`config check` tells it with file and line, an operator as status and event: the same findings.

Where KubeRay refuses what only its own autoscaler cannot do (priority and idleTimeoutSeconds of a group below some
version), nothing is refused: the autoscaler here can.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from rayfleet.config.problems import Path
from rayfleet.config.rayio.base import Object
from rayfleet.config.rayio.finding import Finding, Findings, Manifest, mapping, mappings, ray_container
from rayfleet.config.rayio.growth import ANNOTATION, growth_problems
from rayfleet.config.rayio.names import HEAD_GROUP, LABEL_MAX, TLS_PATH, TLS_VARIABLES, TLS_VOLUME
from rayfleet.config.rayio.placement import brings_autoscaler, placement_findings
from rayfleet.config.rayio.policy import group_resources
from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import AuthMode, GroupSpec, WorkerGroupSpec
from rayfleet.config.rayio.storage_checks import storage_findings

NAME_MAX: Final = 53
"""What Kubernetes leaves of 63 characters once pods and Services have their endings."""
TOKEN_SINCE: Final = (2, 52)
K8S_TOKEN_SINCE: Final = (2, 55)
AUTOSCALER_VERSIONS: Final = (None, "", "v1", "v2")

_DNS_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")
_FLAGS: Final = {"CPU": "num-cpus", "GPU": "num-gpus", "memory": "memory"}
_CONTAINER: Final = ("template", "spec", "containers", 0)


def findings(of: Manifest) -> list[Finding]:
    """Return everything that is wrong, each with what to do."""
    found = [*_name(of), *_groups(of), *_authentication(of), *storage_findings(of)]
    found += [*_autoscaler(of), *_origin(of), *_network(of), *_tls(of), *_unsupported(of)]
    return [*found, *placement_findings(of)]


def _name(of: Manifest) -> Findings:
    path = ("metadata", "name")
    if len(of.name) > NAME_MAX:
        text = f"metadata.name has {len(of.name)} characters; its pods' names need room, so at most {NAME_MAX}"
        yield Finding(path, text)
    if of.name and not _DNS_NAME.fullmatch(of.name):
        text = f"metadata.name {of.name} cannot name a Service"
        yield Finding(path, f"{text}; begin with a letter, and use only lower-case letters, digits and dashes")


# ---- groups ----------------------------------------------------------------------------------------------------------


def _groups(of: Manifest) -> Findings:
    yield from _repeated(of)
    for path, where, group in of.groups():
        if isinstance(group, WorkerGroupSpec):
            yield from _worker_group(path, where, group)
        yield from _any_group(path, where, group)
        yield from _restart(of, path, where, group)
        if isinstance(group, WorkerGroupSpec) and of.autoscaled:
            yield from _parameters(path, where, group)
            if group.suspend:
                text = f"{where}.suspend would fight with the autoscaler; set maxReplicas: 0, or no autoscaling"
                yield Finding((*path, "suspend"), text)


def _repeated(of: Manifest) -> Findings:
    names = [group.group_name for group in of.spec.worker_group_specs]
    for name, times in Counter(names).items():
        if times > 1:
            path = ("workerGroupSpecs", names.index(name), "groupName")
            yield Finding(path, f"{times} worker groups are named {name}; give each a groupName of its own")


def _worker_group(path: Path, where: str, group: WorkerGroupSpec) -> Findings:
    name = group.group_name
    if not name or not _LABEL_VALUE.fullmatch(name):
        text = f"{where}.groupName is a label of its pods; use at most {LABEL_MAX} letters, digits and dashes"
        yield Finding((*path, "groupName"), text)
    if name == HEAD_GROUP:
        yield Finding((*path, "groupName"), f"{where}.groupName is the head's; choose another")
    counts = {"replicas": group.replicas, "minReplicas": group.min_replicas, "maxReplicas": group.max_replicas}
    for field, count in counts.items():
        if count < 0:
            yield Finding((*path, field), f"{where}.{field} must not be negative")
    if group.min_replicas > group.max_replicas:
        text = f"{where}.minReplicas is {group.min_replicas} and maxReplicas {group.max_replicas}"
        yield Finding((*path, "minReplicas"), f"{text}; raise maxReplicas or lower minReplicas")
    if group.num_of_hosts < 1:
        yield Finding((*path, "numOfHosts"), f"{where}.numOfHosts must be at least 1")
    if group.idle_timeout_seconds is not None and group.idle_timeout_seconds < 0:
        yield Finding((*path, "idleTimeoutSeconds"), f"{where}.idleTimeoutSeconds must not be negative")


def _any_group(path: Path, where: str, group: GroupSpec) -> Findings:
    if not ray_container(group):
        text = f"{where}.template.spec.containers is empty; its first container is the one that runs Ray"
        yield Finding((*path, *_CONTAINER[:-1]), text)
    inside = f"{where}.template.spec.containers[0].resources"
    yield from _amounts((*path, *_CONTAINER, "resources"), inside, ray_container(group))
    yield from _quantities((*path, "resources"), f"{where}.resources", group.resources)
    yield from _said_twice(path, where, group)
    for key, value in group.labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            text = f"{where}.labels: {key}={value} also goes to the pods, and is no label of Kubernetes; rename it"
            yield Finding((*path, "labels", key), text)


def _amounts(path: Path, where: str, container: Object) -> Findings:
    for kind in ("limits", "requests"):
        amounts = mapping(mapping(container.get("resources")).get(kind))
        yield from _quantities((*path, kind), f"{where}.{kind}", amounts)


def _quantities(path: Path, where: str, amounts: Mapping[str, object]) -> Findings:
    for name, value in amounts.items():
        try:
            quantity(value)
        except ValueError:
            text = f"{where}.{name}: {value} must be a quantity such as 2, 500m or 4Gi"
            yield Finding((*path, name), text)


def _said_twice(path: Path, where: str, group: GroupSpec) -> Findings:
    """Yield what both the group and its `rayStartParams` say: which of them holds would be a guess."""
    for name in group.resources:
        flag = _FLAGS.get(name, "resources")
        if flag in group.ray_start_params:
            text = f"{where}.resources.{name} and rayStartParams.{flag} say the same thing; give one of them"
            yield Finding((*path, "resources", name), text)
    if group.labels and "labels" in group.ray_start_params:
        text = f"{where}.labels and rayStartParams.labels say the same thing; give one of them"
        yield Finding((*path, "labels"), text)


def _parameters(path: Path, where: str, group: WorkerGroupSpec) -> Findings:
    """Yield what the autoscaler cannot read of a group."""
    try:
        group_resources(group.model_copy(update={"template": {}, "resources": {}}))
    except ValueError as error:
        text = f"{where}.rayStartParams cannot be read by the autoscaler ({error}); correct its resources"
        yield Finding((*path, "rayStartParams"), text)


def _restart(of: Manifest, path: Path, where: str, group: GroupSpec) -> Findings:
    """Refuse other policies where v2 is asked for in words; a manifest that leaves the version out ran with any."""
    options = of.spec.autoscaler_options
    policy = mapping(group.template.get("spec")).get("restartPolicy") or "Never"
    if of.autoscaled and options is not None and options.version == "v2" and policy != "Never":
        text = f"{where}.template.spec.restartPolicy must be Never with autoscaler v2, not {policy}; leave it out"
        yield Finding((*path, "template", "spec", "restartPolicy"), text)


# ---- the whole cluster -----------------------------------------------------------------------------------------------


def _authentication(of: Manifest) -> Findings:
    options, path = of.spec.auth_options, ("authOptions",)
    if options is None:
        return
    delegated, where = (*path, "enableK8sTokenAuth"), "authOptions.enableK8sTokenAuth"
    if options.mode is AuthMode.TOKEN:
        yield from _since(of, (*path, "mode"), "authOptions.mode token", TOKEN_SINCE)
    elif options.secret_name or options.enable_k8s_token_auth:
        yield Finding(path, "authOptions has secretName or enableK8sTokenAuth without a token; set mode: token")
    if not options.enable_k8s_token_auth:
        return
    yield from _since(of, delegated, where, K8S_TOKEN_SINCE)
    if options.secret_name:
        yield Finding(delegated, f"{where} takes tokens of Kubernetes; leave secretName out")
    if of.made_by:
        yield Finding(delegated, f"{where} does not work with a {of.made_by}; use mode: token alone")


def _since(of: Manifest, path: Path, what: str, version: tuple[int, int]) -> Findings:
    least = ".".join(map(str, version))
    if of.ray_version is None:
        yield Finding(path, f"{what} needs Ray {least} or newer; say in rayVersion which one the image has")
    elif of.ray_version < version:
        yield Finding(path, f"{what} needs Ray {least} or newer; rayVersion is {of.spec.ray_version}")


def _autoscaler(of: Manifest) -> Findings:
    options, path = of.spec.autoscaler_options, ("autoscalerOptions",)
    if options is not None and options.version not in AUTOSCALER_VERSIONS:
        text = f"autoscalerOptions.version {options.version} is not known; use v1 or v2, or leave it out"
        yield Finding((*path, "version"), text)
    if options is not None and (options.idle_timeout_seconds or 0) < 0:
        yield Finding((*path, "idleTimeoutSeconds"), "autoscalerOptions.idleTimeoutSeconds must not be negative")
    yield from _idleness(of)
    for text in growth_problems(of.spec, of.annotations.get(ANNOTATION, "")):
        yield Finding(("metadata", "annotations", ANNOTATION), text)


def _idleness(of: Manifest) -> Findings:
    where, idle = "idleTerminationOptions", of.spec.idle_termination_options
    if idle is None:
        return
    if not of.autoscaled:
        text = f"{where} needs the autoscaler, which sees who is idle; set enableInTreeAutoscaling: true"
        yield Finding((where,), text)
    if (idle.timeout_seconds or 0) <= 0:
        text = f"{where}.timeoutSeconds is missing; give the seconds after which an idle cluster goes"
        yield Finding((where, "timeoutSeconds"), text)
    if of.made_by == "RayService" and not brings_autoscaler(of.spec):
        text = f"{where} would end a {of.made_by} whose applications run without any driver; leave it out"
        yield Finding((where,), text)


def _origin(of: Manifest) -> Findings:
    if of.made_by and of.spec.upgrade_strategy is not None:
        text = f"upgradeStrategy is for RayClusters of their own, not for those of a {of.made_by}; leave it out"
        yield Finding(("upgradeStrategy",), text)


def _network(of: Manifest) -> Findings:
    options = of.spec.network_policy
    if options is None:
        return
    path, where = ("networkPolicy", "workerGroups"), "networkPolicy.workerGroups"
    known = {group.group_name for group in of.spec.worker_group_specs}
    named = [rules.group_name for rules in options.worker_groups]
    for name, times in Counter(named).items():
        here = (*path, named.index(name), "groupName")
        if name not in known:
            yield Finding(here, f"{where} names {name}, which is no worker group; correct or remove it")
        if times > 1:
            yield Finding(here, f"{where} has {times} entries for {name}; put their rules into one")


def _tls(of: Manifest) -> Findings:
    """Yield variables and mounts that would take the place of those that TLS needs."""
    if of.spec.tls_options is None or not of.spec.tls_options.enabled:
        return
    places: list[tuple[Path, str, Object]] = [
        ((*path, *_CONTAINER), where, ray_container(group)) for path, where, group in of.groups()
    ]
    options = of.spec.autoscaler_options
    if options is not None:
        own = {"env": options.env, "volumeMounts": options.volume_mounts}
        places.append((("autoscalerOptions",), "autoscalerOptions", own))
    for path, where, container in places:
        for name in sorted({str(one.get("name")) for one in mappings(container.get("env"))} & TLS_VARIABLES.keys()):
            yield Finding((*path, "env"), f"{where} sets {name}, and so does tlsOptions; remove one of them")
        for mount in mappings(container.get("volumeMounts")):
            called, place = mount.get("name"), mount.get("mountPath")
            if called == TLS_VOLUME or place == TLS_PATH:
                text = f"{where} mounts {called} at {place}, where tlsOptions mounts; remove it"
                yield Finding((*path, "volumeMounts"), text)


def _unsupported(of: Manifest) -> Findings:
    if of.spec.history_server_options is not None:
        text = "historyServerOptions is not supported; remove it, and add the collector to the pod templates yourself"
        yield Finding(("historyServerOptions",), text)
