"""How a cluster's head, its Serve applications and the hosts of its replicas are found."""

from __future__ import annotations

import copy
from typing import Final

from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.wire.kube.objects import Object

DEFAULT_PORTS: Final = {"client": 10001, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}
SERVE_PORT: Final = "serve"


def head_service(cluster: Cluster) -> Object:
    """Return the Service that leads to the head. Its default ports are always there, whatever the container names."""
    given = copy.deepcopy(cluster.head.head_service or {})
    spec = given.get("spec") or {}
    kind = cluster.head.service_type or spec.get("type") or ""
    spec["ports"] = _with_defaults(spec.get("ports") or [], _container_ports(cluster))
    spec["selector"] = _head_labels(cluster) | names.APP_LABELS
    if kind:
        spec["type"] = kind
    elif not cluster.settings.head_cluster_ip:
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    annotations = (given.get("metadata") or {}).get("annotations") or {}
    return {
        "metadata": {
            **cluster.owned(cluster.address.partition(".")[0], _head_labels(cluster) | names.APP_LABELS),
            "annotations": annotations | cluster.spec.head_service_annotations,
        },
        "spec": spec,
    }


def serve_service(cluster: Cluster) -> Object:
    """Return the Service to what Serve answers."""
    ports = [port for port in _container_ports(cluster) if str(port["name"]).startswith(SERVE_PORT)]
    return {
        "metadata": cluster.owned(names.serve_service_name(cluster.name)),
        "spec": {
            "type": cluster.head.service_type or "ClusterIP",
            "ports": ports or [_port(SERVE_PORT, DEFAULT_PORTS[SERVE_PORT])],
            "selector": {names.CLUSTER_LABEL: cluster.name, names.SERVE_LABEL: "true"},
        },
    }


def headless_service(cluster: Cluster) -> Object:
    """Return the Service by which the hosts of one replica find each other."""
    selector = {names.CLUSTER_LABEL: cluster.name, names.NODE_TYPE_LABEL: names.WORKER}
    return {
        "metadata": cluster.owned(names.headless_service_name(cluster.name), selector),
        "spec": {"clusterIP": "None", "selector": selector, "publishNotReadyAddresses": True},
    }


def _head_labels(cluster: Cluster) -> dict[str, str]:
    return {
        names.CLUSTER_LABEL: cluster.name,
        names.NODE_TYPE_LABEL: names.HEAD,
        names.IDENTIFIER_LABEL: names.label_value(f"{cluster.name}-{names.HEAD}"),
    }


def _container_ports(cluster: Cluster) -> list[Object]:
    containers = (cluster.head.template.get("spec") or {}).get("containers") or [{}]
    ports = containers[0].get("ports") or ()
    return [_port(port.get("name") or f"port-{port['containerPort']}", port["containerPort"]) for port in ports]


def _with_defaults(given: list[Object], container: list[Object]) -> list[Object]:
    """Return all ports, each name and number once: the user's, then the container's, then Ray's own."""
    defaults = [_port(name, number) for name, number in DEFAULT_PORTS.items()]
    result: list[Object] = []
    for port in (*given, *container, *defaults):
        if all(port.get("name") != known.get("name") and port["port"] != known["port"] for known in result):
            result.append(port)
    return result


def _port(name: str, number: int) -> Object:
    return {"name": name, "port": number, "targetPort": number, "protocol": "TCP", "appProtocol": "tcp"}
