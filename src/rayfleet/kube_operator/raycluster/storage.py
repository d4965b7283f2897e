"""Where the GCS keeps its state when it is to outlive the head: Redis, or a volume of the head's own.

gcsFaultToleranceOptions --+
                           +--> variables, flags, annotations of the pods; the volume and its claim
ray.io/ft-enabled ---------+    (the older way: address and password stand in the head's template)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.quantity import quantity
from rayfleet.config.rayio.raycluster import Credential, GcsBackend, GcsStorage
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.volumes import share
from rayfleet.kube_operator.reconciling import Emit, EventType, Observed, Related
from rayfleet.wire.kube.objects import VOLUME_CLAIM, Kind, Object, key_of

PATH: Final = "/data/gcs"
VOLUME: Final = "gcs-storage"
RETAIN: Final = "Retain"
_SIZE: Final = "1Gi"
_RECONNECT_S: Final = 600
"""Workers wait so long for a new head; a volume that moves to another machine takes minutes."""
_CREDENTIALS: Final = {"REDIS_USERNAME": "redis-username", "REDIS_PASSWORD": "redis-password"}


def storage_environment(cluster: Cluster, *, head: bool) -> list[Object]:
    """Return the variables of a Ray container by which its GCS is, or is found again."""
    if cluster.backend is None:
        return []
    if not head:
        return [_value("RAY_gcs_rpc_server_reconnect_timeout_s", str(_RECONNECT_S))]
    if cluster.backend is GcsBackend.ROCKSDB:
        return [_value("RAY_gcs_storage", "rocksdb"), _value("RAY_gcs_storage_path", PATH)]
    return [*_redis(cluster), _value("RAY_external_storage_namespace", storage_namespace(cluster))]


def storage_params(cluster: Cluster) -> dict[str, str]:
    """Return the flags of the head's `ray start` that go with Redis' user and password."""
    options = cluster.spec.gcs_fault_tolerance_options
    if options is None:
        return {}
    given = {"REDIS_USERNAME": options.redis_username, "REDIS_PASSWORD": options.redis_password}
    # The shell puts them in, so that no password stands in a pod's spec.
    return {flag: f'"${name}"' for name, flag in _CREDENTIALS.items() if given[name] is not None}


def storage_annotations(cluster: Cluster) -> dict[str, str]:
    """Return what pods say about it."""
    if cluster.backend is None:
        return {}
    said = {names.FT_ANNOTATION: "true"}
    if cluster.backend is GcsBackend.REDIS:
        said[names.STORAGE_NAMESPACE_ANNOTATION] = storage_namespace(cluster)
    return said


def storage_namespace(cluster: Cluster) -> str:
    """Return what the cluster's keys in Redis begin with: by default what no other cluster ever has."""
    options = cluster.spec.gcs_fault_tolerance_options
    given = options.external_storage_namespace if options is not None else ""
    return given or cluster.annotations.get(names.STORAGE_NAMESPACE_ANNOTATION) or cluster.uid


def mount_storage(cluster: Cluster, pod: Object) -> None:
    """Give the head its volume."""
    if cluster.backend is GcsBackend.ROCKSDB:
        storage = _storage(cluster)
        mount = {"mountPath": PATH, **({"subPath": storage.sub_path} if storage.sub_path else {})}
        share(pod, VOLUME, mount, {"persistentVolumeClaim": {"claimName": storage.claim_name or _claim_name(cluster)}})


def volume_claim(cluster: Cluster) -> Iterator[tuple[Kind, Object]]:
    """Yield the claim of the head's volume, where it is ours to make. One that is to stay has no owner."""
    storage = _storage(cluster)
    if cluster.backend is not GcsBackend.ROCKSDB or storage.claim_name:
        return
    metadata = cluster.owned(_claim_name(cluster))
    if storage.deletion_policy == RETAIN:
        del metadata["ownerReferences"]
    spec: Object = {
        "accessModes": storage.access_modes or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(storage.size or _SIZE)}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    yield VOLUME_CLAIM, {"metadata": metadata, "spec": spec}


def related_to_storage(thing: Object) -> tuple[Related, ...]:
    """Return where a claim is found that the cluster does not own."""
    options = thing["spec"].get("gcsFaultToleranceOptions") or {}
    if (options.get("storage") or {}).get("deletionPolicy") != RETAIN:
        return ()
    return (Related(VOLUME_CLAIM, {names.CLUSTER_LABEL: key_of(thing).name}),)


def claim_differs(cluster: Cluster, seen: Observed) -> Iterator[Emit]:
    """Yield a warning where the claim is not what the spec asks for: a claim cannot be changed under a head."""
    for _, wanted in volume_claim(cluster):
        there = next((one for one in claims(seen) if key_of(one) == key_of(wanted)), None)
        different = [] if there is None else [*_differences(wanted["spec"], there["spec"])]
        if different:
            what = f"the claim {key_of(wanted).name} has another {' and '.join(different)} than the spec"
            yield Emit(EventType.WARNING, "GcsStorageDiffers", f"{what}; it stays as it is")


def claims(seen: Observed) -> tuple[Object, ...]:
    """Return the cluster's volume claims, its own and those that are to stay."""
    return (*seen.all(VOLUME_CLAIM), *seen.related.get(VOLUME_CLAIM, ()))


def _differences(wanted: Object, there: Object) -> Iterator[str]:
    sizes = [
        quantity(((one.get("resources") or {}).get("requests") or {}).get("storage", 0)) for one in (wanted, there)
    ]
    if sizes[0] != sizes[1]:
        yield "size"
    if there.get("storageClassName") != wanted.get("storageClassName", there.get("storageClassName")):
        yield "storageClassName"
    if sorted(there.get("accessModes") or ()) != sorted(wanted["accessModes"]):
        yield "accessModes"


def _redis(cluster: Cluster) -> Iterator[Object]:
    options = cluster.spec.gcs_fault_tolerance_options
    if options is None:  # what the template says in words only the clean-up needs to know from a variable
        for name, flag in _CREDENTIALS.items():
            text = cluster.head.ray_start_params.get(flag, "")
            if text and not text.startswith("$"):
                yield _value(name, text)
        return
    yield _value("RAY_REDIS_ADDRESS", options.redis_address)
    for name, given in (("REDIS_USERNAME", options.redis_username), ("REDIS_PASSWORD", options.redis_password)):
        if given is not None:
            yield _credential(name, given)


def _credential(name: str, given: Credential) -> Object:
    return {"name": name, "valueFrom": given.value_from} if given.value_from else _value(name, given.value)


def _storage(cluster: Cluster) -> GcsStorage:
    options = cluster.spec.gcs_fault_tolerance_options
    return (options.storage if options is not None else None) or GcsStorage()


def _claim_name(cluster: Cluster) -> str:
    return f"{cluster.name}-gcs-pvc"


def _value(name: str, value: str) -> Object:
    return {"name": name, "value": value}
