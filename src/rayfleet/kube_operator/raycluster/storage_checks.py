"""What is wrong with how a RayCluster is to outlive its head. `checks` asks this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import GcsBackend, GcsFaultToleranceOptions, GcsStorage
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.names import (
    DELETION_TIMEOUT_ANNOTATION,
    FT_ANNOTATION,
    STORAGE_NAMESPACE_ANNOTATION,
)
from rayfleet.wire.kube.objects import Object

DELETION_POLICIES: Final = (None, "", "DeleteWithCluster", "Retain")
_WHERE: Final = "gcsFaultToleranceOptions"


def storage_problems(cluster: Cluster) -> Iterator[str]:
    """Yield everything that is wrong about the GCS' storage, each with what to do."""
    options = cluster.spec.gcs_fault_tolerance_options
    patience = cluster.annotations.get(DELETION_TIMEOUT_ANNOTATION)
    if patience is not None and not patience.strip().isdecimal():
        yield f"the annotation {DELETION_TIMEOUT_ANNOTATION} is {patience}; give seconds, such as 300"
    if options is None:
        yield from _without_options(cluster)
        return
    yield from _beside_annotations(cluster)
    yield from _beside_settings(cluster)
    yield from _rocksdb(options) if options.backend is GcsBackend.ROCKSDB else _redis(options)


def _without_options(cluster: Cluster) -> Iterator[str]:
    if "RAY_REDIS_ADDRESS" in _head_variables(cluster) and cluster.annotations.get(FT_ANNOTATION) != "true":
        yield (
            f'the head has RAY_REDIS_ADDRESS, and {FT_ANNOTATION} is not "true"; use {_WHERE}.redisAddress instead, or'
            " remove the variable"
        )


def _beside_annotations(cluster: Cluster) -> Iterator[str]:
    if cluster.annotations.get(FT_ANNOTATION, "true") != "true":
        yield f"the annotation {FT_ANNOTATION} says no and {_WHERE} says yes; remove one of them"
    if STORAGE_NAMESPACE_ANNOTATION in cluster.annotations:
        yield f"remove the annotation {STORAGE_NAMESPACE_ANNOTATION}; {_WHERE}.externalStorageNamespace says it"


def _beside_settings(cluster: Cluster) -> Iterator[str]:
    for name in sorted(_head_variables(cluster) & {"RAY_REDIS_ADDRESS", "REDIS_USERNAME", "REDIS_PASSWORD"}):
        yield f"remove {name} from the head's variables; {_WHERE} says it"
    for name in sorted(cluster.head.ray_start_params.keys() & {"redis-username", "redis-password"}):
        yield f"remove {name} from the head's rayStartParams; {_WHERE} says it"


def _redis(options: GcsFaultToleranceOptions) -> Iterator[str]:
    if not options.redis_address:
        yield f"{_WHERE}.redisAddress is missing; give host:port of your Redis, or use backend: rocksdb"
    if options.storage is not None:
        yield f"{_WHERE}.storage is for backend: rocksdb; leave it out with Redis"


def _rocksdb(options: GcsFaultToleranceOptions) -> Iterator[str]:
    given = {
        "redisAddress": options.redis_address,
        "redisUsername": options.redis_username,
        "redisPassword": options.redis_password,
        "externalStorageNamespace": options.external_storage_namespace,
    }
    yield from (f"{_WHERE}.{name} is for backend: redis; leave it out with rocksdb" for name in given if given[name])
    if options.storage is not None:
        yield from _volume(options.storage)


def _volume(storage: GcsStorage) -> Iterator[str]:
    of_a_new_one = {
        "size": storage.size,
        "storageClassName": storage.storage_class_name,
        "accessModes": storage.access_modes,
    }
    if storage.claim_name:
        for name, value in of_a_new_one.items():
            if value:
                yield f"{_WHERE}.storage.{name} is for a new claim; leave it out with claimName"
    if storage.deletion_policy not in DELETION_POLICIES:
        yield (
            f"{_WHERE}.storage.deletionPolicy {storage.deletion_policy} is not known; use DeleteWithCluster or Retain"
        )


def _head_variables(cluster: Cluster) -> set[str]:
    containers: list[Object] = (cluster.head.template.get("spec") or {}).get("containers") or [{}]
    return {variable["name"] for variable in containers[0].get("env") or ()}
