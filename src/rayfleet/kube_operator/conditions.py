"""Status conditions: who says what, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rayfleet.wire.kube.objects import Object


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is said of a resource. `reason` is a word for programs, `message` is for people."""

    type: str
    holds: bool
    reason: str
    message: str = ""


def timestamp(now: float) -> str:
    """Return seconds since the epoch as Kubernetes writes them."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def holds(thing: Object, kind: str) -> bool:
    """Say whether a resource's condition is True."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def since(thing: Object, kind: str) -> str | None:
    """Return when a resource's condition took its status; None where it has none."""
    conditions = (thing.get("status") or {}).get("conditions") or ()
    return next((one.get("lastTransitionTime") for one in conditions if one["type"] == kind), None)


def updated(conditions: Iterable[Object], said: Iterable[Condition | str], now: float) -> list[Object]:
    """Return conditions with `said` of them changed; a bare name removes. What still holds keeps its time."""
    result = {one["type"]: one for one in conditions}
    for change in said:
        if isinstance(change, str):
            result.pop(change, None)
            continue
        status = "True" if change.holds else "False"
        before = result.get(change.type, {})
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        result[change.type] = {
            "type": change.type,
            "status": status,
            "reason": change.reason,
            "message": change.message,
            "lastTransitionTime": since or timestamp(now),
        }
    return list(result.values())
