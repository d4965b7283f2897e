"""An engine whose nodes grow: Ray as the loop sees it, with pods that are resized before anything is launched.

Ray --look--> view --choose--> view with pods as large as they will be ---> planner
|
'--> pods/resize ---> kubelet ---> pod is as large ---> Ray is told (ResizeRaylet...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from rayfleet.config.rayio.growth import Growth
from rayfleet.contracts import EngineDown, EngineError, EngineView, Resizable, StartScript
from rayfleet.kube_operator.growing.choose import choose
from rayfleet.kube_operator.growing.pods import STATUS_ANNOTATION, Attempt, Growing, Kept, growing, resize
from rayfleet.model import NodeFact, Pool, TickReport
from rayfleet.wire.kube.errors import KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import POD, Object, annotations_of, is_leaving, key_of, labels_of

log = structlog.get_logger()

GROUP_LABEL: Final = "ray.io/group"
SUBRESOURCE: Final = "resize"


@dataclass
class GrowingEngine:
    """The Engine contract over another engine, of one event loop.

    `pods` gives all pods of the cluster, None when it does not know them. `now`: seconds since the epoch. `allowed`:
    which groups may grow, None when that has not been read yet, so that nothing can be concluded from what waits.
    """

    inner: Resizable
    kube: Kube
    pods: Callable[[], Iterable[Object] | None]
    now: Callable[[], float]
    allowed: Mapping[str, Growth] | None = None
    _supported: bool | None = None
    _changed: dict[str, Object] = field(default_factory=dict)

    async def look(self) -> EngineView:
        """Return demand and nodes, pods that grow as large as they will be; have those grow that should. EngineDown."""
        if self.allowed is None:
            raise EngineDown("which pods may grow has not been read yet")
        view = await self.inner.look()
        if not self.allowed or not await self._is_supported():
            return view
        every = self.pods()
        if every is None:
            raise EngineDown("the API server has not told yet which pods grow")
        pods = {key_of(pod).name: self._newest(pod) for pod in every if not is_leaving(pod)}
        known = {name: one for name, pod in pods.items() if (one := self._growing(pod)) is not None}
        for one in known.values():
            await self._follow_up(one, pods[one.name])
        choice = choose(view, known)
        failed = [name for name in choice.grow if not await self._grow(known[name], pods[name], view)]
        if not failed:
            return choice.view
        return choose(view, {name: one for name, one in known.items() if name not in failed}).view

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        """Pass it on."""
        await self.inner.drain(node_id, deadline, reason, voluntary=voluntary)

    async def publish(self, report: TickReport) -> None:
        """Pass it on."""
        await self.inner.publish(report)

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        """Pass it on."""
        return self.inner.start_script(pool, head=head)

    async def close(self) -> None:
        """Pass it on."""
        await self.inner.close()

    async def _is_supported(self) -> bool:
        """Find out once whether the API server can resize pods."""
        if self._supported is None:
            try:
                self._supported = await self.kube.serves(POD, SUBRESOURCE)
            except KubeError as error:
                log.warning("growth_waits", error=str(error))
                return False
            if not self._supported:
                log.warning(
                    "growth_unsupported", hint="the API server has no pods/resize: Kubernetes 1.33 or newer has"
                )
        return self._supported

    def _growing(self, pod: Object) -> Growing | None:
        group = labels_of(pod).get(GROUP_LABEL, "")
        allowed = (self.allowed or {}).get(group)
        return growing(pod, group, allowed, self.now()) if allowed is not None else None

    async def _grow(self, one: Growing, pod: Object, view: EngineView) -> bool:
        """Have a pod grow; return False when that is refused, after which it rests."""
        node = next(node.id for node in view.nodes if node.instance_id == one.name and node.state is NodeFact.ALIVE)
        log.info("pod_grows", pod=one.name, to=str(one.goal))
        try:
            await self.kube.patch(POD, key_of(pod), resize(pod, one.goal), SUBRESOURCE)
            await self._keep(pod, Kept(node, self.now()))
        except KubeError as error:
            log.warning("growth_refused", pod=one.name, error=str(error))
            await self._keep(pod, Kept(node, None, self.now(), str(error)))
            return False
        return True

    async def _follow_up(self, one: Growing, pod: Object) -> None:
        """Tell Ray of a pod that has grown; have one that could not be as it was."""
        if one.attempt is Attempt.SETTLED:
            await self._settle(one, pod)
        elif one.attempt is Attempt.FAILED:
            await self._take_back(one, pod)

    async def _settle(self, one: Growing, pod: Object) -> None:
        try:
            await self.inner.resize(one.kept.node, one.now)
        except EngineError as error:
            log.warning("growth_untold", pod=one.name, error=str(error))
            return
        log.info("pod_has_grown", pod=one.name, to=str(one.now))
        await self._keep(pod, replace(one.kept, at=None))

    async def _take_back(self, one: Growing, pod: Object) -> None:
        log.warning("growth_failed", pod=one.name, why=one.why)
        try:
            await self.kube.patch(POD, key_of(pod), resize(pod, one.now), SUBRESOURCE)
        except KubeError as error:
            log.warning("growth_not_taken_back", pod=one.name, error=str(error))
            return
        await self._keep(pod, Kept(one.kept.node, None, self.now(), one.why))

    async def _keep(self, pod: Object, kept: Kept) -> None:
        try:
            self._changed[key_of(pod).name] = await self.kube.patch(POD, key_of(pod), kept.change())
        except KubeError as error:
            log.warning("growth_not_kept", pod=key_of(pod).name, error=str(error))

    def _newest(self, pod: Object) -> Object:
        """Return a pod as we have left it, until that is seen: else what was begun would be begun again."""
        ours = self._changed.get(key_of(pod).name)
        if ours is None:
            return pod
        if annotations_of(ours)[STATUS_ANNOTATION] == annotations_of(pod).get(STATUS_ANNOTATION):
            del self._changed[key_of(pod).name]
            return pod
        return ours
