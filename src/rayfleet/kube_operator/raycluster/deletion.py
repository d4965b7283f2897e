"""A cluster that is being deleted and held: what is done before it may go.

    pods told to go -> head gone -> keys removed from Redis by a Job -> finalizer removed -> Kubernetes removes the rest
                                    '-- failed, or all of it took too long: the finalizer goes all the same

Nothing here may keep a cluster for ever: keys that are left in Redis are a smaller evil than a namespace that hangs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

from rayfleet.config.rayio.raycluster import GcsBackend
from rayfleet.kube_operator.raycluster import names
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.environment import merged
from rayfleet.kube_operator.raycluster.health import moment
from rayfleet.kube_operator.raycluster.storage import storage_environment, storage_namespace
from rayfleet.kube_operator.reconciling import Action, Create, Delete, Emit, EventType, Observed, Patch, Reconciled
from rayfleet.wire.kube.objects import JOB, POD, RAY_CLUSTER, Object, is_leaving, key_of, labels_of, uid_of

TIMEOUT_S: Final = 300.0
JOB_LIMIT_S: Final = 300
_NAMESPACE_ENDS: Final = "because it is being terminated"
"""Part of what the API server says where nothing can be created any more: no Job will ever be."""
_RESOURCES: Final = {"cpu": "200m", "memory": "256Mi"}
_POD_FIELDS: Final = (
    "imagePullSecrets",
    "nodeSelector",
    "affinity",
    "tolerations",
    "securityContext",
    "serviceAccountName",
    "runtimeClassName",
    "volumes",
)
"""What the clean-up needs to be let in where the head was."""
_CONTAINER_FIELDS: Final = ("image", "imagePullPolicy", "securityContext", "envFrom", "volumeMounts")
SCRIPT: Final = """
import os
from urllib.parse import urlsplit
from ray._private.gcs_utils import cleanup_redis_storage

