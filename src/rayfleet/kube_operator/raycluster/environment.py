"""Variables of a node's containers. What the template sets stays, but for those by which a pod is known."""

from __future__ import annotations

from typing import Final

from rayfleet.config.rayio.raycluster import AuthMode, AuthOptions
from rayfleet.kube_operator.raycluster.certificates import tls_environment
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import CLUSTER_LABEL, GROUP_LABEL
from rayfleet.kube_operator.raycluster.storage import storage_environment
from rayfleet.wire.kube.objects import Object

AUTH_KEY: Final = "auth_token"
_SERVING: Final = {
    "RAY_timeout_ms_task_wait_for_death_info": "0",
    "RAY_gcs_server_request_timeout_seconds": "5",
    "RAY_SERVE_KV_TIMEOUT_S": "5",
}
"""What has Serve notice sooner that its head is away: requests wait meanwhile."""


def node_environment(cluster: Cluster, container: Object, start: str, *, head: bool) -> list[Object]:
    """Return the variables of the Ray container; `start` is the generated command."""
    local = f"127.0.0.1:{cluster.port}" if head else f"{cluster.address}:{cluster.port}"
    defaults = [
        *_head_address(cluster, head=head),
        _value("RAY_PORT", str(cluster.port)),
        _value("RAY_ADDRESS", local),
        _value("RAY_USAGE_STATS_KUBERAY_IN_USE", "1"),
        _value("RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "1"),
        *_autoscaler(cluster, head=head),
        *authentication(cluster),
        *tls_environment(cluster),
        *storage_environment(cluster, head=head),
        *(_value(name, value) for name, value in _SERVING.items() if cluster.of_service),
    ]
    managed = [
        _field("RAY_CLUSTER_NAME", f"metadata.labels['{CLUSTER_LABEL}']"),
        _field("RAY_CLUSTER_NAMESPACE", "metadata.namespace"),
        _field("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
        _field("RAY_NODE_TYPE_NAME", f"metadata.labels['{GROUP_LABEL}']"),
        _value("KUBERAY_GEN_RAY_START_CMD", start),
    ]
    return merged(container.get("env") or [], managed, defaults)


def init_environment(cluster: Cluster, container: Object) -> list[Object]:
    """Return the variables of a worker's init container."""
    defaults = [*_head_address(cluster, head=False), *authentication(cluster), *tls_environment(cluster)]
    return merged(container.get("env") or [], [], defaults)


def authentication(cluster: Cluster) -> list[Object]:
    """Return the variables by which Ray asks for, and shows, the cluster's token."""
    return credentials(cluster.spec.auth_options, cluster.name)


def credentials(options: AuthOptions | None, cluster: str) -> list[Object]:
    """Return the same for a cluster of that name, with these options, that need not exist yet."""
    if options is None or options.mode is not AuthMode.TOKEN:
        return []
    mode = _value("RAY_AUTH_MODE", "token")
    if options.enable_k8s_token_auth:
        path = "/var/run/secrets/ray.io/serviceaccount/token"
        return [mode, _value("RAY_ENABLE_K8S_TOKEN_AUTH", "true"), _value("RAY_AUTH_TOKEN_PATH", path)]
    secret = {"secretKeyRef": {"name": options.secret_name or cluster, "key": AUTH_KEY}}
    return [mode, {"name": "RAY_AUTH_TOKEN", "valueFrom": secret}]


def merged(given: list[Object], managed: list[Object], defaults: list[Object]) -> list[Object]:
    """Return the template's variables without those that are managed, then these, then defaults that nobody set."""
    fixed = {variable["name"] for variable in managed}
    own = [variable for variable in given if variable["name"] not in fixed]
    taken = fixed | {variable["name"] for variable in own}
    return [*own, *managed, *(variable for variable in defaults if variable["name"] not in taken)]


def _head_address(cluster: Cluster, *, head: bool) -> list[Object]:
    if head:
        return []
    return [_value("FQ_RAY_IP", cluster.address), _value("RAY_IP", cluster.address.partition(".")[0])]


def _autoscaler(cluster: Cluster, *, head: bool) -> list[Object]:
    """Return what lets the GCS tell an autoscaler what waits, and drain nodes for it."""
    return [_value("RAY_enable_autoscaler_v2", "1")] if head and cluster.autoscaled else []


def _value(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
