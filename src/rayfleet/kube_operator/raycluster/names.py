"""Names, labels and annotations: KubeRay's, so that what selects its pods selects these."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rayfleet.config.rayio import names as written

CLUSTER_LABEL: Final = "ray.io/cluster"
NODE_TYPE_LABEL: Final = "ray.io/node-type"
GROUP_LABEL: Final = "ray.io/group"
IS_RAY_NODE_LABEL: Final = "ray.io/is-ray-node"
IDENTIFIER_LABEL: Final = "ray.io/identifier"
SERVE_LABEL: Final = "ray.io/serve"
REPLICA_NAME_LABEL: Final = "ray.io/worker-group-replica-name"
REPLICA_INDEX_LABEL: Final = "ray.io/worker-group-replica-index"
HOST_INDEX_LABEL: Final = "ray.io/replica-host-index"
ORIGIN_NAME_LABEL: Final = "ray.io/originated-from-cr-name"
ORIGIN_KIND_LABEL: Final = "ray.io/originated-from-crd"
APP_LABELS: Final = {"app.kubernetes.io/name": "kuberay", "app.kubernetes.io/created-by": "kuberay-operator"}

SERVE_ANNOTATION: Final = "ray.io/enable-serve-service"
FT_ANNOTATION: Final = written.FT_ANNOTATION
STORAGE_NAMESPACE_ANNOTATION: Final = written.STORAGE_NAMESPACE_ANNOTATION
OVERWRITE_COMMAND_ANNOTATION: Final = "ray.io/overwrite-container-cmd"
RECREATE_HASH_ANNOTATION: Final = "ray.io/upgrade-strategy-recreate-hash"
NO_HEAD_RESTART_ANNOTATION: Final = "ray.io/disable-provisioned-head-restart"
AUTOSCALER_ANNOTATION: Final = written.AUTOSCALER_ANNOTATION
DELETION_TIMEOUT_ANNOTATION: Final = written.DELETION_TIMEOUT_ANNOTATION

REDIS_FINALIZER: Final = "ray.io/gcs-ft-redis-cleanup-finalizer"
"""Holds a cluster until its keys are gone from Redis."""
IDLE_FINALIZER: Final = "ray.io/idle-termination-cleanup-finalizer"
"""Holds a cluster that its own autoscaler deletes until its pods are gone."""

_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

HEAD_GROUP: Final = written.HEAD_GROUP
HEAD, WORKER, CLEANUP = "head", "worker", "redis-cleanup"

POD_NAME_MAX: Final = 63
"""A pod's name is its host name, which has this limit; beyond it Kubernetes would cut it."""
LABEL_MAX: Final = written.LABEL_MAX
SERVICE_NAME_MAX: Final = 50
_HASH_LENGTH: Final = 5
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place for one pod: host `host` of replica `replica` of a group."""

    group: str
    replica: int = 0
    host: int = 0

    def __str__(self) -> str:
        """Print as it stands in `Observed.departed`."""
        return f"{self.group}/{self.replica}/{self.host}"


HEAD_SLOT: Final = Slot(HEAD_GROUP)


def trimmed(name: str, limit: int) -> str:
    """Return a name of at most `limit` characters: its end is kept, and never begins with a dash or digit."""
    if len(name) <= limit:
        return name
    end = name[-limit:].lstrip("-.")
    return end if end[:1].isalpha() else f"r{end[1:]}"


def digest(*parts: object, length: int = _HASH_LENGTH) -> str:
    """Return characters that stand for `parts`, from an alphabet in which no words are made."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:16])
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def pod_name(cluster: str, slot: Slot, *token: object) -> str:
    """Return the name of the pod that is to stand in `slot`; `token` tells it from all that stood there before."""
    middle = HEAD if slot == HEAD_SLOT else group_word(slot.group)
    return trimmed(f"{cluster}-{middle}-{digest(slot, *token)}", POD_NAME_MAX)


def group_word(group: str) -> str:
    """Return what stands for a group in names of objects, which know no capitals and underscores."""
    return f"{group.lower().replace('_', '-')}-{WORKER}"


def head_service_name(owner: str) -> str:
    """Return the name of the Service of a cluster's (or service's, or job's) head."""
    return f"{trimmed(owner, SERVICE_NAME_MAX)}-head-svc"


def serve_service_name(owner: str) -> str:
    """Return the name of the Service of what Serve answers."""
    return f"{trimmed(owner, SERVICE_NAME_MAX)}-serve-svc"


def headless_service_name(cluster: str) -> str:
    """Return the name of the Service by which the hosts of replicas find each other."""
    return f"{trimmed(cluster, SERVICE_NAME_MAX)}-headless"


def label_value(text: str) -> str:
    """Return text that may be a label's value."""
    return trimmed(text, LABEL_MAX)


def passed_on(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations of a resource that its RayCluster gets too: all but what tells of the resource's own text.

    Many of a RayCluster's switches are annotations, and whoever writes a RayJob or a RayService has no other place.
    """
    return {name: value for name, value in annotations.items() if name != _APPLIED}
