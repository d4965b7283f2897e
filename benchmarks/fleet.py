"""The RayClusters of a measured fleet: a head and two workers each."""

from __future__ import annotations

from typing import Any


def cluster(name: str) -> dict[str, Any]:
    """Return one of them."""

    def template(container: str) -> dict[str, Any]:
        limits = {"cpu": "100m", "memory": "100Mi"}
        return {"spec": {"containers": [{"name": container, "image": "ray", "resources": {"limits": limits}}]}}

    group = {
        "groupName": "small",
        "replicas": 2,
        "maxReplicas": 5,
        "rayStartParams": {},
        "template": template("ray-worker"),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [group],
        },
    }
