"""Whether the operator scales a cluster itself, and where it asks what waits.

The head's own pod tells who scales it: one that was made with an autoscaler beside it keeps that one for as long as it
lives, so that there are never two.
"""

from __future__ import annotations

from rayfleet.config.rayio.policy import policy_of
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.health import Health, created_at, health
from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION, HEAD
from rayfleet.kube_operator.raycluster.status import pods_of
from rayfleet.kube_operator.reconciling import Observed, Scaling
from rayfleet.kube_operator.settings import Autoscaling
from rayfleet.wire.kube.objects import Object, annotations_of, key_of


def scaling(cluster: Cluster, seen: Observed) -> Scaling | None:
    """Return how the operator is to scale a cluster, None while it is not to. Its head must run."""
    if not cluster.autoscaled:
        return None
    running = [pod for pod in pods_of(seen, HEAD) if health(pod) in (Health.RUNNING, Health.READY)]
    for pod in sorted(running, key=lambda pod: (created_at(pod), key_of(pod).name))[:1]:
        address = str(pod["status"].get("podIP") or "")
        if address and _is_for_us(pod):
            host = f"[{address}]" if ":" in address else address
            return Scaling(host, cluster.port, key_of(pod).name, cluster.token_secret, policy_of(cluster.spec))
    return None


def scaled_here(cluster: Cluster, seen: Observed) -> bool:
    """Say whether the operator must reach the cluster's Ray: a head that is made now is for that, or one that lives."""
    return cluster.autoscaled and (cluster.autoscaled_centrally or any(map(_is_for_us, pods_of(seen, HEAD))))


def _is_for_us(head: Object) -> bool:
    return annotations_of(head).get(AUTOSCALER_ANNOTATION) == Autoscaling.CENTRAL
