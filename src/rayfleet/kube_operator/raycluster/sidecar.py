"""The autoscaler beside the head."""

from __future__ import annotations

from typing import Final

from rayfleet.config.rayio.raycluster import AutoscalerOptions
from rayfleet.kube_operator.raycluster.authentication import TOKEN_MOUNT, TOKEN_VOLUME, takes_kubernetes_token
from rayfleet.kube_operator.raycluster.certificates import MOUNT, VOLUME, encrypts, tls_environment
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.environment import authentication, merged
from rayfleet.reports.metrics.endpoint import DEFAULT_PORT
from rayfleet.wire.kube.objects import Object

CONTAINER: Final = "autoscaler"
_PROGRAM: Final = (
    "rayfleet kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"
)
COMMAND: Final = f"until {_PROGRAM}; do echo starting the autoscaler again; sleep 5; done"
"""The head's containers are not restarted in place (its pod is replaced), so the autoscaler starts itself again."""
METRICS_PORT_NAME: Final = "as-metrics"
"""As users of KubeRay call it in their PodMonitors; it is 44217 there, too."""
_RESOURCES: Final = {"cpu": "500m", "memory": "512Mi"}
_LOGS: Final = {"name": "ray-logs", "mountPath": "/tmp/ray"}  # noqa: S108 - the pod's


def autoscaler_container(cluster: Cluster, head_pod: str) -> Object:
    """Return the container that scales the cluster, as `autoscalerOptions` want it."""
    options = cluster.spec.autoscaler_options or AutoscalerOptions()
    container: Object = {
        "name": CONTAINER,
        "image": options.image or cluster.settings.image,
        "imagePullPolicy": options.image_pull_policy or "IfNotPresent",
        "command": options.command or ["/bin/bash", "-c", "--"],
        "args": options.args or [COMMAND],
        "env": merged(
            options.env, [], [*_environment(cluster, head_pod), *authentication(cluster), *tls_environment(cluster)]
        ),
        "resources": options.resources or {"limits": dict(_RESOURCES), "requests": dict(_RESOURCES)},
        "volumeMounts": [_LOGS, *_token_mount(cluster), *_certificate_mount(cluster), *options.volume_mounts],
    }
    if options.env_from:
        container["envFrom"] = options.env_from
    if options.security_context is not None:
        container["securityContext"] = options.security_context
    return container


def add_autoscaler(cluster: Cluster, pod: Object) -> None:
    """Put the autoscaler into the head's pod, and name the port of its figures.

    The template may have that port already: KubeRay's users name it on the head's own container.
    """
    container = autoscaler_container(cluster, pod["metadata"]["name"])
    named = [port for one in pod["spec"]["containers"] for port in one.get("ports") or ()]
    if not any(port.get("name") == METRICS_PORT_NAME or port["containerPort"] == DEFAULT_PORT for port in named):
        container["ports"] = [{"name": METRICS_PORT_NAME, "containerPort": DEFAULT_PORT}]
    pod["spec"]["containers"].append(container)


def _token_mount(cluster: Cluster) -> list[Object]:
    return [{"name": TOKEN_VOLUME, **TOKEN_MOUNT}] if takes_kubernetes_token(cluster) else []


def _certificate_mount(cluster: Cluster) -> list[Object]:
    return [{"name": VOLUME, **MOUNT}] if encrypts(cluster) else []


def _environment(cluster: Cluster, head_pod: str) -> list[Object]:
    return [
        {"name": "RAY_CLUSTER_NAME", "value": cluster.name},
        {"name": "RAY_CLUSTER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "RAY_PORT", "value": str(cluster.port)},
        {"name": "RAY_HEAD_POD_NAME", "value": head_pod},
        {"name": "KUBERAY_CRD_VER", "value": "v1"},
    ]
