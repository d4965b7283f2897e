"""A pod -> how large it is, how large it is to be, and what has become of the last attempt. Pure.

    (no attempt) --grow--> growing --as large as asked--> settled: Ray is told, the attempt is over
                              '----- refused, timed out --> failed: back to what it was, not tried again for a while

The attempt is kept in the pod's annotation `ray.io/ippr-status`, in KubeRay's form, so that it outlives the autoscaler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from rayfleet.config.rayio.growth import Growth
from rayfleet.config.rayio.quantity import quantity
from rayfleet.model import Resources
from rayfleet.wire.kube.objects import Object, annotations_of

STATUS_ANNOTATION: Final = "ray.io/ippr-status"
AGAIN_S: Final = 600.0
"""A pod that could not grow is not tried again before: its machine is full."""
_NAMES: Final = {"cpu": "CPU", "memory": "memory"}


class Attempt(StrEnum):
    """What has become of the last attempt."""

    NONE = "none"
    GROWING = "growing"
    SETTLED = "settled"
    FAILED = "failed"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the annotation keeps. Times are seconds since the epoch; other keys of KubeRay's are passed on."""

    node: str = ""
    at: float | None = None
    failed_at: float | None = None
    why: str = ""

    @classmethod
    def of(cls, pod: Object) -> Kept:
        """Read it; what cannot be read counts as nothing."""
        try:
            read: Any = json.loads(annotations_of(pod).get(STATUS_ANNOTATION, "{}"))
            return cls(
                str(read.get("raylet-id") or ""),
                read.get("resizing-at"),
                read.get("last-failed-at"),
                str(read.get("last-failed-reason") or ""),
            )
        except (ValueError, AttributeError):
            return cls()

    def change(self) -> Object:
        """Return the merge patch that keeps it."""
        text = {
            "raylet-id": self.node,
            "resizing-at": self.at,
            "suggested-max-cpu": None,
            "suggested-max-memory": None,
            "last-failed-at": self.failed_at,
            "last-failed-reason": self.why or None,
        }
        return {"metadata": {"annotations": {STATUS_ANNOTATION: json.dumps(text)}}}


@dataclass(frozen=True, slots=True)
class Growing:
    """One pod of a group that may grow: as large as it is (`now`), is asked to be (`asked`), may become (`most`)."""

    name: str
    group: str
    now: Resources
    asked: Resources
    most: Resources
    attempt: Attempt
    kept: Kept
    why: str = ""

    @property
    def may_grow(self) -> bool:
        """Say whether an attempt can be made now."""
        return self.attempt is Attempt.NONE and not self.most.fits(self.asked)

    @property
    def goal(self) -> Resources:
        """Return how large it is to become: as far as it may, at once, and never less than it is."""
        return Resources({name: max(self.most.get(name, 0), self.now.get(name, 0)) for name in _NAMES.values()})


def growing(pod: Object, group: str, allowed: Growth, at: float) -> Growing:
    """Return how it is with a pod. `at`: now, in seconds since the epoch."""
    kept, container = Kept.of(pod), pod["spec"]["containers"][0]
    asked = _size(container.get("resources") or {})
    status = _status(pod, container["name"])
    now = _size(status["resources"]) if status.get("resources") else asked
    one = Growing(pod["metadata"]["name"], group, now, asked, allowed.most, Attempt.NONE, kept)
    attempt, why = _attempt(pod, one, allowed, at)
    return replace(one, attempt=attempt, why=why)


def resize(pod: Object, goal: Resources) -> list[dict[str, object]]:
    """Return the patch of `pods/resize` that makes Ray's container as large; what limits are above requests stays."""
    resources = pod["spec"]["containers"][0].get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    patch: list[dict[str, object]] = []
    for name, ray in _NAMES.items():
        wanted = goal.amounts().get(ray, 0)
        gap = quantity(limits[name]) - quantity(requests[name]) if name in limits and name in requests else 0
        if name in limits:
            patch.append(_replace("limits", name, _text(name, wanted)))
        if name in requests:
            patch.append(_replace("requests", name, _text(name, wanted - float(gap))))
    return patch


def _attempt(pod: Object, one: Growing, allowed: Growth, at: float) -> tuple[Attempt, str]:
    if one.kept.at is None:
        resting = one.kept.failed_at is not None and at - one.kept.failed_at < AGAIN_S
        return (Attempt.RESTING if resting else Attempt.NONE), ""
    pending, progress = _condition(pod, "PodResizePending"), _condition(pod, "PodResizeInProgress")
    if pending.get("reason") == "Infeasible" or progress.get("reason") == "Error":
        said = pending or progress
        return Attempt.FAILED, str(said.get("message") or said.get("reason"))
    if not pending and not progress and one.now == one.asked:
        return Attempt.SETTLED, ""
    if at - one.kept.at >= allowed.timeout_s:
        return Attempt.FAILED, str(pending.get("message") or f"not as large after {allowed.timeout_s:.0f} s")
    return Attempt.GROWING, ""


def _condition(pod: Object, kind: str) -> Mapping[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), {})


def _status(pod: Object, container: str) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((one for one in statuses if one["name"] == container), {})


def _size(resources: Mapping[str, Any]) -> Resources:
    """Return how large a container is to Ray: by its limits, else its requests."""
    whole = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return Resources.of({ray: float(quantity(whole[name])) for name, ray in _NAMES.items() if name in whole})


def _replace(part: str, name: str, value: str) -> dict[str, object]:
    return {"op": "replace", "path": f"/spec/containers/0/resources/{part}/{name}", "value": value}


def _text(name: str, amount: float) -> str:
    return f"{round(amount * 1000)}m" if name == "cpu" else str(int(amount))
