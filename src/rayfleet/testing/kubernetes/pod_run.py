"""One pod's life on a kubelet of processes: network, volumes, init containers, containers, probes, and its end."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rayfleet.testing.kubernetes import pod_sources
from rayfleet.testing.kubernetes.api import Api
from rayfleet.testing.kubernetes.node_keeper import now
from rayfleet.testing.kubernetes.pod_container import Container, ContainerSpec, Mount
from rayfleet.testing.kubernetes.pod_environment import MissingSource, Sources, command, environment
from rayfleet.testing.kubernetes.pod_network import GATEWAY, PodNetwork
from rayfleet.testing.kubernetes.pod_view import ContainerView, PodView, ended, new_view
from rayfleet.testing.kubernetes.pod_volumes import NoSuchVolume, lay_out, mounts
from rayfleet.testing.kubernetes.probes import Probes

Json = dict[str, Any]

BACK_OFF_MAX_S = 10.0
RETRY_S = 1.0
HOST_NAME_MAX = 63


@dataclass(frozen=True, slots=True)
class Site:
    """What the pods of one kubelet share.

    `variables`: what an image would set, PATH above all. `folders`: of this machine, seen as they are by every
    container, whatever its volumes would hide (a checkout below /tmp).
    """

    api: Api
    network: PodNetwork
    folder: Path
    variables: Mapping[str, str]
    changed: Callable[["PodRun"], None]
    folders: tuple[Path, ...] = ()
    back_off_s: float = 1.0


@dataclass(slots=True)
class PodRun:
    """A pod that runs, or has ended and is looked at still."""

    object: Json
    site: Site
    ip: str
    host_ip: str
    view: PodView = field(init=False)
    namespace: str = field(init=False)
    name: str = field(init=False)
    uid: str = field(init=False)
    containers: dict[str, Container] = field(default_factory=dict, init=False)
    logs: dict[str, list[Path]] = field(default_factory=dict, init=False)
    leaving: bool = field(default=False, init=False)
    _network: str = field(default="", init=False)
    _life: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        metadata = self.object["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.view = new_view(self.object, self.ip, self.host_ip, now())
        self.folder.mkdir(parents=True)
        self.hosts.write_text("127.0.0.1\tlocalhost\n", encoding="utf-8")

    @property
    def folder(self) -> Path:
        """Everything that it writes on this machine."""
        return self.site.folder / self.uid

    @property
    def hosts(self) -> Path:
        """Its containers' /etc/hosts."""
        return self.folder / "hosts"

    # ---- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let it live."""
        self._life = asyncio.create_task(self._live())

    async def end(self, grace_s: float) -> None:
        """End it, all containers at once, and leave nothing of it on this machine."""
        self.leaving = True
        await asyncio.gather(*(container.stop(grace_s) for container in self.containers.values()))
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        await asyncio.gather(*(container.wait() for container in self.containers.values()))
        await self.site.network.remove(self._network)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _live(self) -> None:
        self._network = await self.site.network.add(self.ip)
        volumes = await self._volumes()
        for spec in self.object["spec"].get("initContainers", ()):
            await self._keep(spec, volumes, init=True)
            if self.view.phase == "Failed":
                return
        await asyncio.gather(*(self._keep(spec, volumes) for spec in self.object["spec"]["containers"]))

    async def _volumes(self) -> dict[str, Path]:
        """Lay out all volumes; what they refer to is waited for, as a real kubelet does."""
        while True:
            try:
                return await self._lay_out()
            except (MissingSource, NoSuchVolume) as problem:
                self._wait_everywhere("ContainerCreating", str(problem))
                await asyncio.sleep(RETRY_S)

    async def _lay_out(self) -> dict[str, Path]:
        sources = await self._sources()
        laid = {}
        for volume in self.object["spec"].get("volumes", ()):
            there = await pod_sources.with_disk(self.site.api, self.object, volume)
            tokens = await pod_sources.tokens(self.site.api, self.object, volume)
            laid[volume["name"]] = lay_out(there, self.folder / "volumes", sources, tokens)
        return laid

    async def _sources(self) -> Sources:
        told = {"podIP": self.ip, "podIPs": [{"ip": self.ip}], "hostIP": self.host_ip}
        pod = {**self.object, "status": {**self.object["status"], **told}}
        return await pod_sources.fetch(self.site.api, pod)

    async def _keep(self, spec: Json, volumes: Mapping[str, Path], *, init: bool = False) -> None:
        """Start a container, and again when it ends, as long as the pod's restart policy wants that."""
        back_off_s = self.site.back_off_s
        policy = "OnFailure" if init and self.view.restart_policy == "Always" else self.view.restart_policy
        while True:
            container = await self._started(spec, volumes)
            code = await self._watched(spec, container, init=init)
            view = ended(self._view(spec["name"]), policy, (code, "", now()))
            self._show(view)
            if view.exit_code is not None or self.leaving:
                return
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    async def _watched(self, spec: Json, container: Container, *, init: bool) -> int:
        """Wait for its end, with its probes beside; return its code."""
        watching = [] if init else self._probe(spec, container)
        try:
            return await container.wait()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _started(self, spec: Json, volumes: Mapping[str, Path]) -> Container:
        """Start a container once what it refers to is there."""
        name = spec["name"]
        container = None
        while container is None:
            try:
                container = Container(await self._container_spec(spec, volumes))
            except MissingSource as problem:
                waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(problem)}}
                self._show(replace(self._view(name), state=waiting))
                await asyncio.sleep(RETRY_S)
        await container.start()
        self.containers[name] = container
        probed = "readinessProbe" in spec or "startupProbe" in spec
        self._show(replace(self._view(name), state={"running": {"startedAt": now()}}, ready=not probed))
        return container

    async def _container_spec(self, spec: Json, volumes: Mapping[str, Path]) -> ContainerSpec:
        name = spec["name"]
        variables = {
            **self.site.variables,
            "HOSTNAME": self.name,
            "KUBERNETES_SERVICE_HOST": GATEWAY,
            "KUBERNETES_SERVICE_PORT": "443",
            **environment(spec, await self._sources()),
        }
        argv = command(spec, variables)
        if not argv:
            raise MissingSource(f"container {name} needs a command: there are no images here that could bring one")
        starts = self.logs.setdefault(name, [])
        starts.append(self.folder / f"{name}-{len(starts)}.log")
        starts[-1].touch()
        return ContainerSpec(
            argv,
            variables,
            self._network,
            self.name[:HOST_NAME_MAX],
            self.folder / "containers" / f"{name}-{len(starts)}",
            starts[-1],
            self.hosts,
            (*mounts(spec, volumes), *(Mount(folder, str(folder), read_only=True) for folder in self.site.folders)),
            spec.get("workingDir", "/"),
        )

    def _probe(self, spec: Json, container: Container) -> list[asyncio.Task[None]]:
        """Start what watches a container."""

        def ready(good: bool) -> None:  # noqa: FBT001 - the answer of a probe
            self._show(replace(self._view(spec["name"]), ready=good))

        async def end() -> None:
            await container.stop(self.object["spec"].get("terminationGracePeriodSeconds", 30))

        return Probes(spec, container, self.ip, ready, end).start()

    # ---- what is known of it -----------------------------------------------------------------------------------------

    def _view(self, name: str) -> ContainerView:
        return next(view for view in (*self.view.inits, *self.view.containers) if view.name == name)

    def _show(self, changed: ContainerView) -> None:
        """Take in a container's new state, and have it written."""

        def swapped(views: tuple[ContainerView, ...]) -> tuple[ContainerView, ...]:
            return tuple(changed if view.name == changed.name else view for view in views)

        self.view = replace(self.view, inits=swapped(self.view.inits), containers=swapped(self.view.containers))
        self.site.changed(self)

    def _wait_everywhere(self, reason: str, message: str) -> None:
        waiting = {"waiting": {"reason": reason, "message": message}}
        views = tuple(replace(view, state=waiting) for view in self.view.containers)
        if views != self.view.containers:
            self.view = replace(self.view, containers=views)
            self.site.changed(self)
