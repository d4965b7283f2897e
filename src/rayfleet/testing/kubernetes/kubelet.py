"""Kubelets that only pretend: nodes that register and stay Ready, whose pods run, fail and end as rules say.

    async with StatusKubelet(plane.access, numbered(3)) as kubelet:
        kubelet.rules.rules.append(Rule({"app": "bad"}, image_pull_error()))
        ...
        await kubelet.behave("default", "worker-1", oom_killed())

One watch serves all nodes. A pod costs one write to become ready and one to be gone, and waits for both in one queue
with bounded concurrency, so that thousands of pods are a matter of seconds.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rayfleet.testing.kubernetes.access import Access
from rayfleet.testing.kubernetes.api import MERGE, OUTAGES, Api, ApiError, Event, Json
from rayfleet.testing.kubernetes.behaviour import Behaviour, Rule, Rules
from rayfleet.testing.kubernetes.node_keeper import NodeKeeper, now
from rayfleet.testing.kubernetes.nodes import POD_NETWORK, Addresses, NodeSpec, numbered
from rayfleet.testing.kubernetes.pod_view import PodView, new_view, status

HEARTBEAT_S = 10.0
WRITERS = 16
BACK_OFF_S = 0.5
BOUND = {"fieldSelector": "spec.nodeName!="}
ENDED = ("Succeeded", "Failed")
SERVER_ERROR = 500


@dataclass(slots=True)
class Pod:
    """One pod of ours: as last seen, what its containers do, and the steps ahead.

    `ticket`: the number of what it waits for; whatever comes due with an older one has been overtaken.
    """

    object: Json
    view: PodView
    behaviour: Behaviour
    step: int = 0
    ticket: int = 0
    timer: asyncio.TimerHandle | None = None
    leaving: bool = False

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.object["metadata"]["uid"])

    @property
    def name(self) -> tuple[str, str]:
        """Its namespace and name."""
        return self.object["metadata"]["namespace"], self.object["metadata"]["name"]

    @property
    def path(self) -> str:
        """Its path in the API."""
        return "/api/v1/namespaces/{}/pods/{}".format(*self.name)

    @property
    def node(self) -> str:
        """The node that it is bound to."""
        return str(self.object["spec"]["nodeName"])

    def stop_timer(self) -> None:
        """Forget what it waits for."""
        self.ticket += 1
        if self.timer:
            self.timer.cancel()
            self.timer = None


class StatusKubelet:
    """The kubelets of several nodes, as an asynchronous context. Its methods are called in its own event loop.

    `pod_network`: the first two bytes of its pods' addresses. In 127 they lead to this machine, where something may
    answer in the pods' place.
    """

    def __init__(
        self,
        access: Access,
        nodes: Sequence[NodeSpec] | int = 1,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        pod_network: str = POD_NETWORK,
    ) -> None:
        self._first_nodes = numbered(nodes) if isinstance(nodes, int) else tuple(nodes)
        self._api = Api(access, connections=WRITERS + 4)
        self._nodes = NodeKeeper(self._api, heartbeat_s=heartbeat_s)
        self._rules = Rules()
        self._pods: dict[str, Pod] = {}
        self._due: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._addresses = Addresses(pod_network)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        for spec in self._first_nodes:
            await self._nodes.add(spec)
        work = [self._nodes.beat_for_ever(), self._follow(), *(self._write() for _ in range(WRITERS))]
        self._tasks = [asyncio.create_task(each) for each in work]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for pod in self._pods.values():
            pod.stop_timer()
        await self._api.__aexit__(kind, error, trace)
        broken = [end for end in ends if isinstance(end, Exception)]
        if broken and error is None:
            raise broken[0]

    # ---- what tests do to it ---------------------------------------------------------------------------------------

    async def rule(self, labels: dict[str, str], behaviour: Behaviour) -> None:
        """Pods with these labels that are bound from now on behave like this."""
        self._rules.rules.append(Rule(labels, behaviour))

    async def no_rules(self) -> None:
        """Pods that are bound from now on run at once."""
        self._rules.rules.clear()

    async def behave(self, namespace: str, name: str, behaviour: Behaviour) -> None:
        """Have a pod that is here do something else from now on. KeyError: it is not here."""
        pod = next((pod for pod in self._pods.values() if pod.name == (namespace, name)), None)
        if pod is None:
            raise KeyError(f"no pod {namespace}/{name} on these nodes")
        pod.behaviour, pod.step = behaviour, 0
        self._schedule(pod)

    async def add_node(self, spec: NodeSpec) -> None:
        """Register one more node."""
        await self._nodes.add(spec)

    async def remove_node(self, name: str) -> None:
        """Take a node away as a cloud does; the control plane deletes its pods a minute later. KeyError: not ours."""
        await self._nodes.remove(name)

    async def lose_node(self, name: str) -> None:
        """Cut a node off: no heartbeat, and nothing happens to its pods until `find_node`."""
        self._nodes.lost.add(name)

    async def find_node(self, spec: NodeSpec) -> None:
        """Let a lost node be heard again; what was due of its pods happens now."""
        self._nodes.lost.discard(spec.name)
        await self._nodes.add(spec)
        for pod in self._pods.values():
            if pod.node == spec.name and pod.timer is None:
                self._due.put_nowait((pod.uid, pod.ticket))

    # ---- what it does by itself ------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Take in what happens to pods that are bound to nodes."""
        async for event in self._api.watch("/api/v1/pods", BOUND):
            self._take_in(event)

    def _take_in(self, event: Event) -> None:
        metadata = event.object["metadata"]
        pod = self._pods.get(metadata["uid"])
        if event.type == "DELETED":
            self._forget(metadata["uid"])
        elif pod is not None:
            pod.object = event.object
        elif event.object["spec"]["nodeName"] in self._nodes and event.object["status"].get("phase") not in ENDED:
            pod = self._admit(event.object)
        if pod is not None and "deletionTimestamp" in metadata and not pod.leaving:
            self._leave(pod)

    def _admit(self, bound: Json) -> Pod:
        host_ip = self._nodes.ip(bound["spec"]["nodeName"])
        shared = bound["spec"].get("hostNetwork", False)
        ip = host_ip if shared else self._addresses.take(bound["status"].get("podIP", ""))
        behaviour = self._rules.behaviour(bound["metadata"].get("labels", {}))
        pod = Pod(bound, new_view(bound, ip, host_ip, now()), behaviour)
        self._pods[pod.uid] = pod
        self._schedule(pod)
        return pod

    def _leave(self, pod: Pod) -> None:
        """Start its end: so long as its behaviour takes, at most its grace."""
        pod.leaving = True
        grace_s = pod.object["metadata"].get("deletionGracePeriodSeconds", 0)
        self._wait(pod, min(pod.behaviour.stops_after_s, grace_s))

    def _forget(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is not None:
            pod.stop_timer()
            self._addresses.give_back(pod.view.ip)

    def _schedule(self, pod: Pod) -> None:
        """Wait for its next step, if there is one."""
        if pod.leaving:
            return
        pod.stop_timer()
        if pod.step < len(pod.behaviour.steps):
            self._wait(pod, pod.behaviour.steps[pod.step].after_s)

    def _wait(self, pod: Pod, seconds: float) -> None:
        pod.stop_timer()
        ticket = (pod.uid, pod.ticket)
        if seconds > 0:
            pod.timer = asyncio.get_running_loop().call_later(seconds, self._come_due, pod, ticket)
        else:
            self._due.put_nowait(ticket)

    def _come_due(self, pod: Pod, ticket: tuple[str, int]) -> None:
        pod.timer = None
        self._due.put_nowait(ticket)

    async def _write(self) -> None:
        """Carry out what is due, one pod at a time; there are several of this."""
        while True:
            uid, ticket = await self._due.get()
            pod = self._pods.get(uid)
            if pod is None or pod.ticket != ticket or pod.node in self._nodes.lost:
                continue
            try:
                await (self._delete(pod) if pod.leaving else self._advance(pod))
            except ApiError as refusal:
                if refusal.status >= SERVER_ERROR:
                    self._wait(pod, BACK_OFF_S)
            except OUTAGES:
                self._wait(pod, BACK_OFF_S)

    async def _advance(self, pod: Pod) -> None:
        """Take its next step: one write of its status."""
        if pod.step >= len(pod.behaviour.steps):
            return
        time, ticket = now(), pod.ticket
        view = pod.behaviour.steps[pod.step].change(pod.view, time)
        body = {"status": status(view, pod.object["status"], time)}
        await self._api.request("PATCH", f"{pod.path}/status", body, as_type=MERGE)
        pod.view = view
        if pod.ticket == ticket:  # else a test has given it other steps meanwhile, or it leaves
            pod.step += 1
            self._schedule(pod)

    async def _delete(self, pod: Pod) -> None:
        """Say that nothing of it is left."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        await self._api.request("DELETE", pod.path, options)
