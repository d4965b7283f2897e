"""An upgrade by steps, as it stands: what a service's status says of it, and what is seen of its two clusters."""

from __future__ import annotations

import math
from typing import Any, Final

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.health import moment
from rayfleet.kube_operator.rayservice.gateway import trouble
from rayfleet.kube_operator.rayservice.migration import (
    ALL,
    NOTHING,
    WHOLE,
    Pace,
    Ready,
    Share,
    Split,
    advance,
    due_s,
    is_settled,
)
from rayfleet.kube_operator.rayservice.serve import is_able, is_configured, wanted_config
from rayfleet.kube_operator.rayservice.state import Service, endpoints, fact_of, matches
from rayfleet.wire.kube.objects import Object

LOST: Final = "PendingClusterLost"
CHANGED: Final = "DesiredClusterSpecChanged"
ROLLING_BACK: Final = "RollbackInProgress"


def split_of(service: Service) -> Split:
    """Return the split that was decided on last, as the status has it."""
    active, pending = (service.status.get(f"{which}ServiceStatus") or {} for which in ("active", "pending"))
    times = [one["lastTrafficMigratedTime"] for one in (active, pending) if one.get("lastTrafficMigratedTime")]
    return Split(_share(active, WHOLE), _share(pending, NOTHING), max(map(moment, times), default=None))


def shown(share: Share, moved_at: float | None) -> dict[str, Any]:
    """Return what the status says of a cluster's share."""
    # Rounded up to the second that can be written, so that no interval gets shorter by it.
    moved = {} if moved_at is None else {"lastTrafficMigratedTime": timestamp(math.ceil(moved_at))}
    return {"targetCapacity": share.capacity, "trafficRoutedPercent": share.traffic, **moved}


def weights_of(service: Service) -> dict[str, int]:
    """Return how requests are to be divided between the clusters that there are."""
    split = split_of(service)
    if service.active_name and service.pending_name:
        return {service.active_name: split.active.traffic, service.pending_name: split.pending.traffic}
    only = service.active_name or service.pending_name
    return {only: ALL} if only else {}


def capacity_of(service: Service, name: str) -> int:
    """Return what part of its replicas a cluster is to run."""
    if not (service.incremental and service.active_name and service.pending_name):
        return ALL
    split = split_of(service)
    return (split.active if name == service.active_name else split.pending).capacity


def turned(service: Service) -> str:
    """Return why the upgrade goes back to the active cluster, "" when it goes on."""
    active, pending = service.cluster(service.active_name), service.cluster(service.pending_name)
    wanted = service.cluster_spec
    if (pending is None and active is not None and matches(active, wanted)) or (
        pending is not None and not matches(pending, wanted)
    ):
        return CHANGED
    return LOST if is_lost(service) else ""


def is_lost(service: Service) -> bool:
    """Say whether the pending cluster had requests and has nobody left who answers them."""
    if endpoints(service, service.pending_name):
        return False
    known = {one["type"]: one for one in service.status.get("conditions") or ()}
    before = known.get(ROLLING_BACK, {})
    was_lost = before.get("status") == "True" and before.get("reason") == LOST
    return bool(split_of(service).pending.traffic) or was_lost


def next_split(service: Service) -> Split:
    """Return the split that is to be decided on now."""
    return advance(split_of(service), pace_of(service), _ready(service), service.seen.now, back=bool(turned(service)))


def due_in_s(service: Service) -> float | None:
    """Return when time alone may let the next step happen, in seconds; None: never."""
    if not (service.incremental and service.active_name and service.pending_name):
        return None
    return due_s(split_of(service), pace_of(service), service.seen.now)


def pace_of(service: Service) -> Pace:
    """Return how fast an upgrade may go."""
    options = service.upgrade_options
    return Pace(options.max_surge_percent, options.step_size_percent or ALL, float(options.interval_seconds or 0))


def is_over(service: Service) -> bool:
    """Say whether everything is with the pending cluster."""
    split = split_of(service)
    return split.pending == WHOLE and is_settled(split, service.seen.now) and _ready(service).pending


def is_back(service: Service) -> bool:
    """Say whether everything is with the active cluster again."""
    split = split_of(service)
    given_up = split.pending == NOTHING or (not split.pending.traffic and not endpoints(service, service.pending_name))
    return split.active == WHOLE and given_up


def _ready(service: Service) -> Ready:
    weights = weights_of(service)
    active, pending = service.cluster(service.active_name), service.cluster(service.pending_name)
    return Ready(
        routed=trouble(service, weights) is None,
        active=_runs(service, active, service.active_name),
        pending=_runs(service, pending, service.pending_name) and _is_told(service, pending),
        lost=is_lost(service),
    )


def _runs(service: Service, cluster: Object | None, name: str) -> bool:
    """Say whether a cluster runs all that its share asks for."""
    fact = None if cluster is None else fact_of(service, cluster)
    return fact is not None and is_able(fact, capacity_of(service, name)) and endpoints(service, name) > 0


def _is_told(service: Service, cluster: Object | None) -> bool:
    fact = None if cluster is None else fact_of(service, cluster)
    return fact is not None and is_configured(fact, wanted_config(service.spec.serve_config_v2))


def _share(status: Object, otherwise: Share) -> Share:
    capacity, traffic = status.get("targetCapacity"), status.get("trafficRoutedPercent")
    return Share(
        otherwise.capacity if capacity is None else int(capacity),
        otherwise.traffic if traffic is None else int(traffic),
    )
