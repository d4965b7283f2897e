"""The token of each cluster, as its own containers have it: from the Secret."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import ValidationError

from rayfleet.kube_operator.raycluster.authentication import AUTH_KEY, takes_kubernetes_token, token_secret
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import SECRET, Key, Object

Clusters = Callable[[str], tuple[Object, ...]]
"""Return the RayClusters of a namespace."""


class Tokens:
    """Finds the token of the cluster that a URL leads to."""

    def __init__(self, kube: Kube, clusters: Clusters, settings: OperatorSettings) -> None:
        """Take where Secrets are read, and what knows the clusters."""
        self._kube = kube
        self._clusters = clusters
        self._settings = settings

    async def of(self, url: str) -> str:
        """Return the token, "" where none is asked for, or the URL leads to no cluster's head.

        Raises:
            KubeError: the Secret cannot be read.
        """
        host = urlsplit(url).hostname or ""
        for thing in self._clusters(host.partition(".")[2].partition(".")[0]):
            try:
                cluster = Cluster.read(thing, self._settings)
            except ValidationError:
                continue  # nothing was made of it, so that it has no head either
            if cluster.address == host:
                return await self._read(cluster)
        return ""

    async def _read(self, cluster: Cluster) -> str:
        name = token_secret(cluster)
        if not name or takes_kubernetes_token(cluster):
            return ""
        # Not from the caches: a Secret of the user's own is not followed, and a token that was changed counts at once.
        secret = await self._kube.get(SECRET, Key(cluster.namespace, name))
        return base64.b64decode((secret.get("data") or {}).get(AUTH_KEY, "")).decode().strip()
