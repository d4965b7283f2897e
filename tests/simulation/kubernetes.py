"""A pretend Kubernetes on virtual time: an API server in memory, kubelets that run every pod, operators."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.kube_operator.raycluster.clusters import raycluster

from rayfleet.kube_operator.central.workshop import EngineMaker, ray_engine
from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.kube_operator.runtime.operator import Edges, Operator
from rayfleet.kube_operator.runtime.servers import Servers
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Object, is_leaving, key_of, labels_of

CLUSTER = Key("team", "demo")
Act = Callable[["Stage"], Awaitable[Any]]


class Silent:
    """Servers of clusters that say nothing."""

    async def ask(self, probe: Probe) -> object:
        return f"nothing at {probe.target}"

    async def call(self, call: Call) -> None:
        raise AssertionError(f"nobody was to be told {call}")


class Stage:
    """One API server, its kubelets, and operators that come and go.

    `door`: the API server as operators see it. `servers`: those of the clusters. `engine`: how operators reach Ray.
    """

    def __init__(self, *, kubelet: bool = True) -> None:
        self.kube = FakeKube(now=VirtualClock().now, pods_linger=True)
        self.door: Kube = self.kube
        self.servers: Servers = Silent()
        self.settings = OperatorSettings()
        self.engine: EngineMaker = ray_engine
        self.boot_s = 0.0
        self._serial = self._addresses = 0
        self._operator: asyncio.Task[None] | None = None
        self._kubelet = asyncio.create_task(self._run_pods()) if kubelet else None

    async def start(self) -> None:
        """Start another operator; the one before is killed."""
        await self.kill()
        self._serial += 1
        now, word = VirtualClock().now, f"op{self._serial}"
        self.operator = Operator(Edges(self.door, self.settings, word, now, self.servers, engine=self.engine))
        self._operator = asyncio.create_task(self.operator.run())

    async def kill(self) -> None:
        if self._operator is not None:
            self._operator.cancel()
            await asyncio.gather(self._operator, return_exceptions=True)

    async def close(self) -> None:
        await self.kill()
        if self._kubelet is not None:
            self._kubelet.cancel()
            await asyncio.gather(self._kubelet, return_exceptions=True)

    async def apply(self, *groups: Object, **spec: Any) -> None:
        wanted = raycluster(*groups, **spec)
        wanted["metadata"] = {"name": "demo", "namespace": "team"}
        await self.kube.create(RAY_CLUSTER, wanted)

    def pods(self, kind: str = "worker") -> list[Object]:
        every = self.kube.things(POD)
        return [pod for pod in every if labels_of(pod)["ray.io/node-type"] == kind and not is_leaving(pod)]

    def head(self, cluster: str) -> Object | None:
        """Return the head of a cluster, None while it has none that runs."""
        heads = (pod for pod in self.pods("head") if labels_of(pod)["ray.io/cluster"] == cluster)
        return next((pod for pod in heads if pod["status"]["phase"] == "Running"), None)

    def status(self) -> Object:
        (cluster,) = self.kube.things(RAY_CLUSTER)
        status: Object = cluster.get("status") or {}
        return status

    async def _run_pods(self) -> None:
        """Have every pod run `boot_s` after it was made, and go a second after it was told to."""
        seen: dict[Key, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            for pod in self.kube.things(POD):
                if is_leaving(pod):
                    self.kube.finish(key_of(pod))
                elif loop.time() - seen.setdefault(key_of(pod), loop.time()) < self.boot_s:
                    continue
                elif pod["status"]["phase"] == "Pending":
                    name = pod["spec"]["containers"][0]["name"]
                    running = {"name": name, "ready": True, "state": {"running": {}}}
                    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
                    self._addresses += 1
                    address = f"10.0.{self._addresses // 250}.{self._addresses % 250 + 1}"
                    self.kube.set_status(POD, key_of(pod), {**status, "podIP": address, "containerStatuses": [running]})


def on_stage(act: Act) -> Any:
    async def main() -> Any:
        stage = Stage()
        try:
            await stage.start()
            return await act(stage)
        finally:
            await stage.close()

    return run_virtual(main())
