"""What is compared with what was made: objects that follow the spec, and pods of an older one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import UpgradeStrategyType
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import RECREATE_HASH_ANNOTATION, digest
from rayfleet.kube_operator.reconciling import Action, Create, Delete, Observed, Patch
from rayfleet.wire.kube.objects import POD, Kind, Object, annotations_of, is_leaving, key_of, uid_of

MADE_FROM_ANNOTATION: Final = "rayfleet.io/made-from"
"""Tells which spec an object was made from: what the API server fills in later is no difference."""
_LENGTH: Final = 24
_NOT_OF_PODS: Final = ("upgradeStrategy", "suspend", "idleSuspend", "managedBy")
_SCALED: Final = (
    "replicas",
    "minReplicas",
    "maxReplicas",
    "scaleStrategy",
    "suspend",
    "idleTimeoutSeconds",
    "priority",
)
_QUEUEING: Final = ("tolerations", "schedulingGates")
"""Changed by those who queue whole clusters, which must not start them anew."""


def missing(seen: Observed, wanted: Iterable[tuple[Kind, Object]]) -> Iterator[Action]:
    """Yield the creation of what is not there; what is there may have been changed on purpose, and stays."""
    for kind, thing in wanted:
        if all(key_of(one) != key_of(thing) for one in (*seen.all(kind), *seen.related.get(kind, ()))):
            yield Create(kind, thing, failure=f"FailedCreate{kind.name}")


def in_step(seen: Observed, kind: Kind, wanted: Iterable[tuple[Kind, Object]]) -> Iterator[Action]:
    """Yield what makes the objects of a kind be as wanted; such as are not of this making are let be."""
    there = {key_of(one): one for one in seen.all(kind)}
    for _, thing in wanted:
        mark = digest(json.dumps(thing["spec"], sort_keys=True), length=_LENGTH)
        annotations = thing["metadata"].get("annotations") or {}
        before = there.pop(key_of(thing), None)
        if before is None:
            marked = {**thing["metadata"], "annotations": annotations | {MADE_FROM_ANNOTATION: mark}}
            yield Create(kind, {**thing, "metadata": marked}, failure=f"FailedCreate{kind.name}")
        elif annotations_of(before).get(MADE_FROM_ANNOTATION, mark) != mark:
            marking = {"op": "add", "path": f"/metadata/annotations/{MADE_FROM_ANNOTATION.replace('/', '~1')}"}
            patch = [{"op": "replace", "path": "/spec", "value": thing["spec"]}, {**marking, "value": mark}]
            yield Patch(kind, key_of(thing), patch, failure=f"FailedUpdate{kind.name}")
    for thing in there.values():
        if MADE_FROM_ANNOTATION in annotations_of(thing) and not is_leaving(thing):
            yield Delete(kind, key_of(thing), uid_of(thing), "it is no longer wanted")


def recreates(cluster: Cluster) -> bool:
    """Say whether pods of an older spec are to be replaced."""
    strategy = cluster.spec.upgrade_strategy
    return strategy is not None and strategy.type is UpgradeStrategyType.RECREATE


def recreate_hash(cluster: Cluster) -> str:
    """Return what stands for the spec, but for what can change under running pods."""
    spec = copy.deepcopy({key: value for key, value in cluster.thing["spec"].items() if key not in _NOT_OF_PODS})
    for group in (spec.get("headGroupSpec") or {}, *(spec.get("workerGroupSpecs") or ())):
        for name in _SCALED:
            group.pop(name, None)
        pod = (group.get("template") or {}).get("spec") or {}
        for name in _QUEUEING:
            pod.pop(name, None)
    return digest(json.dumps(spec, sort_keys=True), length=_LENGTH)


def outdated(cluster: Cluster, pods: Iterable[Object]) -> list[Delete]:
    """Return the end of all pods of an older spec; pods that do not tell stay, unless others show that it changed."""
    if not recreates(cluster):
        return []
    now = recreate_hash(cluster)
    marks = [(pod, _mark(pod)) for pod in pods if not is_leaving(pod)]
    if all(mark in ("", now) for _, mark in marks):
        return []
    why = "the cluster's spec has changed, and its upgradeStrategy is Recreate"
    return [
        Delete(POD, key_of(pod), uid_of(pod), why, failure="FailedDeleteAllPods") for pod, mark in marks if mark != now
    ]


def _mark(pod: Object) -> str:
    """Return what the pod was made from; "": it does not tell, or tells it in another operator's way."""
    mark = annotations_of(pod).get(RECREATE_HASH_ANNOTATION, "")
    return mark if len(mark) == _LENGTH else ""
