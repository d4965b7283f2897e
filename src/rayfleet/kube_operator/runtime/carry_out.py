"""Reconciled -> calls to the API server; what it refuses becomes data for the next look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from rayfleet.kube_operator.reconciling import Action, Call, Certify, Create, Delete, Emit, EventType, Failure, Patch
from rayfleet.kube_operator.runtime.events import EventWriter
from rayfleet.kube_operator.runtime.servers import ServerError, Servers
from rayfleet.wire.kube.errors import AlreadyExists, Conflict, Invalid, KubeError, NotFound, Unavailable
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import SECRET, Kind, Object, annotations_of, controller_of, key_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of actions. `overtaken`: one met something that had changed, of which the cache may never tell."""

    failures: tuple[Failure, ...] = ()
    overtaken: bool = False


class Hand:
    """Carries out actions for one operator."""

    def __init__(self, kube: Kube, events: EventWriter, servers: Servers, now: Callable[[], float]) -> None:
        """Take the ways to the API server, to people, and to the clusters' own servers. `now`: since the epoch."""
        self._kube = kube
        self._now = now
        self._events = events
        self._servers = servers

    async def carry_out(self, thing: Object, actions: tuple[Action, ...]) -> Done:
        """Do all of `actions` for a resource, in order; return what came of it.

        Raises:
            Unavailable: the API server does not answer; the rest was not tried.
        """
        failures, overtaken = [], False
        for action in actions:
            try:
                await self._do(thing, action)
            except Unavailable:
                raise
            except Conflict as error:
                overtaken = True
                log.info("changed_meanwhile", about=str(key_of(thing)), error=str(error))
            except (KubeError, ServerError) as error:
                failure = Failure(getattr(action, "failure", "Failed"), str(error), type(error).__name__)
                failures.append(failure)
                await self._events.tell(thing, Emit(EventType.WARNING, failure.reason, failure.message))
        return Done(tuple(failures), overtaken)

    async def write_status(self, kind: Kind, thing: Object, status: Object) -> None:
        """Make `status` the resource's, unless it has changed since it was seen; nothing is written for no change.

        Raises:
            Conflict, Unavailable and other KubeErrors.
        """
        if status == (thing.get("status") or {}):
            return
        version = thing["metadata"]["resourceVersion"]
        patch: list[dict[str, object]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/status", "value": status},
        ]
        await self._kube.patch(kind, key_of(thing), patch, "status")

    async def _do(self, thing: Object, action: Action) -> None:
        match action:
            case Create():
                try:
                    await self._kube.create(action.kind, action.thing)
                except AlreadyExists:
                    log.debug("exists_already", kind=action.kind.plural, name=key_of(action.thing).name)
            case Delete():
                log.info("deleting", kind=action.kind.plural, name=str(action.key), why=action.why)
                try:
                    await self._kube.delete(action.kind, action.key, uid=action.uid, grace_s=action.grace_s)
                except NotFound:
                    log.debug("gone_already", kind=action.kind.plural, name=str(action.key))
            case Patch():
                await self._kube.patch(action.kind, action.key, action.patch, action.subresource)
            case Emit():
                await self._events.tell(thing, action)
            case Call():
                await self._servers.call(action)
            case Certify():
                await self._certify(action)

    async def _certify(self, action: Certify) -> None:
        """Make the key and the certificates, and put them into the Secret, unless it has changed since it was seen."""
        from rayfleet.kube_operator.runtime.certificates import certified  # noqa: PLC0415 - 8 MiB that few need

        try:
            data = await asyncio.to_thread(certified, action, self._now())
        except ValueError as error:
            raise Invalid(str(error)) from error
        if action.before is None:
            await self._make_secret({**action.thing, "data": data})
            return
        annotations = annotations_of(action.thing)
        metadata = {"resourceVersion": action.before["metadata"]["resourceVersion"], "annotations": annotations}
        await self._kube.patch(SECRET, key_of(action.thing), {"metadata": metadata, "data": data})

    async def _make_secret(self, secret: Object) -> None:
        """Make it. One that is there already is ours and not yet in the cache, or somebody's, who must be told.

        Raises:
            Conflict: it was that of a cluster of the same name, and is about to go.
            Invalid: it belongs to somebody else (cert-manager's, from a time with another operator).
        """
        try:
            await self._kube.create(SECRET, secret)
        except AlreadyExists:
            there, ours = controller_of(await self._kube.get(SECRET, key_of(secret))), controller_of(secret) or {}
            if there is not None and there["uid"] == ours.get("uid"):
                return
            text = f"Secret {key_of(secret)} is not this cluster's, and takes the place of the one that TLS needs"
            if there is not None and (there["kind"], there["name"]) == (ours.get("kind"), ours.get("name")):
                raise Conflict(f"{text}: it goes with a cluster of before") from None
            raise Invalid(f"{text}; delete it, and whatever makes it") from None
