"""What is, what is wanted and what was applied last -> a patch, and lines that name every change. Pure.

As `kubectl apply` does it, with the same annotation, so that both may be used on one resource. One difference: counts
that the autoscaler has set stay, unless the file's own count has changed since it was applied last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.wire.kube.objects import Object, annotations_of

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SHOWN: Final = 60
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Changed:
    """A merge patch and what it changes, a line for each; both empty when nothing does."""

    patch: Object
    lines: tuple[str, ...]


def marked(wanted: Object) -> Object:
    """Return an object with itself noted as what was applied last."""
    return _annotated(wanted, _noted(wanted))


def changed(live: Object, wanted: Object) -> Changed:
    """Return how `live` becomes `wanted`."""
    before = last_applied(live)
    target = _keeping_counts(live, wanted, before)
    lines = tuple(_lines("", live, target, before))
    if not lines:
        return Changed({}, ())
    return Changed(_patch(live, _annotated(target, _noted(wanted)), before), lines)


def last_applied(live: Object) -> Object:
    """Return what was applied last, empty when nobody has noted it."""
    try:
        before = json.loads(annotations_of(live).get(LAST_APPLIED, ""))
    except ValueError:
        return {}
    return before if isinstance(before, dict) else {}


def _noted(wanted: Object) -> str:
    return json.dumps(wanted, separators=(",", ":"), sort_keys=True) + "\n"


def _annotated(thing: Object, note: str) -> Object:
    annotations = {**annotations_of(thing), LAST_APPLIED: note}
    return {**thing, "metadata": {**thing["metadata"], "annotations": annotations}}


def _keeping_counts(live: Object, wanted: Object, before: Object) -> Object:
    """Return `wanted` with the autoscaler's counts, where the file has not changed its mind."""
    if not (wanted.get("spec") or {}).get("enableInTreeAutoscaling"):
        return wanted
    now, then = _groups(live), _groups(before)
    kept = []
    for group in wanted["spec"].get("workerGroupSpecs") or ():
        name = group.get("groupName")
        held = {key: now[name][key] for key in ("replicas", "scaleStrategy") if key in now.get(name, {})}
        same = then.get(name, group)
        kept.append({**group, **{key: value for key, value in held.items() if same.get(key) == group.get(key)}})
    return {**wanted, "spec": {**wanted["spec"], "workerGroupSpecs": kept}}


def _groups(thing: Object) -> dict[str, Object]:
    groups = (thing.get("spec") or {}).get("workerGroupSpecs") or ()
    return {group["groupName"]: group for group in groups if "groupName" in group}


def _patch(live: Object, wanted: Object, before: Object) -> Object:
    """Return the merge patch: lists whole, mappings key by key, null for what was applied and is wanted no more."""
    patch: Object = {}
    for key, value in wanted.items():
        now, then = live.get(key), before.get(key)
        if isinstance(value, dict) and isinstance(now, dict):
            below = _patch(now, value, then if isinstance(then, dict) else {})
            if below:
                patch[key] = below
        elif any(_lines("", {"": now}, {"": value}, {"": then})):
            patch[key] = value
    return patch | {key: None for key in before if key not in wanted and key in live}


def _lines(path: str, live: Any, wanted: Any, before: Any) -> Iterator[str]:
    """Yield what differs. Keys of `live` that nobody asked for are the server's, and no difference."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        then = before if isinstance(before, dict) else {}
        for key, value in wanted.items():
            place = f"{path}.{key}".lstrip(".")
            yield from _lines(place, live.get(key, _ABSENT), value, then.get(key))
        for key in then:
            if key not in wanted and key in live:
                yield f"{path}.{key}".lstrip(".") + f": {_shown(live[key])} -> left out"
    elif isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted):
        known = isinstance(before, list) and len(before) == len(wanted)
        past_items = before if known else [None] * len(wanted)
        for number, (now, value, past) in enumerate(zip(live, wanted, past_items, strict=True)):
            yield from _lines(f"{path}[{_item(value, number)}]", now, value, past)
    elif live != wanted and not (live is _ABSENT and wanted in (None, {}, [])):
        yield f"{path}: {'nothing' if live is _ABSENT else _shown(live)} -> {_shown(wanted)}"


def _item(value: Any, number: int) -> str:
    """Name an item of a list as people do: a group by its name."""
    name = (value.get("groupName") or value.get("name")) if isinstance(value, dict) else None
    return str(name or number)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} items"
    text = json.dumps(value) if not isinstance(value, str) else value
    text = text.replace("\n", " ")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
