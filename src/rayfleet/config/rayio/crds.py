"""CustomResourceDefinitions of the `ray.io` kinds, made from the models.

A structural schema has no references and no unions, so references are written out, `X or null` is X, and what the
models keep as plain objects (pod templates, Services) is let through as it is. That leaves them small enough for a
plain `kubectl apply`, whatever Kubernetes adds to pods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.config.rayio.base import GROUP, VERSION, Object, Spec
from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.config.rayio.raycronjob import RayCronJobSpec
from rayfleet.config.rayio.rayjob import RayJobSpec
from rayfleet.config.rayio.rayservice import RayServiceSpec
from rayfleet.config.rayio.rules import RULES

OLD_VERSION: Final = "v1alpha1"
_KEPT: Final = (
    "type",
    "enum",
    "default",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "pattern",
    "minimum",
)
VALIDATIONS: Final = "x-kubernetes-validations"
_RULES: Final = {form.__name__: rules for form, rules in RULES.items()}
_ANYTHING: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`. `wide`: only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind. `old`: it also has the older version."""

    kind: str
    short: str
    spec: type[Spec]
    columns: tuple[Column, ...]
    old: bool = True

    @property
    def plural(self) -> str:
        """Return the kind's name in addresses."""
        return f"{self.kind.lower()}s"


_AGE: Final = Column("AGE", ".metadata.creationTimestamp", "date")
DEFINITIONS: Final = (
    Definition(
        "RayCluster",
        "raycluster",
        RayClusterSpec,
        (
            Column("DESIRED WORKERS", ".status.desiredWorkerReplicas", "integer"),
            Column("AVAILABLE WORKERS", ".status.availableWorkerReplicas", "integer"),
            Column("CPUS", ".status.desiredCPU", wide=True),
            Column("MEMORY", ".status.desiredMemory", wide=True),
            Column("GPUS", ".status.desiredGPU", wide=True),
            Column("TPUS", ".status.desiredTPU", wide=True),
            Column("STATUS", ".status.state"),
            _AGE,
            Column("HEAD POD IP", ".status.head.podIP", wide=True),
            Column("HEAD SERVICE IP", ".status.head.serviceIP", wide=True),
        ),
    ),
    Definition(
        "RayJob",
        "rayjob",
        RayJobSpec,
        (
            Column("JOB STATUS", ".status.jobStatus"),
            Column("DEPLOYMENT STATUS", ".status.jobDeploymentStatus"),
            Column("RAY CLUSTER NAME", ".status.rayClusterName"),
            Column("START TIME", ".status.startTime"),
            Column("END TIME", ".status.endTime"),
            _AGE,
        ),
    ),
    Definition(
        "RayService",
        "rayservice",
        RayServiceSpec,
        (
            Column("SERVICE STATUS", ".status.serviceStatus"),
            Column("NUM SERVE ENDPOINTS", ".status.numServeEndpoints", "integer"),
            _AGE,
        ),
    ),
    Definition(
        "RayCronJob",
        "raycronjob",
        RayCronJobSpec,
        (
            Column("SCHEDULE", ".spec.schedule"),
            Column("TIMEZONE", ".spec.timeZone"),
            Column("SUSPEND", ".spec.suspend", "boolean"),
            Column("LAST SCHEDULE", ".status.lastScheduleTime", "date"),
            _AGE,
        ),
        old=False,
    ),
)


def definitions(*, rules: bool = False) -> Iterator[Object]:
    """Yield the CustomResourceDefinition of every kind.

    `rules`: with those in CEL, which `kubectl apply` refuses where the API server does not know them (before 1.25).
    """
    for definition in DEFINITIONS:
        versions = [(VERSION, True), *([(OLD_VERSION, False)] if definition.old else [])]
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{definition.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "kind": definition.kind,
                    "listKind": f"{definition.kind}List",
                    "plural": definition.plural,
                    "singular": definition.kind.lower(),
                    "categories": ["all"],
                },
                "versions": [_version(definition, name, stored, rules) for name, stored in versions],
            },
        }


def schema(spec: type[Spec], *, rules: bool = False) -> Object:
    """Return the structural schema of a spec, without its rules unless they are asked for."""
    whole = spec.model_json_schema(by_alias=True, mode="validation")
    made = _structural(whole, whole.get("$defs", {}))
    return made if rules else _without_rules(made)


def _without_rules(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_rules(value) for key, value in part.items() if key != VALIDATIONS}
    return [_without_rules(value) for value in part] if isinstance(part, list) else part


def _version(definition: Definition, name: str, stored: bool, rules: bool) -> Object:  # noqa: FBT001 - as it stands there
    columns = [
        {"name": one.name, "jsonPath": one.path, "type": one.type, **({"priority": 1} if one.wide else {})}
        for one in definition.columns
    ]
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": schema(definition.spec, rules=rules),
        "status": dict(_ANYTHING),
    }
    return {
        "name": name,
        "served": True,
        "storage": stored,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }


def _structural(part: Mapping[str, Any], known: Mapping[str, Any]) -> Object:
    """Return a part of a JSON Schema as the API server takes it."""
    if "$ref" in part:
        target = known[part["$ref"].rpartition("/")[2]]
        rest = {key: value for key, value in part.items() if key != "$ref"}
        return _structural({**target, **rest}, known)
    if "allOf" in part:
        (only,) = part["allOf"]
        return _structural({**only, **{key: value for key, value in part.items() if key != "allOf"}}, known)
    if "anyOf" in part:
        return _one_of(part, known)
    return _plain(part, known)


def _one_of(part: Mapping[str, Any], known: Mapping[str, Any]) -> Object:
    """Return what is left of a union: one type, or a number or text."""
    options = [option for option in part["anyOf"] if option.get("type") != "null"]
    rest = {key: part[key] for key in ("default",) if part.get(key) is not None}
    if len(options) == 1:
        return _structural({**options[0], **rest}, known)
    return {"x-kubernetes-int-or-string": True, **rest}


def _plain(part: Mapping[str, Any], known: Mapping[str, Any]) -> Object:
    kept = {key: part[key] for key in _KEPT if key in part}
    if isinstance(kept.get("default", 0), dict | list | str | None):
        kept.pop("default", None)  # left out is as good, and stays what its author wrote
    if "properties" in kept:
        kept["properties"] = {name: _structural(value, known) for name, value in kept["properties"].items()}
    elif kept.get("type") == "object":
        values = kept.get("additionalProperties")
        if not isinstance(values, Mapping) or not values:
            return dict(_ANYTHING)
        kept["additionalProperties"] = _structural(values, known)
    if "items" in kept:
        kept["items"] = _structural(kept["items"], known)
    if rules := _RULES.get(part.get("title", "")):
        kept[VALIDATIONS] = [{"rule": one.holds, "message": one.message} for one in rules]
    return kept
