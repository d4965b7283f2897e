"""The environment, command and files of containers as a pod spec and the objects that it names have them. Pure.

`Sources` holds what was fetched: config maps and secrets of the pod's namespace, by name, their values as bytes.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Data = Mapping[str, Mapping[str, bytes]]

REFERENCE = re.compile(r"\$(\$|\(([A-Za-z0-9_.-]+)\))")
UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class MissingSource(Exception):
    """A config map, secret or key that the pod needs is not there (yet)."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a pod's spec refers to; `pod` has its address in its status already."""

    pod: Json
    config_maps: Data = field(default_factory=dict)
    secrets: Data = field(default_factory=dict)


def references(spec: Json) -> tuple[set[str], set[str]]:
    """Return the names of all config maps and secrets that a pod spec mentions."""
    maps: set[str] = set()
    secrets: set[str] = set()

    def walk(found: Any) -> None:
        if isinstance(found, list):
            for each in found:
                walk(each)
        elif isinstance(found, dict):
            for key, value in found.items():
                if key in ("configMap", "configMapRef", "configMapKeyRef"):
                    maps.add(value.get("name", ""))
                elif key in ("secret", "secretRef", "secretKeyRef"):
                    secrets.add(value.get("secretName") or value.get("name", ""))
                walk(value)

    walk(spec)
    return maps - {""}, secrets - {""}


def environment(container: Json, sources: Sources) -> dict[str, str]:
    """Return a container's variables; later ones may mention earlier ones as $(NAME). MissingSource: one is missing."""
    made: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        made.update(_all_of(source, sources))
    for entry in container.get("env", ()):
        if "valueFrom" in entry:
            value = _value_from(entry["valueFrom"], container, sources)
        else:
            value = expanded(entry.get("value", ""), made)
        if value is not None:
            made[entry["name"]] = value
    return made


def command(container: Json, variables: Mapping[str, str]) -> list[str]:
    """Return a container's command line; empty when only its image knows it."""
    words = container.get("command", [])
    return [expanded(word, variables) for word in [*words, *container.get("args", [])]] if words else []


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) by what is known, and $$ by one dollar, as Kubernetes does."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else variables.get(match[2], match[0])

    return REFERENCE.sub(value, text)


def field_value(path: str, pod: Json) -> str:
    """Return what a fieldRef means. MissingSource: no such field."""
    for place in ("labels", "annotations"):
        if path.startswith(f"metadata.{place}["):
            key = path.partition("[")[2].strip("]'\"")
            return str(pod["metadata"].get(place, {}).get(key, ""))
        if path == f"metadata.{place}":
            return "\n".join(f'{key}="{value}"' for key, value in pod["metadata"].get(place, {}).items())
    found: Any = pod
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            raise MissingSource(f"the pod has no field {path}")
        found = found[part]
    return ",".join(each["ip"] for each in found) if isinstance(found, list) else str(found)


def quantity(text: str) -> float:
    """Return a Kubernetes quantity ("500m", "1Gi") as a number."""
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * UNITS.get(unit, 1.0)


def files(source: Json, sources: Sources) -> dict[str, bytes]:
    """Return path -> content of one configMap, secret or downwardAPI volume (or of that part of a projected one)."""
    if "configMap" in source:
        return _chosen(source["configMap"], source["configMap"]["name"], sources.config_maps)
    if "secret" in source:
        named = source["secret"]
        return _chosen(named, named.get("secretName") or named["name"], sources.secrets)
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items", [])
        return {item["path"]: field_value(item["fieldRef"]["fieldPath"], sources.pod).encode() for item in items}
    return {}


def _chosen(source: Json, name: str, data: Data) -> dict[str, bytes]:
    found = data.get(name)
    if found is None:
        if source.get("optional"):
            return {}
        raise MissingSource(f'"{name}" not found')
    if "items" not in source:
        return dict(found)
    return {item["path"]: found[item["key"]] for item in source["items"] if item["key"] in found}


def _all_of(source: Json, sources: Sources) -> Iterator[tuple[str, str]]:
    prefix = source.get("prefix", "")
    for kind, data in (("configMapRef", sources.config_maps), ("secretRef", sources.secrets)):
        if kind in source:
            for key, value in _chosen(source[kind], source[kind]["name"], data).items():
                yield prefix + key, value.decode()


def _value_from(source: Json, container: Json, sources: Sources) -> str | None:
    if "fieldRef" in source:
        return field_value(source["fieldRef"]["fieldPath"], sources.pod)
    if "resourceFieldRef" in source:
        return _resource(source["resourceFieldRef"], container)
    kind = "configMapKeyRef" if "configMapKeyRef" in source else "secretKeyRef"
    data = sources.config_maps if kind == "configMapKeyRef" else sources.secrets
    named = source[kind]
    found = data.get(named["name"], {}).get(named["key"])
    if found is None and not named.get("optional"):
        raise MissingSource(f'{kind} "{named["name"]}" has no key {named["key"]}')
    return None if found is None else found.decode()


def _resource(source: Json, container: Json) -> str:
    kind, _, resource = source["resource"].partition(".")
    amount = quantity(container.get("resources", {}).get(kind, {}).get(resource, "0"))
    divisor = quantity(str(source.get("divisor", "1"))) or 1.0  # the API server fills in a "0"
    return str(math.ceil(amount / divisor))
