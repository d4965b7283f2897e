"""Kubernetes events: what people read under `kubectl describe`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.names import digest
from rayfleet.kube_operator.reconciling import Emit
from rayfleet.wire.kube.errors import AlreadyExists, KubeError
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import EVENT, Object, key_of, uid_of

log = structlog.get_logger()

SOURCE: Final = "rayfleet-operator"
REPEATED_AFTER_S: Final = 60.0
"""The same event of the same resource is told again after so long; what repeats every second helps nobody."""
_REMEMBERED: Final = 10_000
_MESSAGE_MAX: Final = 1024
_NAME_LENGTH: Final = 12


class EventWriter:
    """Writes events, each at most once a minute; one that cannot be written is logged and lost."""

    def __init__(self, kube: Kube, now: Callable[[], float]) -> None:
        """Take the way to the API server, and the time in seconds since the epoch."""
        self._kube = kube
        self._now = now
        self._told: OrderedDict[tuple[str, Emit], float] = OrderedDict()

    async def tell(self, thing: Object, event: Emit) -> None:
        """Tell what happened to a resource."""
        now, mark = self._now(), (uid_of(thing), event)
        if now - self._told.get(mark, float("-inf")) < REPEATED_AFTER_S:
            return
        self._told[mark] = now
        self._told.move_to_end(mark)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            await self._kube.create(EVENT, _event(thing, event, now))
        except AlreadyExists:
            return  # told by the operator before this one, in the same second
        except KubeError as error:
            log.warning("event_lost", about=str(key_of(thing)), reason=event.reason, error=str(error))


def _event(thing: Object, event: Emit, now: float) -> Object:
    key, when = key_of(thing), timestamp(now)
    name = f"{key.name[:200]}.{digest(uid_of(thing), event.reason, event.message, when, length=_NAME_LENGTH)}"
    return {
        "metadata": {"name": name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": thing["apiVersion"],
            "kind": thing["kind"],
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid_of(thing),
            "resourceVersion": thing["metadata"].get("resourceVersion", ""),
        },
        "type": str(event.type),
        "reason": event.reason,
        "message": event.message[:_MESSAGE_MAX],
        "source": {"component": SOURCE},
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
