"""A RayService on virtual time: Serve on its clusters, a gateway that obeys routes, and users who never stop asking."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from tests.simulation.kubernetes import Stage, on_stage
from tests.unit.kube_operator.raycluster.clusters import group, raycluster

from rayfleet.kube_operator.rayservice.serve import APPLICATIONS, CONFIGURE, PROXY, ServeFact
from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.wire.kube.errors import NotFound
from rayfleet.wire.kube.objects import (
    EVENT,
    GATEWAY,
    HTTP_ROUTE,
    POD,
    RAY_CLUSTER,
    RAY_SERVICE,
    SERVICE,
    Key,
    Object,
    is_leaving,
    key_of,
    labels_of,
)

SHOP = Key("team", "shop")
CONFIG = "applications:\n- name: fruit\n  import_path: fruit:app\n"
REPLICAS_S = 4.0
"""How long Serve takes to have another number of replicas."""


class Serve:
    """The servers of all clusters: Serve does what it is told, some time later, for as long as its head lives."""

    def __init__(self, stage: Stage) -> None:
        self.told: dict[str, Mapping[str, Any]] = {}
        self.silent: set[str] = set()
        """Addresses of heads whose proxy is broken."""
        self._stage = stage
        self._since: dict[str, float] = {}
        self._head: dict[str, str] = {}

    async def ask(self, probe: Probe) -> object:
        if probe.call == PROXY:
            return probe.target.removeprefix("http://").partition(":")[0] not in self.silent
        assert probe.call == APPLICATIONS
        cluster = cluster_in(probe.target)
        return self.state(cluster)

    async def call(self, call: Call) -> None:
        assert call.call == CONFIGURE
        cluster = cluster_in(call.target)
        head = self._stage.head(cluster)
        assert head is not None, "nobody is told anything before there is a head"
        self.told[cluster], self._head[cluster] = call.arguments, key_of(head).name
        self._since[cluster] = asyncio.get_running_loop().time()

    def state(self, cluster: str) -> ServeFact:
        head = self._stage.head(cluster)
        if head is None:
            return ServeFact(error="no head")
        told = self.told.get(cluster)
        if told is None or self._head[cluster] != key_of(head).name:
            return ServeFact()  # another head knows nothing of what the one before it was told
        ready = asyncio.get_running_loop().time() - self._since[cluster] >= REPLICAS_S
        apps = {
            one["name"]: {
                "status": "RUNNING",
                "deployed_app_config": one,
                "deployments": {"Mango": {"status": "HEALTHY" if ready else "UPSCALING"}},
            }
            for one in told["applications"]
        }
        return ServeFact(apps, target_capacity=told.get("target_capacity"))


class Look(NamedTuple):
    """What could be seen at one moment. Shares by cluster: (capacity, traffic)."""

    at: float
    active: str
    pending: str
    shares: Mapping[str, tuple[int, int]]
    route: Mapping[str, int]


class Shop:
    """One RayService on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.serve = stage, Serve(stage)
        self.looks: list[Look] = []
        self.failed: list[str] = []
        """What users were refused, and why."""
        self.has_gateway_api = True
        stage.servers = self.serve
        stage.kube.refuse = self._refuse

    def _refuse(self, _verb: str, kind: Any, _thing: Object) -> NotFound | None:
        gateway = kind in (GATEWAY, HTTP_ROUTE)
        return None if self.has_gateway_api or not gateway else NotFound("the server could not find the resource")

    async def apply(self, version: str = "2.60.0", **spec: Any) -> None:
        wanted = {"serveConfigV2": CONFIG, "rayClusterConfig": cluster_config(version), **spec}
        await self.stage.kube.create(RAY_SERVICE, {"metadata": {"name": "shop", "namespace": "team"}, "spec": wanted})

    async def change(self, version: str = "", **spec: Any) -> None:
        cluster = {"rayClusterConfig": cluster_config(version)} if version else {}
        await self.stage.kube.patch(RAY_SERVICE, SHOP, {"spec": {**cluster, **spec}})

    @property
    def thing(self) -> Object:
        (found,) = self.stage.kube.things(RAY_SERVICE)
        return found

    def names(self) -> tuple[str, str]:
        return names_in(self.thing)

    def shares(self) -> dict[str, tuple[int, int]]:
        return shares_in(self.thing)

    def condition(self, kind: str) -> tuple[str, str]:
        return condition_in(self.thing, kind)

    def message(self, kind: str) -> str:
        return next(str(one["message"]) for one in self.thing["status"]["conditions"] if one["type"] == kind)

    def events(self) -> set[str]:
        return {one["reason"] for one in self.stage.kube.things(EVENT)}

    def clusters(self) -> list[str]:
        return [key_of(one).name for one in self.stage.kube.things(RAY_CLUSTER) if not is_leaving(one)]

    def route(self) -> dict[str, int]:
        for thing in self.stage.kube.things(HTTP_ROUTE):
            (rule,) = thing["spec"]["rules"]
            return {one["name"].removesuffix("-serve-svc"): one["weight"] for one in rule["backendRefs"]}
        return {}

    def _ask(self, weights: Mapping[str, int]) -> None:
        """Have one request go to each backend that gets any, and one to the service's own name."""
        services = {key_of(one).name: one["spec"]["selector"] for one in self.stage.kube.things(SERVICE)}
        pods = [
            pod for pod in self.stage.kube.things(POD) if pod["status"]["phase"] == "Running" and not is_leaving(pod)
        ]
        at = asyncio.get_running_loop().time()
        for name in (*(f"{cluster}-serve-svc" for cluster, weight in weights.items() if weight), "shop-serve-svc"):
            selector = services.get(name)
            if selector is None or not any(selector.items() <= labels_of(pod).items() for pod in pods):
                self.failed.append(f"{at:g}: nobody behind {name}")
                continue
            fact = self.serve.state(selector["ray.io/cluster"])
            if not (fact.applications and fact.capacity):
                self.failed.append(f"{at:g}: no replicas behind {name}")

    async def live(self) -> None:
        """Be its gateway, its users and its witness, for ever."""
        while True:
            for kind, status in ((GATEWAY, _accepted), (HTTP_ROUTE, _resolved)):
                for thing in self.stage.kube.things(kind):
                    self.stage.kube.set_status(kind, key_of(thing), status(thing))
            for thing in self.stage.kube.things(RAY_SERVICE):
                route = self.route()
                if condition_in(thing, "Ready")[0] == "True":
                    self._ask(route)
                at = asyncio.get_running_loop().time()
                self.looks.append(Look(at, *names_in(thing), shares_in(thing), route))
            await asyncio.sleep(1)

    async def until(self, seen: Callable[[], Any], within_s: float = 900) -> None:
        """Wait until something is seen."""
        end = asyncio.get_running_loop().time() + within_s
        while not seen():
            assert asyncio.get_running_loop().time() < end, (self.thing.get("status"), self.route(), self.failed[:5])
            await asyncio.sleep(1)

    async def serves(self, *others: str) -> str:
        """Wait until one cluster serves that is none of `others`, and nothing is on its way; return its name."""
        await self.until(lambda: self.names()[0] not in ("", *others) and not self.names()[1])
        await self.until(lambda: self.condition("Ready")[0] == "True")
        return self.names()[0]

    def traffic(self) -> int:
        """Return how much of the requests the pending cluster gets."""
        return self.route().get(self.names()[1], 0) if self.names()[1] else 0


