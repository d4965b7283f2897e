"""Which cluster serves, and which is to take its place."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.kube_operator.rayservice.incremental import CHANGED, is_back, is_over, turned
from rayfleet.kube_operator.rayservice.serve import CAPACITY, WHOLE, is_configured, is_serving, wanted_config
from rayfleet.kube_operator.rayservice.state import Service, endpoints, fact_of, matches
from rayfleet.wire.kube.objects import Object


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which clusters there are to be: names, "" for none."""

    active: str
    pending: str


def choose(service: Service) -> Clusters:
    """Return which clusters there are to be now."""
    active, pending = service.cluster(service.active_name), service.cluster(service.pending_name)
    spec = service.cluster_spec
    if service.incremental and active is not None and service.pending_name:
        return _by_steps(service)
    if pending is not None and _takes_over(service, pending):
        return Clusters(service.pending_name, "")
    if active is None and service.active_name:  # somebody deleted it
        return Clusters("", service.pending_name or service.fresh_name())
    if active is not None and (matches(active, spec) or not service.upgrades):
        return Clusters(service.active_name, "")
    if service.pending_name and (pending is None or matches(pending, spec)):
        return Clusters(service.active_name, service.pending_name)
    return Clusters(service.active_name, service.fresh_name())


def _by_steps(service: Service) -> Clusters:
    """Return which clusters there are to be while one goes over to the other."""
    if turned(service) == CHANGED:
        return Clusters(service.active_name, "" if is_back(service) else service.pending_name)
    if is_over(service):
        return Clusters(service.pending_name, "")
    return Clusters(service.active_name, service.pending_name)


def _takes_over(service: Service, pending: Object) -> bool:
    """Say whether the pending cluster runs all that is wanted."""
    fact = fact_of(service, pending)
    if fact is None or fact.error or not matches(pending, service.cluster_spec):
        return False
    config = wanted_config(service.spec.serve_config_v2)
    whole = fact.capacity == config.get(CAPACITY, WHOLE)
    if not (whole and is_configured(fact, config) and is_serving(fact, config)):
        return False
    # Where nobody serves yet there is nothing to lose; else somebody must answer from the first moment.
    return not endpoints(service, service.active_name) or endpoints(service, service.pending_name) > 0
