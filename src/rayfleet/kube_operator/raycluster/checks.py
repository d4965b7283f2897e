"""What is wrong with a RayCluster as its status and events say it; `config.rayio.checks` finds it."""

from __future__ import annotations

from collections.abc import Iterator

from rayfleet.config.rayio.checks import findings
from rayfleet.config.rayio.finding import Manifest
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import AUTOSCALER_ANNOTATION
from rayfleet.kube_operator.settings import Autoscaling


def problems(cluster: Cluster) -> list[str]:
    """Return everything that is wrong, each with what to do."""
    manifest = Manifest(cluster.spec, cluster.name, cluster.annotations, cluster.made_by)
    return [*(finding.text for finding in findings(manifest)), *_place(cluster)]


def _place(cluster: Cluster) -> Iterator[str]:
    """Refuse what the annotation asks for and cannot be had; the operator's own setting gives way without a word."""
    asked = cluster.annotations.get(AUTOSCALER_ANNOTATION)
    if asked and asked not in (*Autoscaling,):
        yield f"annotation {AUTOSCALER_ANNOTATION}: {asked} is not known; use {' or '.join(Autoscaling)}"
    if asked == Autoscaling.CENTRAL and cluster.brings_autoscaler:
        yield (
            f"annotation {AUTOSCALER_ANNOTATION}: {asked} leaves no place for the autoscaler of"
            " autoscalerOptions.command; remove one of them"
        )
    if asked == Autoscaling.CENTRAL:
        for what in cluster.only_beside_the_head:
            yield f"annotation {AUTOSCALER_ANNOTATION}: {asked} does not work with {what}; remove one of them"
