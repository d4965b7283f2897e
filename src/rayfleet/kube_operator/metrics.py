"""What is exported about the resources, by the names that KubeRay's dashboards ask for. Pure: objects -> families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily

from rayfleet.kube_operator.conditions import holds, since
from rayfleet.kube_operator.raycluster.status import PROVISIONED
from rayfleet.kube_operator.rayservice.initializing import READY
from rayfleet.kube_operator.rayservice.status import UPGRADING
from rayfleet.wire.kube.objects import (
    RAY_CLUSTER,
    RAY_CRON_JOB,
    RAY_JOB,
    RAY_SERVICE,
    Kind,
    Object,
    controller_of,
    key_of,
    uid_of,
)

Things = Mapping[Kind, Iterable[Object]]
Families = Iterable[GaugeMetricFamily]

_SUBJECT: Final = ("name", "namespace", "uid")
_OWNERS: Final = {kind.name for kind in (RAY_JOB, RAY_SERVICE)}
_ENDED: Final = {"Complete", "Failed", "Retrying"}


def families(things: Things) -> Families:
    """Yield all gauges of the resources that exist now; `things`: those of each reconciled kind."""
    yield from _clusters(tuple(things[RAY_CLUSTER]))
    yield from _jobs(tuple(things[RAY_JOB]))
    yield from _services(tuple(things[RAY_SERVICE]))
    cron = _family("rayfleet_cron_job_info", "A RayCronJob.")
    _each(cron, things[RAY_CRON_JOB])
    yield cron


def _clusters(clusters: tuple[Object, ...]) -> Families:
    info = _family("kuberay_cluster_info", "A RayCluster, and the kind of its owner.", "owner_kind")
    provisioned = _family("kuberay_cluster_condition_provisioned", "Were all pods ready once?", "condition")
    took = _family("kuberay_cluster_provisioned_duration_seconds", "From the RayCluster's creation to all pods ready.")
    for cluster in clusters:
        owner = (controller_of(cluster) or {}).get("kind")
        _add(info, cluster, owner if owner in _OWNERS else "None")
        _add(provisioned, cluster, _truth(cluster, PROVISIONED))
        ready = since(cluster, PROVISIONED) if holds(cluster, PROVISIONED) else None
        _add(took, cluster, value=_seconds(cluster["metadata"].get("creationTimestamp"), ready))
    yield from (info, provisioned, took)


def _jobs(jobs: tuple[Object, ...]) -> Families:
    info = _family("kuberay_job_info", "A RayJob.")
    state = _family("kuberay_job_deployment_status", "The RayJob's deployment status.", "deployment_status")
    took = _family(
        "kuberay_job_execution_duration_seconds",
        "From the start of the RayJob's last attempt to its end.",
        *("job_deployment_status", "retry_count"),
    )
    _each(info, jobs)
    for job in jobs:
        status = job.get("status") or {}
        deployment = status.get("jobDeploymentStatus") or "New"
        _add(state, job, deployment)
        if deployment in _ENDED:
            lasted = _seconds(status.get("startTime"), status.get("endTime"))
            _add(took, job, deployment, str(status.get("failed") or 0), value=lasted)
    yield from (info, state, took)


def _services(services: tuple[Object, ...]) -> Families:
    info = _family("kuberay_service_info", "A RayService.")
    ready = _family("kuberay_service_condition_ready", "Does the RayService answer requests?", "condition")
    upgrading = _family("kuberay_service_condition_upgrade_in_progress", "Is a new cluster on its way?", "condition")
    _each(info, services)
    for service in services:
        _add(ready, service, _truth(service, READY))
        _add(upgrading, service, _truth(service, UPGRADING))
    yield from (info, ready, upgrading)


def _family(name: str, text: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(*_SUBJECT, *more))


def _each(family: GaugeMetricFamily, things: Iterable[Object]) -> None:
    for thing in things:
        _add(family, thing)


def _add(family: GaugeMetricFamily, thing: Object, *more: str, value: float | None = 1.0) -> None:
    """Add a sample; None: there is nothing to tell yet."""
    if value is not None:
        key = key_of(thing)
        family.add_metric((key.name, key.namespace, uid_of(thing), *more), value)


def _truth(thing: Object, condition: str) -> str:
    return "true" if holds(thing, condition) else "false"


def _seconds(start: str | None, end: str | None) -> float | None:
    """Return the time between two of Kubernetes' timestamps."""
    if not start or not end:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
