"""What a RayService's status says, from what is seen of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rayfleet.kube_operator.conditions import Condition, holds, timestamp, updated
from rayfleet.kube_operator.rayservice.clusters import Clusters
from rayfleet.kube_operator.rayservice.gateway import CHANGING, trouble
from rayfleet.kube_operator.rayservice.incremental import (
    ROLLING_BACK,
    next_split,
    shown,
    split_of,
    turned,
    weights_of,
)
from rayfleet.kube_operator.rayservice.initializing import READY, began
from rayfleet.kube_operator.rayservice.migration import WHOLE
from rayfleet.kube_operator.rayservice.serve import statuses
from rayfleet.kube_operator.rayservice.state import Service, endpoints, fact_of
from rayfleet.wire.kube.objects import Object

UPGRADING: Final = "UpgradeInProgress"
SUSPENDING: Final = "Suspending"
SUSPENDED: Final = "Suspended"
GATEWAY_READY: Final = "GatewayReady"
_SERVES: Final = "NonZeroServeEndpoints"
_SERVED: Final = (_SERVES, "ZeroServeEndpoints")


def status_of(service: Service, wanted: Clusters) -> Object:
    """Return the whole status."""
    active, pending = service.cluster(wanted.active), service.cluster(wanted.pending)
    answering = endpoints(service, wanted.active)
    if service.incremental and wanted.active:  # both get requests
        answering += endpoints(service, wanted.pending)
    shares = _shares(service, wanted)
    fields = {
        "activeServiceStatus": _cluster_status(service, wanted.active, active, shares[0]),
        "pendingServiceStatus": _cluster_status(service, wanted.pending, pending, shares[1]),
        "numServeEndpoints": answering,
        "serviceStatus": "Running" if answering else "",
    }
    return noted(service, _conditions(service, wanted, answering), **fields)


def _shares(service: Service, wanted: Clusters) -> tuple[Object, Object]:
    """Return what is said of the shares of both clusters: nothing where one takes over from the other at once."""
    if not service.incremental:
        return {}, {}
    if wanted.active and wanted.pending:
        split = next_split(service)
        return shown(split.active, split.moved_at), shown(split.pending, split.moved_at)
    moved_at = split_of(service).moved_at
    return (shown(WHOLE, moved_at), {}) if wanted.active else ({}, {"targetCapacity": WHOLE.capacity})


def _conditions(service: Service, wanted: Clusters, answering: int) -> Iterator[Condition | str]:
    if answering:
        yield Condition(READY, holds=True, reason=_SERVES, message="")
    elif any(one["type"] == READY and one["reason"] in _SERVED for one in service.status.get("conditions") or ()):
        yield Condition(READY, holds=False, reason="ZeroServeEndpoints", message="")
    else:
        yield from began(service)
    if wanted.active and wanted.pending:
        yield Condition(UPGRADING, holds=True, reason="BothActivePendingClustersExist")
    else:
        yield Condition(UPGRADING, holds=False, reason="NoPendingCluster" if wanted.active else "NoActiveCluster")
    if holds(service.thing, SUSPENDED):
        yield Condition(SUSPENDED, holds=False, reason="RayServiceResumed")
    yield from _incremental_conditions(service, wanted)


def _incremental_conditions(service: Service, wanted: Clusters) -> Iterator[Condition | str]:
    known = {one["type"] for one in service.status.get("conditions") or ()}
    back = turned(service) if service.incremental and wanted.active and wanted.pending else ""
    if back:
        yield Condition(ROLLING_BACK, holds=True, reason=back)
    elif ROLLING_BACK in known:
        yield Condition(ROLLING_BACK, holds=False, reason="NoRollback")
    if service.incremental:
        found = trouble(service, weights_of(service))
        if found is not None and found.reason == CHANGING:
            return
        reason, text = ("Routed", "") if found is None else (found.reason, found.message)
        yield Condition(GATEWAY_READY, holds=found is None, reason=reason, message=text)
    elif GATEWAY_READY in known:
        yield GATEWAY_READY


def _cluster_status(service: Service, name: str, cluster: Object | None, share: Object) -> Object:
    if not name:
        return {}
    fact = None if cluster is None else fact_of(service, cluster)
    known = {} if fact is None or fact.error else {"applicationStatuses": statuses(fact)}
    return {"rayClusterName": name, "rayClusterStatus": (cluster or {}).get("status") or {}, **known, **share}


def noted(service: Service, said: Iterable[Condition | str], **fields: Any) -> Object:
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
