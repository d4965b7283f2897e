"""A whole cluster that nobody uses: how long that is so, and what is done about it (`idleTerminationOptions`).

    Drivers.look ---> Unused (pure: since when) ---> long enough ---> Suspend: spec.idleSuspend, the operator does it
                        ^                                         '-> Delete: a finalizer, then the resource itself
                        '--- nobody tells: as if somebody were there

In use is a cluster to which a program of a user's is attached. An actor that was left behind does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from rayfleet.config.rayio.raycluster import IdlePolicy, IdleTerminationOptions, RayClusterSpec
from rayfleet.contracts import Attachment, Drivers, EngineError
from rayfleet.kube_operator.raycluster.names import IDLE_FINALIZER
from rayfleet.wire.kube.errors import Conflict, KubeError, NotFound
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key, Object, is_leaving, uid_of

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
UNASKED_EVERY_S: Final = 30.0
"""A cluster that does not ask for it is read so often, should it begin to."""


@dataclass(frozen=True, slots=True)
class Unused:
    """What must be known from one look to the next. `since`: None while in use, else seconds on the looker's clock.

    `asked`: the cluster asks to be ended.
    """

    since: float | None = None
    ended: int = 0
    asked: bool = True

    def after(self, seen: Attachment | None, now: float) -> Unused:
        """Return it after a look; None: nobody could tell. Somebody who came and went meanwhile begins it anew."""
        if seen is None:
            return Unused(None, self.ended)
        if seen.attached:
            return Unused(None, seen.ended)
        kept = self.since is not None and seen.ended == self.ended
        return Unused(self.since if kept else now, seen.ended)

    def is_due(self, options: IdleTerminationOptions, now: float) -> bool:
        """Say whether the cluster has been without use for as long as its author allows."""
        timeout_s = options.timeout_seconds or 0
        return timeout_s > 0 and self.since is not None and now - self.since >= timeout_s


async def follow_use(kube: Kube, cluster: Key, drivers: Drivers, now: Callable[[], float]) -> None:
    """Watch who uses a cluster, for ever, and end it as it asks for. `now`: seconds on a clock that only goes forward.

    Without `idleTerminationOptions` Ray is not asked at all.
    """
    unused = Unused()
    while True:
        await asyncio.sleep(LOOK_EVERY_S if unused.asked else UNASKED_EVERY_S)
        try:
            unused = await look_once(kube, cluster, drivers, unused, now)
        except (KubeError, ValueError) as error:
            log.warning("idle_termination_waits", cluster=str(cluster), error=str(error))


async def look_once(kube: Kube, cluster: Key, drivers: Drivers, unused: Unused, now: Callable[[], float]) -> Unused:
    """Look once, and do what is due.

    Raises:
        KubeError, ValueError: the resource cannot be read or changed; asked again, it is done again.
    """
    thing = await kube.get(RAY_CLUSTER, cluster)
    spec = RayClusterSpec.model_validate(thing["spec"])
    options = spec.idle_termination_options
    if options is None or is_leaving(thing) or spec.suspend or spec.idle_suspend:
        return Unused(None, unused.ended, asked=options is not None)
    try:
        seen: Attachment | None = await drivers.look()
    except EngineError as error:
        log.debug("drivers_unknown", cluster=str(cluster), error=str(error))
        seen = None
    unused = unused.after(seen, now())
    if unused.is_due(options, now()):
        log.info("cluster_unused", cluster=str(cluster), timeout_s=options.timeout_seconds, policy=str(options.policy))
        await (_delete if options.policy is IdlePolicy.DELETE else _suspend)(kube, cluster, thing)
    return unused


async def _suspend(kube: Kube, cluster: Key, thing: Object) -> None:
    """Have the operator suspend it, unless somebody has changed it since we looked."""
    await _unless_changed(kube, cluster, thing, _add("/spec/idleSuspend", value=True))


async def _delete(kube: Kube, cluster: Key, thing: Object) -> None:
    """Delete it. The finalizer first: we live in one of its pods, and what we began must be ended without us."""
    finalizers = thing["metadata"].get("finalizers") or []
    held = IDLE_FINALIZER in finalizers
    if not held and not await _unless_changed(
        kube, cluster, thing, _add("/metadata/finalizers", [*finalizers, IDLE_FINALIZER])
    ):
        return
    try:
        await kube.delete(RAY_CLUSTER, cluster, uid=uid_of(thing))
    except NotFound:
        log.debug("gone_already", cluster=str(cluster))


async def _unless_changed(kube: Kube, cluster: Key, thing: Object, operation: dict[str, object]) -> bool:
    """Change the resource as it was seen; return False when it is another by now: the next look decides again."""
    version = thing["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    try:
        await kube.patch(RAY_CLUSTER, cluster, [test, operation])
    except Conflict:
        log.info("changed_meanwhile", cluster=str(cluster))
        return False
    return True


def _add(path: str, value: object) -> dict[str, object]:
    return {"op": "add", "path": path, "value": value}
