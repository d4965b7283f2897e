"""Where Ray's token comes from: a Secret of the cluster's own, or Kubernetes. `environment` tells Ray about it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.environment import AUTH_KEY
from rayfleet.kube_operator.raycluster.volumes import share
from rayfleet.wire.kube.objects import SECRET, Kind, Object

TOKEN_VOLUME: Final = "ray-token"  # noqa: S105 - a volume's name
TOKEN_MOUNT: Final = {"mountPath": "/var/run/secrets/ray.io/serviceaccount", "readOnly": True}
_TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
_TOKEN_LIFE_S: Final = 3600
"""The kubelet writes a new one well before that."""


def auth_secret(cluster: Cluster, fresh: str) -> Iterator[tuple[Kind, Object]]:
    """Yield the Secret with the cluster's token where it is ours to make. `fresh`: a token that nobody knows."""
    options = cluster.spec.auth_options
    if options is None or not cluster.token_auth or options.secret_name or options.enable_k8s_token_auth:
        return
    if not fresh:
        raise ValueError("a token of no characters would let everybody in")
    data = {AUTH_KEY: base64.b64encode(fresh.encode()).decode()}
    yield SECRET, {"metadata": cluster.owned(cluster.name), "type": "Opaque", "data": data}


def takes_kubernetes_token(cluster: Cluster) -> bool:
    """Say whether the API server is asked about tokens."""
    options = cluster.spec.auth_options
    return options is not None and cluster.token_auth and options.enable_k8s_token_auth


def mount_kubernetes_token(cluster: Cluster, pod: Object) -> None:
    """Give the Ray container the token of the pod's service account where Ray wants to have it."""
    if takes_kubernetes_token(cluster):
        token = {"serviceAccountToken": {"path": _TOKEN_FILE, "expirationSeconds": _TOKEN_LIFE_S}}
        share(pod, TOKEN_VOLUME, TOKEN_MOUNT, {"projected": {"sources": [token]}})
