"""A resource and its pods as the API server has them -> what people and programs are told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from rayfleet.config.rayio.base import INT32_MAX
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_JOB, Key, Object, is_leaving, key_of, labels_of

CLUSTER_LABEL: Final = "ray.io/cluster"
NODE_TYPE_LABEL: Final = "ray.io/node-type"
GROUP_LABEL: Final = "ray.io/group"
AUTOSCALER: Final = "autoscaler"
STUCK: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
}
"""What a container says when waiting alone seldom helps."""


class Stage(StrEnum):
    """How far a pod is."""

    UNSCHEDULED = "unscheduled"
    STARTING = "starting"
    STUCK = "stuck"
    RUNNING = "running"
    READY = "ready"
    ENDED = "ended"
    LEAVING = "leaving"


_WORDS: Final = {
    Stage.UNSCHEDULED: "waits for a machine",
    Stage.STARTING: "starts",
    Stage.STUCK: "does not start",
    Stage.RUNNING: "runs, not ready yet",
}


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod. `why`: what keeps it from being ready, in Kubernetes' words; "" when nothing is said."""

    name: str
    group: str
    stage: Stage
    why: str = ""
    node: str = ""
    containers: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Return how it is, and why."""
        where = f" on {self.node}" if self.node and self.stage in (Stage.STARTING, Stage.STUCK) else ""
        return f"{_WORDS.get(self.stage, self.stage.value)}{where}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group of workers, in pods."""

    name: str
    desired: int
    ready: int
    least: int
    most: int | None
    pods: tuple[PodView, ...]

    @property
    def pending(self) -> int:
        """Return how many pods are still missing or not ready."""
        return max(0, self.desired - self.ready)

    @property
    def why(self) -> str:
        """Return why pods wait, each reason once; "" when none does."""
        waiting = [pod.line for pod in self.pods if pod.stage not in (Stage.READY, Stage.LEAVING)]
        counted = {line: waiting.count(line) for line in waiting}
        return "; ".join(f"{count} {line}" for line, count in counted.items())


