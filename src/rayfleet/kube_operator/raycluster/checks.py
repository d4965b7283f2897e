"""What is wrong with a RayCluster as its status and events say it; `config.rayio.checks` finds it."""

from __future__ import annotations

from rayfleet.config.rayio.checks import findings
from rayfleet.config.rayio.finding import Manifest
from rayfleet.kube_operator.raycluster.cluster import Cluster


def problems(cluster: Cluster) -> list[str]:
    """Return everything that is wrong, each with what to do."""
    manifest = Manifest(cluster.spec, cluster.name, cluster.annotations, cluster.made_by)
    return [finding.text for finding in findings(manifest)]
