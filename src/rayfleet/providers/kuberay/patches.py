"""Changes of a RayCluster: how many replicas a group has, and which pods go. Pure.

Groups are a list, and somebody may have reordered it, or changed a count, since we looked: every patch tests the name
of the group and the values that it replaces. What fails its test is a Conflict: look again, decide again.

    launch   replicas = max(replicas, minReplicas, pods that stay) + new ones; the launch's token is kept beside it
    release  max(replicas, pods that stay) - those that go, each of them named in workersToDelete; names whose pods are
             gone are dropped
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.config.rayio.raycluster import WorkerGroupSpec
from rayfleet.wire.kube.objects import Object, annotations_of

GROUP_LABEL: Final = "ray.io/group"
LAUNCHES_ANNOTATION: Final = "rayfleet.io/launches"
"""The newest tokens of launches: one that is here was carried out, whatever became of the answer."""
LAUNCHES_KEPT: Final = 50

Operation = dict[str, object]


class NoSuchGroup(Exception):
    """The RayCluster has no worker group of that name (any more)."""


@dataclass(frozen=True, slots=True)
class Group:
    """A worker group where it stands in its RayCluster now."""

    index: int
    raw: Object
    spec: WorkerGroupSpec

    @property
    def path(self) -> str:
        """Return where it is in the resource, for patches."""
        return f"/spec/workerGroupSpecs/{self.index}"


def find_group(cluster: Object, name: str) -> Group:
    """Return a worker group.

    Raises:
        NoSuchGroup.
    """
    for index, raw in enumerate(cluster["spec"].get("workerGroupSpecs") or ()):
        if raw.get("groupName") == name:
            return Group(index, raw, WorkerGroupSpec.model_validate(raw))
    raise NoSuchGroup(f"the RayCluster has no worker group {name!r}")


def launches(cluster: Object) -> tuple[str, ...]:
    """Return the tokens of launches that were carried out, oldest first."""
    try:
        kept = json.loads(annotations_of(cluster).get(LAUNCHES_ANNOTATION, "[]"))
    except ValueError:
        return ()
    return tuple(str(token) for token in kept) if isinstance(kept, list) else ()


def launch_patch(cluster: Object, group: Group, staying: int, count: int, batch: str) -> list[Operation]:
    """Return the patch that adds `count` replicas. `staying`: replicas that exist and are not on their way out."""
    spec = group.spec
    wanted = max(spec.replicas, spec.min_replicas, staying) + count
    return [
        *_unchanged(group),
        _set(group, "replicas", min(wanted, spec.max_replicas)),
        *_remember(cluster, batch),
    ]


def release_patch(group: Group, pods: Sequence[str], existing: Mapping[str, str], staying: int = 0) -> list[Operation]:
    """Return the patch that has `pods` go; empty when nothing is to be said.

    `existing`: all pods that there still are -> their replica ("": not told). `staying`: as for a launch; a number that
    somebody has set below that is no longer what is wanted.
    """
    known, hosts = group.spec.scale_strategy.workers_to_delete, group.spec.num_of_hosts
    still = [name for name in known if name in existing]
    new = [name for name in pods if name in existing and name not in still]
    if not new and still == known:
        return []
    going = _replicas([*still, *new], existing, hosts) - _replicas(still, existing, hosts)
    replicas = max(max(group.spec.replicas, staying) - going, group.spec.min_replicas, 0)
    return [
        *_unchanged(group),
        *([_set(group, "replicas", replicas)] if new else []),
        _set(group, "scaleStrategy", {**(group.raw.get("scaleStrategy") or {}), "workersToDelete": [*still, *new]}),
    ]


def take_back_patch(cluster: Object, group: Group, staying: int, missing: int, batch: str) -> list[Operation]:
    """Return the patch that no longer asks for `missing` replicas of a launch that were not made.

    Else they would come when nobody waits for them any more. Its token goes too: asked again, it is done again.
    """
    replicas = max(group.spec.replicas - missing, staying, group.spec.min_replicas)
    tokens = [token for token in launches(cluster) if token != batch]
    path = f"/metadata/annotations/{LAUNCHES_ANNOTATION.replace('/', '~1')}"
    kept = annotations_of(cluster).get(LAUNCHES_ANNOTATION, "")
    return [
        *_unchanged(group),
        *([_set(group, "replicas", replicas)] if replicas < group.spec.replicas else []),
        {"op": "test", "path": path, "value": kept},
        {"op": "add", "path": path, "value": json.dumps(tokens, separators=(",", ":"))},
    ]


def refusal(cluster: Object, group: str) -> str:
    """Return why the RayCluster's operator could not make pods of a group, "" when it does not say so."""
    for condition in (cluster.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = str(condition.get("message", ""))
            return message if f"-{group}-worker" in message else ""
    return ""


def _replicas(pods: Iterable[str], replica_of: Mapping[str, str], hosts: int) -> int:
    """Return of how many replicas these pods are: one of them that goes takes the others of its replica along."""
    replicas = [replica_of[pod] for pod in pods]
    return len({replica for replica in replicas if replica}) + replicas.count("") // hosts


def _unchanged(group: Group) -> Iterator[Operation]:
    """Yield the tests that the group is where, and as, it was read."""
    yield {"op": "test", "path": f"{group.path}/groupName", "value": group.spec.group_name}
    for key in ("replicas", "scaleStrategy"):
        if key in group.raw:
            yield {"op": "test", "path": f"{group.path}/{key}", "value": group.raw[key]}


def _set(group: Group, key: str, value: Any) -> Operation:
    return {"op": "add", "path": f"{group.path}/{key}", "value": value}


def _remember(cluster: Object, batch: str) -> Iterator[Operation]:
    """Yield what keeps the launch's token in the resource, so that asking again finds it done."""
    if cluster["metadata"].get("annotations") is None:
        yield {"op": "add", "path": "/metadata/annotations", "value": {}}
    path = f"/metadata/annotations/{LAUNCHES_ANNOTATION.replace('/', '~1')}"
    kept = annotations_of(cluster).get(LAUNCHES_ANNOTATION)
    if kept is not None:
        yield {"op": "test", "path": path, "value": kept}
    tokens = [*launches(cluster), batch][-LAUNCHES_KEPT:]
    yield {"op": "add", "path": path, "value": json.dumps(tokens, separators=(",", ":"))}
