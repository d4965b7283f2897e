"""How far pods may grow in place: the annotation `ray.io/ippr` of a RayCluster, in KubeRay's form.

{"groups": {"small": {"max-cpu": "8", "max-memory": "16Gi", "resize-timeout": 120}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.config.rayio.finding import mapping, mappings, ray_container
from rayfleet.config.rayio.names import HEAD_GROUP
from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import GroupSpec, RayClusterSpec
from rayfleet.model import Resources

ANNOTATION: Final = "ray.io/ippr"
_KEYS: Final = ("max-cpu", "max-memory", "resize-timeout")
_FIXED: Final = ("num-cpus", "memory")


@dataclass(frozen=True, slots=True)
class Growth:
    """How far a pod of one group may grow, and for how many seconds its growth is waited for."""

    most: Resources
    timeout_s: float


def growth_of(spec: RayClusterSpec, text: str) -> dict[str, Growth]:
    """Return by group what the annotation's `text` allows; groups that are not there (yet) are left out.

    Raises:
        ValueError: it cannot be read, or its groups cannot grow; with all that is wrong.
    """
    if found := list(growth_problems(spec, text)):
        raise ValueError("; ".join(found))
    groups = _groups(spec)
    return {name: _growth(one) for name, one in _read(text).items() if name in groups}


def growth_problems(spec: RayClusterSpec, text: str) -> Iterator[str]:
    """Yield everything that is wrong with the annotation's `text`, each with what to do."""
    if not text:
        return
    groups = _groups(spec)
    try:
        read = _read(text)
    except ValueError as error:
        yield f'the annotation {ANNOTATION} cannot be read ({error}); write {{"groups": {{...}}}} as JSON'
        return
    for name, one in read.items():
        where = f"the annotation {ANNOTATION}, group {name}:"
        try:
            _growth(one)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            yield f"{where} cannot be read ({error!s}); give {', '.join(_KEYS)}"
        if name in groups:
            yield from (f"{where} {problem}" for problem in _unfit(groups[name]))


def _read(text: str) -> Mapping[str, Any]:
    read = json.loads(text) if text else {}
    groups = read.get("groups", {}) if isinstance(read, dict) else None
    if not isinstance(groups, dict):
        raise ValueError("it is no mapping of groups")  # noqa: TRY004 - a user's text
    return groups


def _growth(one: Mapping[str, Any]) -> Growth:
    amounts = {"CPU": float(quantity(one["max-cpu"])), "memory": float(quantity(one["max-memory"]))}
    timeout_s = float(one["resize-timeout"])
    if timeout_s <= 0:
        raise ValueError("resize-timeout must be more than 0")
    return Growth(Resources.of(amounts), timeout_s)


def _groups(spec: RayClusterSpec) -> dict[str, GroupSpec]:
    return {HEAD_GROUP: spec.head_group_spec, **{group.group_name: group for group in spec.worker_group_specs}}


def _unfit(group: GroupSpec) -> Iterator[str]:
    """Yield why pods of a group cannot grow: Ray is told otherwise how large they are, or they would start anew."""
    for flag in _FIXED:
        if flag in group.ray_start_params:
            yield f"remove {flag} from rayStartParams, which would fix what is to change"
    for name in ("CPU", "memory"):
        if name in group.resources:
            yield f"remove {name} from resources, which would fix what is to change"
    container = ray_container(group)
    requests = mapping(mapping(container.get("resources")).get("requests"))
    if not {"cpu", "memory"} <= requests.keys():
        yield "give Ray's container requests of cpu and memory, from which it grows"
    for policy in mappings(container.get("resizePolicy")):
        if policy.get("resourceName") in ("cpu", "memory") and policy.get("restartPolicy") == "RestartContainer":
            yield "a resizePolicy that restarts the container would end what runs there; use NotRequired"
