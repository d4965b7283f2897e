"""What is wrong with how a RayCluster is to outlive its head. `checks` asks this."""

from __future__ import annotations

from typing import Final

from rayfleet.config.problems import Path
from rayfleet.config.rayio.finding import Finding, Findings, Manifest, mappings, ray_container
from rayfleet.config.rayio.names import DELETION_TIMEOUT_ANNOTATION, FT_ANNOTATION, STORAGE_NAMESPACE_ANNOTATION
from rayfleet.config.rayio.raycluster import GcsBackend, GcsFaultToleranceOptions, GcsStorage

DELETION_POLICIES: Final = (None, "", "DeleteWithCluster", "Retain")
_WHERE: Final = "gcsFaultToleranceOptions"


_STORAGE: Final = (_WHERE, "storage")


def storage_findings(of: Manifest) -> Findings:
    """Yield everything that is wrong about the GCS' storage, each with what to do."""
    options = of.spec.gcs_fault_tolerance_options
    patience = of.annotations.get(DELETION_TIMEOUT_ANNOTATION)
    if patience is not None and not patience.strip().isdecimal():
        text = f"the annotation {DELETION_TIMEOUT_ANNOTATION} is {patience}; give seconds, such as 300"
        yield Finding(_annotation(DELETION_TIMEOUT_ANNOTATION), text)
    if options is None:
        yield from _without_options(of)
        return
    yield from _beside_annotations(of)
    yield from _beside_settings(of)
    yield from _rocksdb(options) if options.backend is GcsBackend.ROCKSDB else _redis(options)


def _without_options(of: Manifest) -> Findings:
    if "RAY_REDIS_ADDRESS" in _head_variables(of) and of.annotations.get(FT_ANNOTATION) != "true":
        text = f'the head has RAY_REDIS_ADDRESS, and {FT_ANNOTATION} is not "true"'
        yield Finding(_variables(), f"{text}; use {_WHERE}.redisAddress instead, or remove the variable")


def _beside_annotations(of: Manifest) -> Findings:
    if of.annotations.get(FT_ANNOTATION, "true") != "true":
        text = f"the annotation {FT_ANNOTATION} says no and {_WHERE} says yes; remove one of them"
        yield Finding(_annotation(FT_ANNOTATION), text)
    if STORAGE_NAMESPACE_ANNOTATION in of.annotations:
        text = f"remove the annotation {STORAGE_NAMESPACE_ANNOTATION}; {_WHERE}.externalStorageNamespace says it"
        yield Finding(_annotation(STORAGE_NAMESPACE_ANNOTATION), text)


def _beside_settings(of: Manifest) -> Findings:
    for name in sorted(_head_variables(of) & {"RAY_REDIS_ADDRESS", "REDIS_USERNAME", "REDIS_PASSWORD"}):
        yield Finding(_variables(), f"remove {name} from the head's variables; {_WHERE} says it")
    for name in sorted(of.spec.head_group_spec.ray_start_params.keys() & {"redis-username", "redis-password"}):
        text = f"remove {name} from the head's rayStartParams; {_WHERE} says it"
        yield Finding(("headGroupSpec", "rayStartParams", name), text)


def _redis(options: GcsFaultToleranceOptions) -> Findings:
    if not options.redis_address:
        text = f"{_WHERE}.redisAddress is missing; give host:port of your Redis, or use backend: rocksdb"
        yield Finding((_WHERE, "redisAddress"), text)
    if options.storage is not None:
        yield Finding(_STORAGE, f"{_WHERE}.storage is for backend: rocksdb; leave it out with Redis")


def _rocksdb(options: GcsFaultToleranceOptions) -> Findings:
    given = {
        "redisAddress": options.redis_address,
        "redisUsername": options.redis_username,
        "redisPassword": options.redis_password,
        "externalStorageNamespace": options.external_storage_namespace,
    }
    for name, value in given.items():
        if value:
            yield Finding((_WHERE, name), f"{_WHERE}.{name} is for backend: redis; leave it out with rocksdb")
    if options.storage is not None:
        yield from _volume(options.storage)


def _volume(storage: GcsStorage) -> Findings:
    of_a_new_one = {
        "size": storage.size,
        "storageClassName": storage.storage_class_name,
        "accessModes": storage.access_modes,
    }
    if storage.claim_name:
        for name, value in of_a_new_one.items():
            if value:
                text = f"{_WHERE}.storage.{name} is for a new claim; leave it out with claimName"
                yield Finding((*_STORAGE, name), text)
    if storage.deletion_policy not in DELETION_POLICIES:
        text = f"{_WHERE}.storage.deletionPolicy {storage.deletion_policy} is not known"
        yield Finding((*_STORAGE, "deletionPolicy"), f"{text}; use DeleteWithCluster or Retain")


def _annotation(name: str) -> Path:
    return ("metadata", "annotations", name)


def _variables() -> Path:
    return ("headGroupSpec", "template", "spec", "containers", 0, "env")


def _head_variables(of: Manifest) -> set[str]:
    variables = mappings(ray_container(of.spec.head_group_spec).get("env"))
    return {str(variable.get("name")) for variable in variables}
