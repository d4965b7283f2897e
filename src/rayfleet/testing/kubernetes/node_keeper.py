"""Registers nodes with an API server and keeps them Ready by their Leases, until one is lost or removed."""

import asyncio
from datetime import UTC, datetime

from rayfleet.testing.kubernetes.api import MERGE, OUTAGES, Api, ApiError
from rayfleet.testing.kubernetes.nodes import LEASES, NODE_NETWORK, Addresses, NodeSpec, lease, node_object

NODES = "/api/v1/nodes"
MISSING = 404
CONFLICT = 409


def now() -> str:
    """Return the time as Kubernetes writes it, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_exactly() -> str:
    """Return the time to the microsecond, as Leases have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class NodeKeeper:
    """The nodes of one kubelet; `kubelet_port` is where all of them answer for logs and exec, if they do.

    `address`: the one of all nodes, where they are this machine; without it each gets a made-up one.
    """

    def __init__(self, api: Api, *, heartbeat_s: float, kubelet_port: int = 10250, address: str = "") -> None:
        self.heartbeat_s = heartbeat_s
        self.lost: set[str] = set()
        self._api = api
        self._port = kubelet_port
        self._address = address
        self._addresses = Addresses(NODE_NETWORK)
        self._ips: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._ips

    def ip(self, name: str) -> str:
        """Return a node's address. KeyError: it is not ours."""
        return self._ips[name]

    async def add(self, spec: NodeSpec) -> None:
        """Register a node; one of that name that is there already is taken over, and well again."""
        ip = self._ips.get(spec.name) or self._address or self._addresses.take()
        body = node_object(spec, ip, now(), port=self._port)
        await self._beat(spec.name)
        try:
            await self._api.insist("POST", NODES, body)
        except ApiError as refusal:
            if refusal.status != CONFLICT:
                raise
            path = f"{NODES}/{spec.name}/status"
            await self._api.insist("PATCH", path, {"status": body["status"]}, as_type=MERGE)
        self._ips[spec.name] = ip

    async def remove(self, name: str) -> None:
        """Take a node away as a cloud does; the control plane deletes its pods a minute later. KeyError: not ours."""
        del self._ips[name]
        self.lost.discard(name)
        await self._api.insist("DELETE", f"{NODES}/{name}")
        await self._api.insist("DELETE", f"{LEASES}/{name}")

    async def beat_for_ever(self) -> None:
        """Renew the Leases of all nodes that are not lost."""
        while True:
            await asyncio.sleep(self.heartbeat_s)
            for name in self._ips.keys() - self.lost:
                await self._beat(name)

    async def _beat(self, name: str) -> None:
        """Renew one Lease, or make it; what an outage swallows, the next beat brings."""
        renewed = lease(name, now_exactly())
        try:
            await self._api.request("PATCH", f"{LEASES}/{name}", {"spec": renewed["spec"]}, as_type=MERGE)
        except ApiError as refusal:
            if refusal.status == MISSING:
                await self._make_lease(renewed)
        except OUTAGES:
            pass

    async def _make_lease(self, wanted: dict[str, object]) -> None:
        try:
            await self._api.request("POST", LEASES, wanted)
        except (ApiError, *OUTAGES):  # a plane that has just started makes the namespace of Leases in its own time
            pass