def names_in(thing: Object) -> tuple[str, str]:
    """Return the names of the active and the pending cluster."""
    status = thing.get("status") or {}
    both = (status.get(f"{which}ServiceStatus") or {} for which in ("active", "pending"))
    active, pending = (str(one.get("rayClusterName", "")) for one in both)
    return active, pending


def shares_in(thing: Object) -> dict[str, tuple[int, int]]:
    """Return capacity and traffic of each cluster, as the status has them."""
    status = thing.get("status") or {}
    both = (status.get(f"{which}ServiceStatus") or {} for which in ("active", "pending"))
    return {
        one["rayClusterName"]: (one.get("targetCapacity", -1), one.get("trafficRoutedPercent", -1))
        for one in both
        if one.get("rayClusterName")
    }


def condition_in(thing: Object, kind: str) -> tuple[str, str]:
    """Return status and reason of a condition."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == kind), ("", ""))


def incremental(surge: int = 20, step: int = 10, interval_s: int = 20) -> Object:
    options = {
        "maxSurgePercent": surge,
        "stepSizePercent": step,
        "intervalSeconds": interval_s,
        "gatewayClassName": "test",
    }
    return {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options}


def cluster_config(version: str) -> Object:
    spec: Object = raycluster(group(minReplicas=1), enableInTreeAutoscaling=True, rayVersion=version)["spec"]
    return spec


def cluster_in(url: str) -> str:
    """Return the cluster whose dashboard is at a URL."""
    return url.removeprefix("http://").partition("-head-svc.")[0]


def in_shop(act: Callable[[Shop], Awaitable[Any]]) -> Shop:
    """Run a scenario; return the shop as it is left."""

    async def main(stage: Stage) -> Shop:
        shop = Shop(stage)
        await stage.start()
        living = asyncio.create_task(shop.live())
        try:
            await act(shop)
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        return shop

    shop: Shop = on_stage(main)
    return shop


def _holds(thing: Object, *kinds: str) -> list[Object]:
    generation = thing["metadata"]["generation"]
    return [{"type": kind, "status": "True", "reason": kind, "observedGeneration": generation} for kind in kinds]


def _accepted(gateway: Object) -> Object:
    return {"conditions": _holds(gateway, "Accepted", "Programmed")}


def _resolved(route: Object) -> Object:
    (parent,) = route["spec"]["parentRefs"]
    return {"parents": [{"parentRef": parent, "conditions": _holds(route, "Accepted", "ResolvedRefs")}]}
