"""A RayService and what is seen of it: its active cluster, and the one that is to take its place."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Final

from rayfleet.config.rayio.rayservice import ClusterUpgradeOptions, RayServiceSpec, ServiceUpgradeType
from rayfleet.kube_operator.raycluster.cluster import Cluster
from rayfleet.kube_operator.raycluster.health import Health, health
from rayfleet.kube_operator.raycluster.names import (
    CLUSTER_LABEL,
    ORIGIN_KIND_LABEL,
    ORIGIN_NAME_LABEL,
    SERVE_ANNOTATION,
    SERVE_LABEL,
    digest,
    label_value,
    passed_on,
    trimmed,
)
from rayfleet.kube_operator.rayservice.serve import ServeFact, probe
from rayfleet.kube_operator.reconciling import Observed
from rayfleet.kube_operator.resource import Resource
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.wire.kube.objects import (
    POD,
    RAY_CLUSTER,
    RAY_SERVICE,
    Key,
    Object,
    annotations_of,
    is_leaving,
    key_of,
    labels_of,
    uid_of,
)

NAME_MAX: Final = 47
GOAL_ANNOTATION: Final = "ray.io/hash-without-replicas-and-workers-to-delete"
GROUPS_ANNOTATION: Final = "ray.io/num-worker-groups"
RETIRED_ANNOTATION: Final = "rayfleet.io/retired-at"
"""Since when a cluster no longer serves (seconds since the epoch): its end is due some time later."""
_SCALED: Final = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy")
"""Parts of a worker group that change without another cluster."""
_POD_DETAILS: Final = ("tolerations", "schedulingGates")


@dataclass(frozen=True)
class Service(Resource):
    """A RayService resource with its spec read, and what is seen of it."""

    spec: RayServiceSpec
    seen: Observed
    settings: OperatorSettings

    @classmethod
    def read(cls, seen: Observed, settings: OperatorSettings) -> Service:
        """Read a resource. Raises pydantic.ValidationError."""
        return cls(seen.thing, RayServiceSpec.model_validate(seen.thing["spec"]), seen, settings)

    @property
    def active_name(self) -> str:
        """Return the name of the cluster that serves, "" when none does."""
        return str((self.status.get("activeServiceStatus") or {}).get("rayClusterName", ""))

    @property
    def pending_name(self) -> str:
        """Return the name of the cluster that is to serve, "" when none is."""
        return str((self.status.get("pendingServiceStatus") or {}).get("rayClusterName", ""))

    @property
    def incremental(self) -> bool:
        """Say whether another cluster takes over by steps."""
        strategy = self.spec.upgrade_strategy
        return strategy is not None and strategy.type is ServiceUpgradeType.INCREMENTAL

    @property
    def upgrade_options(self) -> ClusterUpgradeOptions:
        """Return how large these steps are."""
        strategy = self.spec.upgrade_strategy
        return (strategy and strategy.cluster_upgrade_options) or ClusterUpgradeOptions()

    @property
    def origin_labels(self) -> dict[str, str]:
        """Return the labels by which objects of this service are found."""
        return {ORIGIN_NAME_LABEL: label_value(self.name), ORIGIN_KIND_LABEL: RAY_SERVICE.name}

    @property
    def upgrades(self) -> bool:
        """Say whether another cluster takes the place of one whose spec has changed."""
        strategy = self.spec.upgrade_strategy
        return strategy is None or strategy.type is not ServiceUpgradeType.NONE

    def cluster(self, name: str) -> Object | None:
        """Return a cluster of this service."""
        return next((one for one in self.seen.all(RAY_CLUSTER) if name and key_of(one).name == name), None)

    def fresh_name(self) -> str:
        """Return a name for another cluster: the same until the status has changed."""
        names = (self.active_name, self.pending_name, self.thing["metadata"].get("resourceVersion", ""))
        return f"{trimmed(self.name, NAME_MAX)}-{digest(uid_of(self.thing), goal_hash(self.cluster_spec), *names)}"

    @property
    def cluster_spec(self) -> Object:
        """Return the spec of the cluster that is wanted now, as it was written."""
        spec: Object = self.thing["spec"]["rayClusterConfig"]
        return spec

    def owner_reference(self) -> Object:
        """Return what objects of this service carry, so that they go with it."""
        return {
            "apiVersion": RAY_SERVICE.api_version,
            "kind": RAY_SERVICE.name,
            "name": self.name,
            "uid": uid_of(self.thing),
            "controller": True,
            "blockOwnerDeletion": True,
        }


def new_cluster(service: Service, name: str) -> Object:
    """Return a RayCluster for the spec that is wanted now."""
    spec = copy.deepcopy(service.cluster_spec)
    return {
        "metadata": {
            "name": name,
            "namespace": service.namespace,
            "labels": (service.thing["metadata"].get("labels") or {}) | service.origin_labels,
            "annotations": {
                **passed_on(annotations_of(service.thing)),
                GOAL_ANNOTATION: goal_hash(spec),
                GROUPS_ANNOTATION: str(len(spec.get("workerGroupSpecs") or ())),
                **({SERVE_ANNOTATION: "true"} if service.incremental else {}),
            },
            "ownerReferences": [service.owner_reference()],
        },
        "spec": _for_one_cluster(service, spec),
    }


def _for_one_cluster(service: Service, spec: Object) -> Object:
    """Return a spec with what cannot be the same for two clusters at once."""
    own = (spec.get("headGroupSpec") or {}).get("headService") or {}
    (own.get("metadata") or {}).pop("name", None)  # the name leads to whichever serves: it is the service's
    if service.incremental and service.active_name:
        # As many replicas as the share asks for: the autoscaler adds the workers that they need.
        for group in spec.get("workerGroupSpecs") or ():
            group["replicas"] = group.get("minReplicas", 0)
    return spec


def matches(cluster: Object, spec: Object) -> bool:
    """Say whether a cluster is as wanted, but for what changes in place: counts, and groups added at the end."""
    made_for, goal = annotations_of(cluster), goal_hash(spec)
    if made_for.get(GOAL_ANNOTATION) == goal or goal_hash(cluster["spec"]) == goal:
        return True  # the latter: another operator has made it, and writes down another hash of the same
    before = made_for.get(GROUPS_ANNOTATION, "")
    groups = spec.get("workerGroupSpecs") or []
    if not before.isdecimal() or len(groups) <= int(before):
        return False
    return made_for.get(GOAL_ANNOTATION) == goal_hash({**spec, "workerGroupSpecs": groups[: int(before)]})


def goal_hash(spec: Object) -> str:
    """Return what stands for a cluster's spec without that which changes in place."""
    plain = copy.deepcopy({key: value for key, value in spec.items() if key != "upgradeStrategy"})
    for group in (plain.get("headGroupSpec") or {}, *(plain.get("workerGroupSpecs") or ())):
        for name in _SCALED:
            group.pop(name, None)
        pod = (group.get("template") or {}).get("spec") or {}
        for name in _POD_DETAILS:
            pod.pop(name, None)
    return digest(json.dumps(plain, sort_keys=True), length=24)


