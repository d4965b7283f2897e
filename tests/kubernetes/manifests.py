"""Small manifests that tests apply, as JSON, which kubectl reads as YAML."""

import json
from typing import Any

Json = dict[str, Any]


def pod_spec(**more: Any) -> Json:
    """One container; nothing of it ever runs here, so its image is a word."""
    return {"containers": [{"name": "main", "image": "pretended"}], "terminationGracePeriodSeconds": 5, **more}


def pod(name: str, labels: Json | None = None, **spec: Any) -> str:
    """Return a pod."""
    body = {"metadata": {"name": name, "labels": labels or {}}, "spec": pod_spec(**spec)}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **body})


def deployment(name: str, replicas: int) -> str:
    """Return a Deployment whose pods have the label `app`."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def job(name: str) -> str:
    """Return a Job of one pod with the label `app`, which is never tried again."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(restartPolicy="Never")}
    body = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", **body})


def custom_resource() -> str:
    """Return a CRD `trees.test.rayfleet.io` with defaults, one of them empty, and a status of its own."""
    properties = {
        "height": {"type": "integer", "minimum": 1, "default": 7},
        "name": {"type": "string", "default": ""},
    }
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "default": {}, "properties": properties},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": "trees", "singular": "tree", "kind": "Tree"}
    spec = {"group": "test.rayfleet.io", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return json.dumps({**kind, "metadata": {"name": "trees.test.rayfleet.io"}, "spec": spec})
