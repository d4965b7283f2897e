"""Whether a node is ready, and whether it lives: asked of Ray's own agents."""

from __future__ import annotations

from typing import Final

from rayfleet.kube_operator.raycluster.cluster import DASHBOARD_PORT, HTTP_HEALTH_SINCE, Cluster
from rayfleet.kube_operator.raycluster.start_command import AGENT_PORT
from rayfleet.wire.kube.objects import Object

SERVE_PORT: Final = 8000
_LIVENESS: Final = {"initialDelaySeconds": 30, "periodSeconds": 5, "failureThreshold": 120}
_READINESS: Final = {"initialDelaySeconds": 10, "periodSeconds": 5, "failureThreshold": 10}
_PATIENCE_S: Final = {True: 5, False: 2}


def node_probes(cluster: Cluster, *, head: bool) -> dict[str, Object]:
    """Return the probes of a Ray container by their names in it."""
    patience = {"timeoutSeconds": _PATIENCE_S[head]}
    live = _http() if (cluster.ray_version or (0, 0)) >= HTTP_HEALTH_SINCE else _command(_places(head=head))
    ready = live | patience | _READINESS
    if cluster.of_service and not head:
        # A worker gets no traffic while its proxy does not answer, and none from the first failure on.
        ready = (
            _command([*_places(head=head), (SERVE_PORT, "-/healthz")]) | patience | _READINESS | {"failureThreshold": 1}
        )
    return {"livenessProbe": live | patience | _LIVENESS, "readinessProbe": ready}


def _http() -> Object:
    return {"httpGet": {"path": "/api/healthz", "port": AGENT_PORT}}


def _places(*, head: bool) -> list[tuple[int, str]]:
    gcs = [(DASHBOARD_PORT, "api/gcs_healthz")] if head else []
    return [(AGENT_PORT, "api/local_raylet_healthz"), *gcs]


def _command(places: list[tuple[int, str]]) -> Object:
    """Return the question as a command, for what one request does not tell."""
    asked = (f"wget --tries 1 -T 2 -q -O- http://localhost:{port}/{path} | grep success" for port, path in places)
    return {"exec": {"command": ["bash", "-c", " && ".join(asked)]}}
