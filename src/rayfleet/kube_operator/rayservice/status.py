"""What a RayService's status says, from what is seen of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rayfleet.kube_operator.conditions import Condition, holds, timestamp, updated
from rayfleet.kube_operator.rayservice.clusters import Clusters
from rayfleet.kube_operator.rayservice.serve import statuses
from rayfleet.kube_operator.rayservice.state import Service, endpoints, fact_of
from rayfleet.wire.kube.objects import Object

READY: Final = "Ready"
UPGRADING: Final = "UpgradeInProgress"
SUSPENDING: Final = "Suspending"
SUSPENDED: Final = "Suspended"


def status_of(service: Service, wanted: Clusters) -> Object:
    """Return the whole status."""
    active, pending = service.cluster(wanted.active), service.cluster(wanted.pending)
    answering = endpoints(service, wanted.active)
    fields = {
        "activeServiceStatus": _cluster_status(service, wanted.active, active),
        "pendingServiceStatus": _cluster_status(service, wanted.pending, pending),
        "numServeEndpoints": answering,
        "serviceStatus": "Running" if answering else "",
    }
    return noted(service, _conditions(service, wanted, answering), **fields)


def _conditions(service: Service, wanted: Clusters, answering: int) -> Iterator[Condition]:
    if answering:
        yield Condition(READY, holds=True, reason="NonZeroServeEndpoints", message="")
    else:
        was = any(
            one["type"] == READY and one["reason"] != "Initializing" for one in service.status.get("conditions") or ()
        )
        yield Condition(READY, holds=False, reason="ZeroServeEndpoints" if was else "Initializing", message="")
    if wanted.active and wanted.pending:
        yield Condition(UPGRADING, holds=True, reason="BothActivePendingClustersExist")
    else:
        yield Condition(UPGRADING, holds=False, reason="NoPendingCluster" if wanted.active else "NoActiveCluster")
    if holds(service.thing, SUSPENDED):
        yield Condition(SUSPENDED, holds=False, reason="RayServiceResumed")


def _cluster_status(service: Service, name: str, cluster: Object | None) -> Object:
    if not name:
        return {}
    fact = None if cluster is None else fact_of(service, cluster)
    known = {} if fact is None or fact.error else {"applicationStatuses": statuses(fact)}
    return {"rayClusterName": name, "rayClusterStatus": (cluster or {}).get("status") or {}, **known}


def noted(service: Service, said: Iterator[Condition] | list[Condition], **fields: Any) -> Object:
    """Return the status with something changed; the time of the last change only changes with it."""
    before = service.status
    conditions = updated(before.get("conditions") or (), said, service.seen.now)
    generation = service.thing["metadata"].get("generation", 0)
    after = {**before, **fields, "conditions": conditions, "observedGeneration": generation}
    return before if after == before else {**after, "lastUpdateTime": timestamp(service.seen.now)}


def renamed(service: Service, wanted: Clusters) -> Object:
    """Return the status with other clusters in it; what was known of a cluster moves with its name."""
    known = {
        service.active_name: service.status.get("activeServiceStatus") or {},
        service.pending_name: service.status.get("pendingServiceStatus") or {},
    }
    fields = {
        "activeServiceStatus": known.get(wanted.active, {}) if wanted.active else {},
        "pendingServiceStatus": {**known.get(wanted.pending, {}), "rayClusterName": wanted.pending}
        if wanted.pending
        else {},
    }
    return noted(service, [], **fields)