address = os.environ["RAY_REDIS_ADDRESS"].split(",")[0].strip()
server = urlsplit(address if "://" in address else "redis://" + address)
user = {"username": os.environ["REDIS_USERNAME"]} if os.environ.get("REDIS_USERNAME") else {}
done = cleanup_redis_storage(
    host=server.hostname,
    port=server.port or 6379,
    password=os.environ.get("REDIS_PASSWORD", ""),
    use_ssl=server.scheme == "rediss",
    storage_namespace=os.environ["RAY_external_storage_namespace"],
    **user,
)
raise SystemExit(0 if done else "the keys are still there")
"""


def hold(cluster: Cluster) -> Iterator[Action]:
    """Yield what makes the cluster wait, once it is deleted, for its keys in Redis to be removed."""
    finalizers = _finalizers(cluster)
    if _cleans_up(cluster) and names.REDIS_FINALIZER not in finalizers:
        yield _set(cluster, [*finalizers, names.REDIS_FINALIZER])


def leaving(cluster: Cluster, seen: Observed) -> Reconciled:
    """Decide about a cluster that is being deleted; without a finalizer of ours there is nothing to do."""
    finalizers = _finalizers(cluster)
    if not {names.REDIS_FINALIZER, names.IDLE_FINALIZER}.intersection(finalizers):
        return Reconciled()
    left_s = moment(cluster.thing["metadata"]["deletionTimestamp"]) + _timeout_s(cluster) - seen.now
    if any(_NAMESPACE_ENDS in failure.message for failure in seen.failures):
        left_s = 0.0
    rest = [one for one in finalizers if not _is_done(one, cluster, seen, overdue=left_s <= 0)]
    actions: list[Action] = [*_pods(seen)]
    if names.REDIS_FINALIZER in rest and not _has_head(seen) and not seen.all(JOB):
        actions.append(Create(JOB, cleanup_job(cluster), failure="FailedCreateRedisCleanupJob"))
    if rest != finalizers:
        actions += [*_told(cluster, seen, finalizers, overdue=left_s <= 0), _set(cluster, rest)]
    return Reconciled(tuple(actions), again_s=max(left_s, 1.0))


def cleanup_job(cluster: Cluster) -> Object:
    """Return the Job that removes the cluster's keys from Redis, as near to its head as can be."""
    template = cluster.head.template.get("spec") or {}
    ray = (template.get("containers") or [{}])[0]
    labels = {names.CLUSTER_LABEL: cluster.name, names.NODE_TYPE_LABEL: names.CLEANUP}
    container: Object = {
        "name": ray.get("name", names.CLEANUP),
        **{field: copy.deepcopy(ray[field]) for field in _CONTAINER_FIELDS if field in ray},
        "command": ["python", "-c", SCRIPT],
        "env": merged(ray.get("env") or [], [], storage_environment(cluster, head=True)),
        "resources": {"limits": dict(_RESOURCES), "requests": dict(_RESOURCES)},
    }
    spec = {
        **{field: copy.deepcopy(template[field]) for field in _POD_FIELDS if field in template},
        "containers": [container],
        "restartPolicy": "Never",
    }
    name = names.trimmed(f"{cluster.name}-{names.CLEANUP}", names.LABEL_MAX)
    return {
        "metadata": cluster.owned(name, labels),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": JOB_LIMIT_S,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _told(cluster: Cluster, seen: Observed, finalizers: list[str], *, overdue: bool) -> Iterator[Emit]:
    """Yield what people should know of a clean-up that did not work."""
    if names.REDIS_FINALIZER not in finalizers or not _cleans_up(cluster):
        return
    prefix = f"look in Redis for keys that begin with RAY{storage_namespace(cluster)}"
    if any(_has_ended(job, "Failed") for job in seen.all(JOB)):
        yield Emit(EventType.WARNING, "RedisCleanupFailed", f"the clean-up Job failed; {prefix}")
    elif overdue and not any(_has_ended(job, "Complete") for job in seen.all(JOB)):
        yield Emit(EventType.WARNING, "RedisCleanupTimedOut", f"the cluster goes without clean-up; {prefix}")


def _is_done(finalizer: str, cluster: Cluster, seen: Observed, *, overdue: bool) -> bool:
    if finalizer == names.IDLE_FINALIZER:
        return overdue or not seen.all(POD)
    if finalizer != names.REDIS_FINALIZER:
        return False  # somebody else's
    return (
        overdue
        or not _cleans_up(cluster)
        or (not _has_head(seen) and any(_has_ended(job, "Complete", "Failed") for job in seen.all(JOB)))
    )


def _cleans_up(cluster: Cluster) -> bool:
    return cluster.backend is GcsBackend.REDIS and cluster.settings.redis_cleanup


def _timeout_s(cluster: Cluster) -> float:
    given = cluster.annotations.get(names.DELETION_TIMEOUT_ANNOTATION, "").strip()
    return float(given) if given.isdecimal() else TIMEOUT_S


def _pods(seen: Observed) -> Iterator[Delete]:
    for pod in seen.all(POD):
        if not is_leaving(pod):
            yield Delete(POD, key_of(pod), uid_of(pod), "its cluster is deleted", failure="FailedDeleteAllPods")


def _has_head(seen: Observed) -> bool:
    """Say whether there is a head, be it leaving: it would write its keys again."""
    return any(labels_of(pod).get(names.NODE_TYPE_LABEL) == names.HEAD for pod in seen.all(POD))


def _has_ended(job: Object, *how: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] in how and one["status"] == "True" for one in conditions)


def _finalizers(cluster: Cluster) -> list[str]:
    return list(cluster.thing["metadata"].get("finalizers") or ())


def _set(cluster: Cluster, finalizers: list[str]) -> Patch:
    """Return the change of all finalizers, refused when anybody else has changed the cluster meanwhile."""
    version = cluster.thing["metadata"].get("resourceVersion", "")
    change: dict[str, object] = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
    return Patch(RAY_CLUSTER, key_of(cluster.thing), change)
