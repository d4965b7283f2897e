"""The Gateway of a service and the HTTPRoute behind it, which divides requests between two clusters.

Gateway <name>-gateway <--- HTTPRoute <name>-httproute ---> Service <active>-serve-svc, with a weight
'--> Service <pending>-serve-svc, with a weight
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.services import serve_service
from rayfleet.kube_operator.rayservice.serve import covers
from rayfleet.kube_operator.rayservice.state import Service
from rayfleet.kube_operator.reconciling import Action, Create, Delete, Patch
from rayfleet.wire.kube.objects import GATEWAY, HTTP_ROUTE, Kind, Object, is_leaving, key_of, uid_of

LISTENER: Final = "http"
PORT: Final = 80
NO_GATEWAY: Final = "FailedCreateGateway"
NO_ROUTE: Final = "FailedCreateHTTPRoute"
CHANGING: Final = "RouteChanging"
"""All is well, but for the moment that other weights take to become known."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why requests are not divided: a word for programs, a sentence for people."""

    reason: str
    message: str


def gateway_name(service: Service) -> str:
    """Return the name of the Gateway."""
    return f"{service.name}-gateway"


def gateway_of(service: Service) -> Object:
    """Return the Gateway through which requests come."""
    listener = {"name": LISTENER, "protocol": "HTTP", "port": PORT}
    spec = {"gatewayClassName": service.upgrade_options.gateway_class_name, "listeners": [listener]}
    return {"metadata": _metadata(service, gateway_name(service)), "spec": spec}


def route_of(service: Service, weights: Mapping[str, int]) -> Object:
    """Return the HTTPRoute with these weights. `weights`: by cluster; clusters that are not there are left out."""
    clusters = [(service.cluster(name), weight) for name, weight in weights.items()]
    backends = [_backend(Cluster.read(cluster, service.settings), weight) for cluster, weight in clusters if cluster]
    spec = {
        "parentRefs": [{"name": gateway_name(service), "namespace": service.namespace}],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}],
    }
    return {"metadata": _metadata(service, f"{service.name}-httproute"), "spec": spec}


def routing(service: Service, weights: Mapping[str, int]) -> Iterator[Action]:
    """Yield what makes Gateway and HTTPRoute be as they should."""
    gateway = gateway_of(service)
    yield from _in_step(service, GATEWAY, gateway, NO_GATEWAY)
    if _there(service, GATEWAY, gateway) is not None and any(service.cluster(name) for name in weights):
        yield from _in_step(service, HTTP_ROUTE, route_of(service, weights), NO_ROUTE)


def no_routing(service: Service, why: str = "the service has no incremental upgrades any more") -> Iterator[Delete]:
    """Yield what takes Gateway and HTTPRoute away from a service that no longer asks for them, or serves nothing."""
    for kind in (HTTP_ROUTE, GATEWAY):
        for thing in service.seen.all(kind):
            if not is_leaving(thing):
                yield Delete(kind, key_of(thing), uid_of(thing), why)


def trouble(service: Service, weights: Mapping[str, int]) -> Trouble | None:
    """Return why requests are not divided by these weights, None when they are."""
    gateway, route = (
        _there(service, kind, wanted)
        for kind, wanted in ((GATEWAY, gateway_of(service)), (HTTP_ROUTE, route_of(service, weights)))
    )
    if gateway is None:
        return _no_gateway(service)
    class_name = service.upgrade_options.gateway_class_name
    if lacking := _lacking((gateway.get("status") or {}).get("conditions") or (), ("Accepted", "Programmed")):
        said = f"Gateway {gateway_name(service)} is not {lacking}; is there a controller for class {class_name}?"
        return Trouble("GatewayNotReady", said)
    if route is None:
        return Trouble("RouteNotReady", f"HTTPRoute {service.name}-httproute is being made")
    conditions = [*_of_parent(route, gateway)]
    if lacking := _lacking(conditions, ("Accepted", "ResolvedRefs")):
        return Trouble("RouteNotReady", f"HTTPRoute {key_of(route).name} is not {lacking} by its Gateway")
    generation = route["metadata"].get("generation")
    seen = all(one.get("observedGeneration", generation) == generation for one in conditions)
    if not (seen and covers(route["spec"], route_of(service, weights)["spec"])):
        return Trouble(CHANGING, f"HTTPRoute {key_of(route).name} gets other weights")
    return None


def _no_gateway(service: Service) -> Trouble:
    failed = next((one for one in service.seen.failures if one.reason == NO_GATEWAY), None)
    if failed is None:
        return Trouble("GatewayNotReady", "the Gateway is being made")
    if failed.error != "NotFound":
        return Trouble(NO_GATEWAY, failed.message)
    name = names.serve_service_name(service.name)
    return Trouble(
        "GatewayApiMissing",
        "incremental upgrades need the Gateway API: install its resources (Gateway and HTTPRoute of "
        f"gateway.networking.k8s.io/v1) and a controller for class {service.upgrade_options.gateway_class_name}, or "
        f"choose upgradeStrategy.type NewCluster. Until then no upgrade goes on, and Service {name} goes on to serve",
    )


def _in_step(service: Service, kind: Kind, wanted: Object, failure: str) -> Iterator[Action]:
    there = _there(service, kind, wanted)
    if there is None:
        yield Create(kind, wanted, failure=failure)
    elif not covers(there["spec"], wanted["spec"]):
        yield Patch(kind, key_of(there), {"spec": wanted["spec"]})


def _there(service: Service, kind: Kind, wanted: Object) -> Object | None:
    return next((one for one in service.seen.all(kind) if key_of(one) == key_of(wanted)), None)


def _of_parent(route: Object, gateway: Object) -> Iterable[Object]:
    """Return the conditions that the gateway has put on the route."""
    for parent in (route.get("status") or {}).get("parents") or ():
        if (parent.get("parentRef") or {}).get("name") == key_of(gateway).name:
            conditions: Iterable[Object] = parent.get("conditions") or ()
            return conditions
    return ()


def _lacking(conditions: Iterable[Object], wanted: Iterable[str]) -> str:
    """Return the first condition that does not hold, "" when all do."""
    true = {one["type"] for one in conditions if one["status"] == "True"}
    return next((kind for kind in wanted if kind not in true), "")


def _backend(cluster: Cluster, weight: int) -> dict[str, Any]:
    made = serve_service(cluster)
    port = made["spec"]["ports"][0]["port"]
    return {"name": key_of(made).name, "namespace": cluster.namespace, "port": port, "weight": weight}


def _metadata(service: Service, name: str) -> Object:
    return {
        "name": name,
        "namespace": service.namespace,
        "labels": service.origin_labels,
        "ownerReferences": [service.owner_reference()],
    }
