"""Resources and pods for tests of clusters in Kubernetes, as the API server would give them."""

from __future__ import annotations

from typing import Any

from rayfleet.launcher.kube.look import Found
from rayfleet.wire.kube.objects import Object


def resource(kind: str = "RayCluster", status: Object | None = None, **spec: Any) -> Object:
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "ray-head"}]}}}
    meta = {"name": "demo", "namespace": "team", "generation": 2}
    found = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": meta, "spec": {"headGroupSpec": head, **spec}}
    return found if status is None else {**found, "status": status}


def group(name: str = "small", **more: Any) -> Object:
    return {"groupName": name, "template": {}, "maxReplicas": 5, **more}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def pod(name: str, *, group: str = "headgroup", phase: str = "Running", node: str = "n1", **status: Any) -> Object:
    labels = {
        "ray.io/cluster": "demo",
        "ray.io/group": group,
        "ray.io/node-type": "head" if group == "headgroup" else "worker",
    }
    containers = [{"name": "ray"}, *([{"name": "autoscaler"}] if group == "headgroup" else [])]
    return {
        "metadata": {"name": name, "namespace": "team", "labels": labels},
        "spec": {"containers": containers, "nodeName": node},
        "status": {"phase": phase, **status},
    }


def ready(name: str, **more: Any) -> Object:
    return pod(name, conditions=[condition("Ready", "True")], **more)


def waiting(name: str, reason: str, message: str = "", **more: Any) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(name, phase="Pending", containerStatuses=[{"name": "ray", "state": state}], **more)


def found(thing: Object, *pods: Object) -> Found:
    return Found(thing, thing, pods)
