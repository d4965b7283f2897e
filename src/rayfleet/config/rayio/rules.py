"""What an API server can refuse by itself: rules beside the schema, in its own language (CEL).

They say nothing that `checks` would not say, too, and only what costs little to find out: an API server takes no
CustomResourceDefinition whose rules may be dear. Servers before 1.25 leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rayfleet.config.rayio.base import Spec
from rayfleet.config.rayio.raycluster import (
    AuthOptions,
    AutoscalerOptions,
    GcsFaultToleranceOptions,
    GcsStorage,
    IdleTerminationOptions,
    RayClusterSpec,
    WorkerGroupSpec,
)
from rayfleet.config.rayio.rayjob import RayJobSpec
from rayfleet.config.rayio.rayservice import RayServiceSpec

MANAGERS: Final = ("", "ray.io/kuberay-operator", "ray.io/rayfleet-operator", "kueue.x-k8s.io/multikueue")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `holds` is true of a part (`self`) that is right; one that names `oldSelf` is of changes only."""

    holds: str
    message: str


def _given(field: str) -> str:
    return f"has(self.{field})"


def _true(field: str) -> str:
    return f"(has(self.{field}) && self.{field})"


def _text(field: str) -> str:
    return f"(has(self.{field}) && self.{field} != '')"


def _least(field: str, least: int) -> Rule:
    return Rule(f"!has(self.{field}) || self.{field} >= {least}", f"{field} must be at least {least}")


def _one_of(field: str, values: tuple[str, ...]) -> Rule:
    named = ", ".join(f"'{value}'" for value in values)
    said = ", ".join(value for value in values if value)
    return Rule(f"!has(self.{field}) || self.{field} in [{named}]", f"{field} must be one of: {said}")


def _kept(field: str) -> Rule:
    same = f"self.{field} == oldSelf.{field}"
    return Rule(f"!has(self.{field}) || !has(oldSelf.{field}) || {same}", f"{field} cannot be changed")


_BACKEND: Final = "(has({0}.backend) ? {0}.backend : 'redis')"
_REDIS_ONLY: Final = {
    "redisAddress": _text("redisAddress"),
    "redisUsername": _given("redisUsername"),
    "redisPassword": _given("redisPassword"),
    "externalStorageNamespace": _text("externalStorageNamespace"),
}
_OF_NEW_CLAIMS: Final = {
    "size": _given("size"),
    "storageClassName": _text("storageClassName"),
    "accessModes": "(has(self.accessModes) && size(self.accessModes) > 0)",
}
_MANAGED: Final = (_kept("managedBy"), _one_of("managedBy", MANAGERS))
RULES: Final[Mapping[type[Spec], tuple[Rule, ...]]] = {
    RayClusterSpec: (
        *_MANAGED,
        Rule(
            f"!{_given('idleTerminationOptions')} || {_true('enableInTreeAutoscaling')}",
            "idleTerminationOptions needs enableInTreeAutoscaling: true",
        ),
    ),
    WorkerGroupSpec: (
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be more than maxReplicas",
        ),
        _least("replicas", 0),
        _least("minReplicas", 0),
        _least("maxReplicas", 0),
        _least("numOfHosts", 1),
        _least("idleTimeoutSeconds", 0),
    ),
    AuthOptions: (
        Rule(
            f"!({_true('enableK8sTokenAuth')} && {_text('secretName')})",
            "enableK8sTokenAuth takes tokens of Kubernetes; leave secretName out",
        ),
        Rule(
            f"(has(self.mode) && self.mode == 'token') || !({_true('enableK8sTokenAuth')} || {_text('secretName')})",
            "secretName and enableK8sTokenAuth need mode: token",
        ),
    ),
    AutoscalerOptions: (_one_of("version", ("", "v1", "v2")), _least("idleTimeoutSeconds", 0)),
    IdleTerminationOptions: (
        Rule("has(self.timeoutSeconds) && self.timeoutSeconds > 0", "timeoutSeconds must be given, and more than 0"),
    ),
    GcsFaultToleranceOptions: (
        Rule(f"{_BACKEND.format('self')} == {_BACKEND.format('oldSelf')}", "backend cannot be changed"),
        Rule(
            f"{_BACKEND.format('self')} != 'rocksdb' || !({' || '.join(_REDIS_ONLY.values())})",
            f"{', '.join(_REDIS_ONLY)} are for backend: redis",
        ),
        Rule(
            f"{_BACKEND.format('self')} == 'rocksdb' || {_text('redisAddress')}",
            "redisAddress must be given with backend: redis",
        ),
        Rule(f"{_BACKEND.format('self')} == 'rocksdb' || !has(self.storage)", "storage is for backend: rocksdb"),
    ),
    GcsStorage: (
        Rule(
            f"!{_text('claimName')} || !({' || '.join(_OF_NEW_CLAIMS.values())})",
            f"{', '.join(_OF_NEW_CLAIMS)} are for a new claim; leave them out with claimName",
        ),
        _one_of("deletionPolicy", ("", "DeleteWithCluster", "Retain")),
    ),
    RayJobSpec: (
        *_MANAGED,
        Rule(
            "has(self.rayClusterSpec) != (has(self.clusterSelector) && size(self.clusterSelector) > 0)",
            "give either rayClusterSpec or clusterSelector",
        ),
        _least("ttlSecondsAfterFinished", 0),
        _least("backoffLimit", 0),
        Rule(
            "!has(self.ttlSecondsAfterFinished) || self.ttlSecondsAfterFinished <= 0 ||"
            f" {_true('shutdownAfterJobFinishes')}",
            "ttlSecondsAfterFinished needs shutdownAfterJobFinishes: true",
        ),
    ),
    RayServiceSpec: _MANAGED,
}
