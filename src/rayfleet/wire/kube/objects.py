"""Kinds of objects, keys, and small readers of objects that are kept as the API server gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
"""One object, as JSON has it. Objects out of a cache are shared: never change one, copy what you send."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: where the API server keeps it."""

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return `apiVersion` as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which object of a kind. `namespace` is "" for kinds without."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Print as kubectl does: namespace/name."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


POD: Final = Kind("", "v1", "Pod", "pods")
SERVICE: Final = Kind("", "v1", "Service", "services")
SECRET: Final = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
EVENT: Final = Kind("", "v1", "Event", "events")
NODE: Final = Kind("", "v1", "Node", "nodes", namespaced=False)
SERVICE_ACCOUNT: Final = Kind("", "v1", "ServiceAccount", "serviceaccounts")
VOLUME_CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
ENDPOINTS: Final = Kind("", "v1", "Endpoints", "endpoints")
ROLE: Final = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
INGRESS: Final = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
GATEWAY: Final = Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways")
HTTP_ROUTE: Final = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases")
RAY_CLUSTER: Final = Kind("ray.io", "v1", "RayCluster", "rayclusters")
RAY_JOB: Final = Kind("ray.io", "v1", "RayJob", "rayjobs")
RAY_SERVICE: Final = Kind("ray.io", "v1", "RayService", "rayservices")
RAY_CRON_JOB: Final = Kind("ray.io", "v1", "RayCronJob", "raycronjobs")


def key_of(thing: Object) -> Key:
    """Return the object's key."""
    meta = thing["metadata"]
    return Key(meta.get("namespace", ""), meta["name"])


def uid_of(thing: Object) -> str:
    """Return the object's uid, "" before the API server has given it one."""
    return str(thing["metadata"].get("uid", ""))


def labels_of(thing: Object) -> dict[str, str]:
    """Return the object's labels."""
    return thing["metadata"].get("labels") or {}


def annotations_of(thing: Object) -> dict[str, str]:
    """Return the object's annotations."""
    return thing["metadata"].get("annotations") or {}


def is_leaving(thing: Object) -> bool:
    """Say whether the object is being deleted."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def controller_of(thing: Object) -> Object | None:
    """Return the owner reference of whoever controls the object."""
    references = thing["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
