"""The Ingress that leads to Ray's dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import DASHBOARD_PORT, Cluster
from rayfleet.wire.kube.objects import INGRESS, Kind, Object

CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
"""Of the cluster: which controller is meant."""
APPLIED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"


def dashboard_ingress(cluster: Cluster) -> Iterator[tuple[Kind, Object]]:
    """Yield the Ingress, where one is wanted."""
    if not cluster.head.enable_ingress:
        return
    metadata = cluster.owned(names.trimmed(f"{cluster.name}-head-ingress", names.LABEL_MAX))
    annotations = dict(cluster.annotations)
    annotations.pop(APPLIED_ANNOTATION, None)  # else kubectl would take the Ingress for the cluster
    controller = annotations.pop(CLASS_ANNOTATION, "")
    spec: Object = {"rules": [_rule(cluster)]}
    if controller:
        spec["ingressClassName"] = controller
    options = cluster.head.ingress_options
    if options is not None and options.tls:
        spec["tls"] = options.tls
    yield INGRESS, {"metadata": metadata | {"annotations": annotations}, "spec": spec}


def _rule(cluster: Cluster) -> Object:
    options = cluster.head.ingress_options
    service = {"name": cluster.address.partition(".")[0], "port": {"number": DASHBOARD_PORT}}
    if options is None:
        # What manifests from before the options expect, together with a rewrite of the controller's.
        path = {"path": f"/{cluster.name}/(.*)", "pathType": "ImplementationSpecific"}
        return {"http": {"paths": [path | {"backend": {"service": service}}]}}
    path = {"path": options.path or "/", "pathType": options.path_type or "Prefix"}
    rule: Object = {"http": {"paths": [path | {"backend": {"service": service}}]}}
    return rule | ({"host": options.host} if options.host else {})
