"""RayClusters and pods for tests, as the API server would give them."""

from __future__ import annotations

import copy
from typing import Any

from rayfleet.kube_operator.raycluster.reconcile import reconcile
from rayfleet.kube_operator.reconciling import Create, Delete, Observed, Reconciled
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import POD, Kind, Object, key_of

NOW = 1_800_000_000.0
SETTINGS = OperatorSettings()


def container(name: str, **limits: object) -> Object:
    return {"name": name, "image": "rayproject/ray:2.60.0", "resources": {"limits": limits}}


def group(name: str = "small", replicas: int = 1, **more: Any) -> Object:
    template = {"spec": {"containers": [container("ray-worker", cpu="1", memory="1Gi")]}}
    return {"groupName": name, "replicas": replicas, "minReplicas": 0, "maxReplicas": 10, "template": template, **more}


def raycluster(*groups: Object, status: Object | None = None, meta: Object | None = None, **spec: Any) -> Object:
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head", cpu="2", memory="2Gi")]}}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "demo", "namespace": "team", "uid": "uid-demo", "generation": 3, **(meta or {})},
        "spec": {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": list(groups), **spec},
        **({"status": status} if status is not None else {}),
    }


def look(thing: Object, *things: tuple[Kind, Object], settings: OperatorSettings = SETTINGS, **seen: Any) -> Reconciled:
    """Reconcile a cluster that owns `things`."""
    owned: dict[Kind, tuple[Object, ...]] = {}
    for kind, one in things:
        owned[kind] = (*owned.get(kind, ()), one)
    return reconcile(Observed(thing, NOW, owned, incarnation="one", **seen), settings)


def created(done: Reconciled, kind: Kind = POD) -> list[Object]:
    return [action.thing for action in done.actions if isinstance(action, Create) and action.kind == kind]


def deleted(done: Reconciled) -> dict[str, str]:
    """Return the names of what is deleted, each with why."""
    return {action.key.name: action.why for action in done.actions if isinstance(action, Delete)}


def made(thing: Object, **how: Any) -> tuple[tuple[Kind, Object], ...]:
    """Return all that a first look at a cluster creates, its pods as `as_seen` with `how`."""
    done = look(thing)
    return tuple(
        (action.kind, as_seen(action.thing, **how) if action.kind == POD else action.thing)
        for action in done.actions
        if isinstance(action, Create)
    )


def as_seen(pod: Object, phase: str = "Running", *, ready: bool = True, age_s: float = 3600.0, **meta: Any) -> Object:
    """Return a pod as the API server has it after a while."""
    from rayfleet.kube_operator.conditions import timestamp

    seen = copy.deepcopy(pod)
    seen["metadata"] |= {
        "uid": f"uid-{key_of(pod).name}",
        "creationTimestamp": timestamp(NOW - age_s),
        **meta,
    }
    name = seen["spec"]["containers"][0]["name"]
    seen["status"] = {
        "phase": phase,
        "podIP": "10.244.1.2",
        "conditions": [
            {"type": "Ready", "status": "True" if ready else "False", "reason": "" if ready else "NotReady"}
        ],
        "containerStatuses": [{"name": name, "ready": ready, "state": {"running": {}}}],
    }
    return seen


def ended(pod: Object, ago_s: float = 0.0, age_s: float = 3600.0) -> Object:
    """Return a pod whose Ray has ended."""
    from rayfleet.kube_operator.conditions import timestamp

    seen = as_seen(pod, "Failed", ready=False, age_s=age_s)
    finished = {"terminated": {"exitCode": 1, "finishedAt": timestamp(NOW - ago_s)}}
    seen["status"]["containerStatuses"][0]["state"] = finished
    return seen


def condition(done: Reconciled, kind: str) -> tuple[str, str] | None:
    """Return status and reason of a condition that the new status has."""
    assert done.status is not None
    for one in done.status["conditions"]:
        if one["type"] == kind:
            return one["status"], one["reason"]
    return None