@dataclass(frozen=True, slots=True)
class View:
    """One resource. `state` is its operator's word, "" before one has spoken; `cluster` "" while it has none."""

    kind: str
    key: Key
    state: str
    message: str
    current: bool
    suspended: bool
    cluster: str
    head: PodView | None
    groups: tuple[GroupView, ...]
    conditions: tuple[Object, ...]
    service: str

    @property
    def heard(self) -> bool:
        """Say whether any operator has said anything of the resource."""
        return bool(self.state or self.conditions or self.head or self.current)

    @property
    def complete(self) -> bool:
        """Say whether head and workers are all ready."""
        head = self.head is not None and self.head.stage is Stage.READY
        return head and not any(group.pending for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        keep = ("type", "status", "reason", "message", "lastTransitionTime")
        return {
            "kind": self.kind,
            "name": self.key.name,
            "namespace": self.key.namespace,
            "state": self.state,
            "message": self.message,
            "ready": self.complete,
            "suspended": self.suspended,
            "cluster": self.cluster,
            "service": self.service,
            "head": None if self.head is None else asdict(self.head),
            "groups": [{**asdict(group), "pending": group.pending, "why": group.why} for group in self.groups],
            "conditions": [{name: one[name] for name in keep if name in one} for one in self.conditions],
        }


def view(thing: Object, cluster: Object | None, pods: Sequence[Object]) -> View:
    """Return how a resource is. `cluster`: the RayCluster that it runs on, itself for one; `pods`: that cluster's."""
    status = thing.get("status") or {}
    told = _told(thing)
    inside = (cluster or {}).get("status") or {}
    seen = [pod_view(pod) for pod in pods if labels_of(pod).get(NODE_TYPE_LABEL) in ("head", "worker")]
    heads = [pod_view(pod) for pod in pods if labels_of(pod).get(NODE_TYPE_LABEL) == "head"]
    return View(
        kind=thing["kind"],
        key=key_of(thing),
        state=told[0],
        message=told[1],
        current=status.get("observedGeneration", -1) >= thing["metadata"].get("generation", 0),
        suspended=bool((thing.get("spec") or {}).get("suspend")),
        cluster=key_of(cluster).name if cluster else "",
        head=next((pod for pod in heads if pod.stage is not Stage.LEAVING), next(iter(heads), None)),
        groups=tuple(_groups(cluster, seen)) if cluster else (),
        conditions=tuple(status.get("conditions") or inside.get("conditions") or ()),
        service=str((inside.get("head") or {}).get("serviceName", "")),
    )


def cluster_name(thing: Object) -> str:
    """Return the name of the RayCluster that a resource runs on; "" while it has none."""
    status = thing.get("status") or {}
    if thing["kind"] == RAY_CLUSTER.name:
        return key_of(thing).name
    if thing["kind"] == RAY_JOB.name:
        return str(status.get("rayClusterName") or "")
    for which in ("activeServiceStatus", "pendingServiceStatus"):
        name = (status.get(which) or {}).get("rayClusterName")
        if name:
            return str(name)
    return ""


def pod_view(pod: Object) -> PodView:
    """Return how a pod is."""
    stage, why = _stage(pod)
    containers = tuple(container["name"] for container in pod["spec"].get("containers") or ())
    node = str(pod["spec"].get("nodeName") or "")
    return PodView(key_of(pod).name, labels_of(pod).get(GROUP_LABEL, ""), stage, why, node, containers)


def lines(seen: View) -> Iterator[str]:
    """Yield a resource for people."""
    said = seen.state or ("says nothing yet" if not seen.heard else "not ready yet")
    yield f"{seen.kind} {seen.key}: {said}{f': {seen.message}' if seen.message else ''}"
    if seen.cluster not in ("", seen.key.name):
        yield f"cluster   {seen.cluster}"
    yield f"head      {f'{seen.head.name}  {seen.head.line}' if seen.head else 'no pod yet'}"
    for group in seen.groups:
        counts = f"{group.desired} desired, {group.ready} ready, {group.pending} pending"
        limits = f"{group.least} to {'any number' if group.most is None else group.most}"
        yield f"group     {group.name}: {counts} ({limits})"
        if group.why:
            yield f"            {group.why}"
    for one in seen.conditions:
        why = ": ".join(filter(None, (str(one.get("reason", "")), str(one.get("message", "")))))
        yield f"condition {one['type']} {one['status']}{f' ({why})' if why else ''}"
    if seen.service:
        yield f"service   {seen.service}"


def _told(thing: Object) -> tuple[str, str]:
    """Return state and message, in the words of the resource's operator."""
    status = thing.get("status") or {}
    if thing["kind"] == RAY_CLUSTER.name:
        return str(status.get("state") or ""), str(status.get("reason") or "")
    if thing["kind"] == RAY_JOB.name:
        state = " ".join(filter(None, (status.get("jobDeploymentStatus"), status.get("jobStatus"))))
        return state, str(status.get("message") or status.get("reason") or "")
    return str(status.get("serviceStatus") or ""), _not_ready(status)


def _not_ready(status: Object) -> str:
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    return "" if ready.get("status") == "True" else str(ready.get("message") or "")


def _groups(cluster: Object, pods: Sequence[PodView]) -> Iterator[GroupView]:
    try:
        spec = RayClusterSpec.model_validate(cluster["spec"])
    except ValidationError:
        return  # made before there was a schema: its operator says what is wrong with it
    for group in spec.worker_group_specs:
        replicas = max(group.min_replicas, min(group.replicas, group.max_replicas))
        away = group.suspend or spec.suspend
        mine = tuple(pod for pod in pods if pod.group == group.group_name)
        unlimited = group.max_replicas >= INT32_MAX
        yield GroupView(
            group.group_name,
            desired=0 if away else replicas * group.num_of_hosts,
            ready=sum(pod.stage is Stage.READY for pod in mine),
            least=group.min_replicas * group.num_of_hosts,
            most=None if unlimited else group.max_replicas * group.num_of_hosts,
            pods=mine,
        )


def _stage(pod: Object) -> tuple[Stage, str]:
    status = pod.get("status") or {}
    if is_leaving(pod):
        return Stage.LEAVING, ""
    if status.get("phase") in ("Failed", "Succeeded"):
        return Stage.ENDED, str(status.get("message") or status.get("reason") or _ends(status))
    return _on_its_way(status)


def _on_its_way(status: Object) -> tuple[Stage, str]:
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Stage.UNSCHEDULED, _reason(scheduled)
    waiting = [_reason(one) for one in _waiting(status)]
    stuck = [why for why in waiting if why.partition(":")[0] in STUCK]
    if stuck:
        return Stage.STUCK, "; ".join(filter(None, (stuck[0], _ends(status))))
    if status.get("phase") != "Running":
        return Stage.STARTING, next((why for why in waiting if not why.startswith("PodInitializing")), "")
    ready = conditions.get("Ready", {}).get("status") == "True"
    return (Stage.READY if ready else Stage.RUNNING), ""


def _containers(status: Object) -> Iterator[Object]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _waiting(status: Object) -> Iterator[Object]:
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting")
        if waiting:
            yield waiting


def _ends(status: Object) -> str:
    """Return how containers ended that did not end well."""
    told = []
    for container in _containers(status):
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if ended.get("exitCode"):
                told.append(f"{container['name']} ended with {ended['exitCode']} ({ended.get('reason', 'Error')})")
    return "; ".join(dict.fromkeys(told))


def _reason(said: Object) -> str:
    return ": ".join(filter(None, (str(said.get("reason", "")), str(said.get("message", "")))))