def pods_of(service: Service, cluster: Object | None) -> list[Object]:
    """Return the pods of one of the service's clusters."""
    if cluster is None:
        return []
    pods = service.seen.related.get(POD, ())
    return [pod for pod in pods if labels_of(pod).get(CLUSTER_LABEL) == key_of(cluster).name and not is_leaving(pod)]


def endpoints(service: Service, name: str) -> int:
    """Return how many pods of a cluster answer what is sent to the service."""
    pods = pods_of(service, service.cluster(name))
    return sum(health(pod) is Health.READY and labels_of(pod).get(SERVE_LABEL) == "true" for pod in pods)


def fact_of(service: Service, cluster: Object) -> ServeFact | None:
    """Return what a cluster's Serve said last, None when it was not asked yet."""
    fact = service.seen.facts.get(probe(url_of(service, cluster)).key)
    return fact if isinstance(fact, ServeFact) else None


def secret_of(service: Service, cluster: Object) -> Key | None:
    """Return the Secret with the token that a cluster asks for, None when it asks for none."""
    return Cluster.read(cluster, service.settings).token_secret


def url_of(service: Service, cluster: Object) -> str:
    """Return where a cluster's dashboard is, which Serve is told through."""
    return f"http://{Cluster.read(cluster, service.settings).dashboard}"
