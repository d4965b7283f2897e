"""What leads requests from outside to pods: a Service's in turn, or an HTTPRoute's Services by their weights.

    async with Front(access, "default", "service/shop") as front:
        ...                                     # GET front.url reaches a pod; 503 where there is none

It accepts every Gateway and HTTPRoute of its namespace, as their controller would. Nothing is tried again and no
connection is kept: whoever is led astray is told so. Pods are reached by their own addresses.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
from aiohttp import web

from rayfleet.testing.kubernetes.access import Access
from rayfleet.testing.kubernetes.api import MERGE, Api, ApiError, Json
from rayfleet.testing.kubernetes.gateway_api import GROUP

PORT: Final = 8000
SERVICE, ROUTE = "service", "httproute"
_GONE: Final = (404, 409)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)


class Take(Protocol):
    """How an object is taken in."""

    def __call__(self, thing: Json, /, *, gone: bool) -> Json:
        """Return the status that it gets."""
        ...


class Turns:
    """Whose turn it is: over any stretch everybody comes as often as their weight says, give or take one."""

    def __init__(self) -> None:
        self._credit: dict[str, float] = defaultdict(float)

    def next(self, weights: Mapping[str, int]) -> str | None:
        """Return who is next, None when nobody has any weight."""
        weights = {name: weight for name, weight in weights.items() if weight > 0}
        if not weights:
            return None
        for name in [name for name in self._credit if name not in weights]:
            del self._credit[name]
        for name, weight in weights.items():
            self._credit[name] += weight
        chosen = max(weights, key=lambda name: self._credit[name])
        self._credit[chosen] -= sum(weights.values())
        return chosen


class Front:
    """One front of one namespace, as an asynchronous context. `target`: service/NAME or httproute/NAME."""

    def __init__(self, access: Access, namespace: str, target: str) -> None:
        self._kind, _, self._name = target.partition("/")
        if self._kind not in (SERVICE, ROUTE):
            raise ValueError(f"{target}: give {SERVICE}/NAME or {ROUTE}/NAME")
        self.url = ""
        self.weights: dict[str, int] = {}
        """The route's weights as they are now, by Service."""
        self._namespace = namespace
        self._api = Api(access)
        self._ready: dict[str, list[str]] = {}
        self._turns: dict[str, Turns] = defaultdict(Turns)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=_TIMEOUT)
        works = [self._follow_endpoints()]
        if self._kind == ROUTE:
            works += [self._follow("gateways", self._gateway), self._follow("httproutes", self._route)]
        self._tasks = [asyncio.create_task(work) for work in works]
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        await self._api.__aexit__(kind, error, trace)

    def answers(self) -> bool:
        """Say whether there is somebody behind every name that requests are led to."""
        led = [self._name] if self._kind == SERVICE else [name for name, weight in self.weights.items() if weight]
        return bool(led) and all(self._ready.get(name) for name in led)

    # ---- what is there -----------------------------------------------------------------------------------------------

    async def _follow_endpoints(self) -> None:
        async for event in self._api.watch(f"/api/v1/namespaces/{self._namespace}/endpoints"):
            gone = event.type == "DELETED"
            self._ready[event.object["metadata"]["name"]] = [] if gone else [*_addresses(event.object)]

    async def _follow(self, plural: str, take: Take) -> None:
        path = f"/apis/{GROUP}/v1/namespaces/{self._namespace}/{plural}"
        async for event in self._api.watch(path):
            status = take(event.object, gone=event.type == "DELETED")
            if event.type == "DELETED" or status == event.object.get("status"):
                continue
            try:
                name = event.object["metadata"]["name"]
                await self._api.insist("PATCH", f"{path}/{name}/status", {"status": status}, as_type=MERGE)
            except ApiError as refusal:
                if refusal.status not in _GONE:
                    raise

    def _gateway(self, gateway: Json, *, gone: bool) -> Json:
        return {} if gone else {"conditions": _true(gateway, "Accepted", "Programmed")}

    def _route(self, route: Json, *, gone: bool) -> Json:
        spec = route["spec"]
        if route["metadata"]["name"] == self._name:
            backends = [one for rule in spec["rules"] for one in rule["backendRefs"]]
            self.weights = {} if gone else {one["name"]: one.get("weight", 1) for one in backends}
        conditions = _true(route, "Accepted", "ResolvedRefs")
        return {"parents": [{"parentRef": parent, "conditions": conditions} for parent in spec["parentRefs"]]}

    # ---- requests ----------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        service = self._name if self._kind == SERVICE else self._turns[""].next(self.weights)
        ready = self._ready.get(service or "", [])
        address = self._turns[service or ""].next(dict.fromkeys(ready, 1))
        if address is None:
            return web.Response(status=503, text=f"nobody is behind {service or self._name}")
        url = f"http://{address}:{PORT}{request.path_qs}"
        try:
            async with self._session.request(request.method, url, data=await request.read()) as answer:
                return web.Response(status=answer.status, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return web.Response(status=502, text=f"{service} at {address}: {error!r}")


def _addresses(endpoints: Json) -> Iterable[str]:
    for subset in endpoints.get("subsets") or ():
        for each in subset.get("addresses") or ():
            yield str(each["ip"])


def _true(thing: Json, *kinds: str) -> list[Json]:
    generation = thing["metadata"]["generation"]
    return [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": thing["metadata"]["creationTimestamp"],
        }
        for kind in kinds
    ]
