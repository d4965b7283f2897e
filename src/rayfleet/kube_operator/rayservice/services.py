"""The names under which a service is reached: they stay while clusters change behind them."""

from __future__ import annotations

import copy
from typing import Any

from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.services import head_service, serve_service
from rayfleet.kube_operator.rayservice.state import Service
from rayfleet.wire.kube.objects import Object


def head_service_of(service: Service, cluster: Cluster) -> Object:
    """Return the Service that leads to the head of the cluster that serves."""
    made = head_service(cluster)
    return _owned(service, {**made, "metadata": {**made["metadata"], "name": head_name(service)}})


def head_name(service: Service) -> str:
    """Return the name that leads to the head of whichever cluster serves: the user's, else ours."""
    given = service.spec.ray_cluster_config.head_group_spec.head_service or {}
    return (given.get("metadata") or {}).get("name") or names.head_service_name(service.name)


def serve_service_of(service: Service, cluster: Cluster) -> Object:
    """Return the Service that leads to the cluster that serves, as the user wants it but for whom it selects."""
    made = serve_service(cluster)
    given: dict[str, Any] = copy.deepcopy(service.spec.serve_service or {})
    ports = [*((given.get("spec") or {}).get("ports") or ())]
    known = {port.get("name") for port in ports}
    spec = {
        **made["spec"],
        **(given.get("spec") or {}),
        "ports": [*ports, *(port for port in made["spec"]["ports"] if port["name"] not in known)],
        "selector": made["spec"]["selector"],
    }
    own = given.get("metadata") or {}
    metadata = {
        **made["metadata"],
        "name": own.get("name") or names.serve_service_name(service.name),
        "labels": (own.get("labels") or {}) | made["metadata"]["labels"],
        **({"annotations": own["annotations"]} if own.get("annotations") else {}),
    }
    return _owned(service, {"metadata": metadata, "spec": spec})


def _owned(service: Service, thing: Object) -> Object:
    metadata = {
        **thing["metadata"],
        "labels": thing["metadata"]["labels"] | service.origin_labels,
        "ownerReferences": [service.owner_reference()],
    }
    return {**thing, "metadata": metadata}
