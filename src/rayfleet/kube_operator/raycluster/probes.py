"""Whether a node is ready, and whether it lives: asked of Ray's own agents."""

from __future__ import annotations

from typing import Final

from rayfleet.kube_operator.raycluster.cluster import HTTP_HEALTH_SINCE, Cluster
from rayfleet.kube_operator.raycluster.start_command import AGENT_PORT
from rayfleet.wire.kube.objects import Object

DASHBOARD_PORT: Final = 8265
_LIVENESS: Final = {"initialDelaySeconds": 30, "periodSeconds": 5, "failureThreshold": 120}
_READINESS: Final = {"initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 10}
_PATIENCE_S: Final = {True: 5, False: 2}


def node_probes(cluster: Cluster, *, head: bool) -> dict[str, Object]:
    """Return the probes of a Ray container by their names in it."""
    way = _http() if (cluster.ray_version or (0, 0)) >= HTTP_HEALTH_SINCE else _command(head=head)
    patience = {"timeoutSeconds": _PATIENCE_S[head]}
    return {"livenessProbe": way | patience | _LIVENESS, "readinessProbe": way | patience | _READINESS}


def _http() -> Object:
    return {"httpGet": {"path": "/api/healthz", "port": AGENT_PORT}}


def _command(*, head: bool) -> Object:
    """Return the question for versions of Ray whose agent does not answer for all of the node."""
    places = [(AGENT_PORT, "api/local_raylet_healthz"), *([(DASHBOARD_PORT, "api/gcs_healthz")] if head else [])]
    asked = (f"wget --tries 1 -T 2 -q -O- http://localhost:{port}/{path} | grep success" for port, path in places)
    return {"exec": {"command": ["bash", "-c", " && ".join(asked)]}}
