"""How long a service may take until it serves for the first time. What was given up stays so until it is suspended."""

from __future__ import annotations

import re
from typing import Final

from rayfleet.kube_operator.conditions import Condition
from rayfleet.kube_operator.raycluster.health import moment
from rayfleet.kube_operator.rayservice.state import Service
from rayfleet.wire.kube.objects import Object, annotations_of

READY: Final = "Ready"
TIMEOUT_ANNOTATION: Final = "ray.io/initializing-timeout"
INITIALIZING: Final = "Initializing"
GIVEN_UP: Final = "InitializingTimeout"
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")


def timeout_s(thing: Object) -> float | None:
    """Return how long it may take, None for as long as it likes.

    Raises:
        ValueError: the annotation cannot be read, in words for the user.
    """
    given = annotations_of(thing).get(TIMEOUT_ANNOTATION, "").strip()
    if not given:
        return None
    if given.isdecimal():
        seconds = float(given)
    elif _PART.sub("", given) == "":
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(given))
    else:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError(f"the annotation {TIMEOUT_ANNOTATION} is {given}; give a time such as 30m, or seconds")
    return seconds


def is_given_up(service: Service) -> bool:
    """Say whether the service has taken too long before: it stays so, whatever its spec says now."""
    return _ready(service).get("reason") == GIVEN_UP


def left_s(service: Service) -> float | None:
    """Return how long it may still take; None: it is not waited for, or for as long as it likes."""
    ready, limit_s = _ready(service), timeout_s(service.thing)
    if limit_s is None or ready.get("reason") != INITIALIZING:
        return None
    return moment(ready["lastTransitionTime"]) + limit_s - service.seen.now


def given_up(service: Service) -> Condition:
    """Return what is said of a service that takes too long."""
    limit = annotations_of(service.thing)[TIMEOUT_ANNOTATION]
    text = (
        f"nothing has served within {limit} ({TIMEOUT_ANNOTATION}). Its clusters are deleted, and a changed spec does "
        "not bring them back: delete the RayService and apply it anew, or suspend and resume it"
    )
    return Condition(READY, holds=False, reason=GIVEN_UP, message=text)


def began(service: Service) -> tuple[Condition | str, ...]:
    """Return what is said while it is waited for; the time counts from when that was first said."""
    said = Condition(READY, holds=False, reason=INITIALIZING)
    return (said,) if _ready(service).get("reason") == INITIALIZING else (READY, said)


def _ready(service: Service) -> Object:
    conditions = service.status.get("conditions") or ()
    return next((one for one in conditions if one["type"] == READY), {})
