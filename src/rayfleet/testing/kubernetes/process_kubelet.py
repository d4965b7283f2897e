"""A kubelet whose pods really run: a container is a process tree of this machine with a root and a network of its own.

    async with ProcessKubelet(plane.access, variables={"PATH": os.environ["PATH"]}):
        ...                                     # kubectl apply, logs, exec; pods reach each other and the API server

Images are ignored: every container sees this machine's files, under its own changes. Needs root, the programs ip,
nsenter and unshare, and a control plane of its own machine. Several nodes are several names for the same machine.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from rayfleet.testing.kubernetes.access import Access
from rayfleet.testing.kubernetes.api import MERGE, Api, ApiError, Event, Json
from rayfleet.testing.kubernetes.kubelet import BOUND, ENDED, HEARTBEAT_S
from rayfleet.testing.kubernetes.kubelet_server import KubeletServer
from rayfleet.testing.kubernetes.node_keeper import NodeKeeper, now
from rayfleet.testing.kubernetes.nodes import POD_NETWORK, Addresses, NodeSpec
from rayfleet.testing.kubernetes.pod_network import GATEWAY, PodNetwork
from rayfleet.testing.kubernetes.pod_run import PodRun, Site
from rayfleet.testing.kubernetes.pod_view import status
from rayfleet.testing.kubernetes.service_names import hosts

API_PORT = 443
CONNECTIONS = 32
RELAY_BYTES = 65_536
GONE = (404, 409)


class ProcessKubelet:
    """The kubelet of one machine under one or more node names, as an asynchronous context."""

    def __init__(
        self,
        access: Access,
        nodes: Sequence[NodeSpec] = (NodeSpec("machine"),),
        *,
        variables: Mapping[str, str] | None = None,
        folders: Sequence[Path] = (),
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self.access = access
        self.pods: dict[str, PodRun] = {}
        self._specs = tuple(nodes)
        self._heartbeat_s = heartbeat_s
        self._variables = variables or {"PATH": os.environ.get("PATH", ""), "HOME": "/root", "LANG": "C.UTF-8"}
        self._folders = tuple(folders)
        self._api = Api(access, connections=CONNECTIONS)
        self._network = PodNetwork()
        self._addresses = Addresses(POD_NETWORK)
        self._endpoints: dict[str, Json] = {}
        self._unwritten: asyncio.Queue[PodRun] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as parts:
            await parts.enter_async_context(self._api)
            folder = Path(tempfile.mkdtemp(prefix="rayfleet-kubelet-"))
            parts.callback(shutil.rmtree, folder)
            await self._network.up()
            parts.push_async_callback(self._network.down)
            self._site = Site(
                self._api, self._network, folder, self._variables, self._unwritten.put_nowait, self._folders
            )
            relay = await asyncio.start_server(self._pass_on, GATEWAY, API_PORT)
            parts.callback(relay.close)
            server = KubeletServer(self.find, self.access.ca, folder)
            parts.push_async_callback(server.stop)
            await self._register(await server.start(GATEWAY))
            parts.push_async_callback(self._end_all)
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._parts.aclose()
        if self._failures and error is None:
            raise self._failures[0]

    async def _register(self, port: int) -> None:
        """Register the nodes, whose kubelet answers at this port, and begin to work."""
        self._nodes = NodeKeeper(self._api, heartbeat_s=self._heartbeat_s, kubelet_port=port, address=GATEWAY)
        for spec in self._specs:
            await self._nodes.add(spec)
        for work in (self._nodes.beat_for_ever(), self._follow_pods(), self._follow_endpoints(), self._write()):
            self._do(work)

    async def _end_all(self) -> None:
        """End all work and all pods."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(pod.end(0) for pod in self.pods.values()))

    def find(self, namespace: str, name: str) -> PodRun | None:
        """Return a pod that is here."""
        return next((pod for pod in self.pods.values() if (pod.namespace, pod.name) == (namespace, name)), None)

    async def add_node(self, spec: NodeSpec) -> None:
        """Register one more node: another name for this machine."""
        await self._nodes.add(spec)

    async def remove_node(self, name: str) -> None:
        """Take a node away as a cloud does; the control plane deletes its pods a minute later. KeyError: not ours."""
        await self._nodes.remove(name)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside; what fails there fails the kubelet when it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._failures.append(problem)

    # ---- pods --------------------------------------------------------------------------------------------------------

    async def _follow_pods(self) -> None:
        async for event in self._api.watch("/api/v1/pods", BOUND):
            self._take_in(event)

    def _take_in(self, event: Event) -> None:
        metadata = event.object["metadata"]
        pod = self.pods.get(metadata["uid"])
        if event.type == "DELETED":
            if pod is not None:  # by force: nobody has asked its processes
                self._leave(pod, 0)
        elif pod is not None:
            pod.object = event.object
        elif event.object["spec"]["nodeName"] in self._nodes and event.object["status"].get("phase") not in ENDED:
            pod = self._admit(event.object)
        if pod is not None and "deletionTimestamp" in metadata:
            self._leave(pod, metadata.get("deletionGracePeriodSeconds", 0))

    def _admit(self, bound: Json) -> PodRun:
        pod = PodRun(bound, self._site, self._addresses.take(), GATEWAY)
        self.pods[pod.uid] = pod
        self._name_services(pod)
        pod.start()
        self._unwritten.put_nowait(pod)
        return pod

    def _leave(self, pod: PodRun, grace_s: float) -> None:
        if not pod.leaving:
            pod.leaving = True
            self._do(self._end(pod, grace_s))

    async def _end(self, pod: PodRun, grace_s: float) -> None:
        await pod.end(grace_s)
        del self.pods[pod.uid]
        self._addresses.give_back(pod.ip)
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        try:
            await self._api.insist("DELETE", path, options)
        except ApiError as refusal:
            if refusal.status not in GONE:
                raise

    async def _write(self) -> None:
        """Write the status of pods that have changed, one after the other."""
        while True:
            pod = await self._unwritten.get()
            path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status"
            body = {"metadata": {"uid": pod.uid}, "status": status(pod.view, pod.object["status"], now())}
            try:
                await self._api.insist("PATCH", path, body, as_type=MERGE)
            except ApiError as refusal:
                if refusal.status not in GONE:
                    raise

    # ---- names and the API server ------------------------------------------------------------------------------------

    async def _follow_endpoints(self) -> None:
        async for event in self._api.watch("/api/v1/endpoints"):
            uid = event.object["metadata"]["uid"]
            if event.type == "DELETED":
                self._endpoints.pop(uid, None)
            else:
                self._endpoints[uid] = event.object
            for pod in self.pods.values():
                self._name_services(pod)

    def _name_services(self, pod: PodRun) -> None:
        """Write its hosts file anew, in place: it is mounted."""
        if pod.leaving:
            return
        own = {
            pod.name: pod.ip,
            "kubernetes.default.svc": GATEWAY,
            "kubernetes.default": GATEWAY,
            "kubernetes": GATEWAY,
        }
        text = hosts(self._endpoints.values(), pod.namespace, own)
        if pod.hosts.read_text(encoding="utf-8") != text:
            pod.hosts.write_text(text, encoding="utf-8")

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a pod's connection on to the API server, which listens on loopback only."""
        url = urlsplit(self.access.url)
        try:
            there, to_there = await asyncio.open_connection(url.hostname, url.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(RELAY_BYTES):
            sink.write(chunk)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
