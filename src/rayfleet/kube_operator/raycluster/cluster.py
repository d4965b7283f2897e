"""One RayCluster as its builders see it: its typed spec, who it is, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rayfleet.config.rayio.placement import brings_autoscaler, only_beside_the_head
from rayfleet.config.rayio.raycluster import AuthMode, GcsBackend, GroupSpec, HeadGroupSpec, RayClusterSpec
from rayfleet.kube_operator.raycluster.names import (
    AUTOSCALER_ANNOTATION,
    CLUSTER_LABEL,
    FT_ANNOTATION,
    HEAD_GROUP,
    ORIGIN_KIND_LABEL,
    SERVE_ANNOTATION,
    head_service_name,
)
from rayfleet.kube_operator.settings import Autoscaling, OperatorSettings
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_SERVICE, Key, Object, annotations_of, key_of, labels_of, uid_of

RAY_PORT: Final = 6379
DASHBOARD_PORT: Final = 8265
HTTP_HEALTH_SINCE: Final = (2, 53)


@dataclass(frozen=True)
class Cluster:
    """A RayCluster resource, with its spec read."""

    thing: Object
    spec: RayClusterSpec
    settings: OperatorSettings

    @classmethod
    def read(cls, thing: Object, settings: OperatorSettings) -> Cluster:
        """Read a resource.

        Raises:
            pydantic.ValidationError: it is not one (the API server would not have let it through).
        """
        return cls(thing, RayClusterSpec.model_validate(thing["spec"]), settings)

    @cached_property
    def name(self) -> str:
        """Return the cluster's name."""
        return key_of(self.thing).name

    @cached_property
    def namespace(self) -> str:
        """Return the namespace of the cluster and of all that it owns."""
        return key_of(self.thing).namespace

    @cached_property
    def uid(self) -> str:
        """Return the resource's uid."""
        return uid_of(self.thing)

    @property
    def labels(self) -> dict[str, str]:
        """Return the resource's labels."""
        return labels_of(self.thing)

    @property
    def annotations(self) -> dict[str, str]:
        """Return the resource's annotations."""
        return annotations_of(self.thing)

    @property
    def head(self) -> HeadGroupSpec:
        """Return the head's group."""
        return self.spec.head_group_spec

    @cached_property
    def port(self) -> int:
        """Return the port of the GCS."""
        given = self.head.ray_start_params.get("port", "")
        return int(given) if given.isdecimal() else RAY_PORT

    @cached_property
    def address(self) -> str:
        """Return the name under which the head is found from every namespace."""
        service = self.head.head_service or {}
        name = service.get("metadata", {}).get("name") or head_service_name(self.name)
        return f"{name}.{self.namespace}.svc.{self.settings.cluster_domain}"

    @property
    def dashboard(self) -> str:
        """Return where the job server and Serve's controller are asked: host:port."""
        return f"{self.address}:{DASHBOARD_PORT}"

    @cached_property
    def ray_version(self) -> tuple[int, int] | None:
        """Return major and minor of Ray's version; None: not said."""
        return self.spec.ray_release

    @property
    def autoscaled(self) -> bool:
        """Say whether an autoscaler decides how many workers there are."""
        return self.spec.enable_in_tree_autoscaling

    @property
    def brings_autoscaler(self) -> bool:
        """Say whether another autoscaler than ours is to run beside the head."""
        return brings_autoscaler(self.spec)

    @property
    def autoscaled_centrally(self) -> bool:
        """Say whether a head that is made now is scaled by the operator, and has no autoscaler beside it."""
        asked = self.annotations.get(AUTOSCALER_ANNOTATION) or self.settings.autoscaling
        beside = self.brings_autoscaler or bool(self.only_beside_the_head)
        return self.autoscaled and not beside and asked == Autoscaling.CENTRAL

    @property
    def only_beside_the_head(self) -> tuple[str, ...]:
        """Return what the cluster asks for that only an autoscaler beside its head can do."""
        return only_beside_the_head(self.spec, self.annotations)

    @property
    def restarts_by_pod(self) -> bool:
        """Say whether pods that ended are replaced as a whole: nodes that were drained must not come back in place."""
        options = self.spec.autoscaler_options
        return self.autoscaled and (options is None or options.version != "v1")

    @property
    def serves(self) -> bool:
        """Say whether a Service leads to what Serve answers on these pods."""
        return self.of_service or self.annotations.get(SERVE_ANNOTATION) == "true"

    @property
    def of_service(self) -> bool:
        """Say whether a RayService has made this cluster."""
        return self.made_by == RAY_SERVICE.name

    @property
    def made_by(self) -> str:
        """Return the kind whose resource has made this cluster; "": a person has."""
        return self.labels.get(ORIGIN_KIND_LABEL, "")

    @property
    def backend(self) -> GcsBackend | None:
        """Return where the GCS keeps its state; None: nowhere, it goes with the head."""
        options = self.spec.gcs_fault_tolerance_options
        if options is not None:
            return options.backend or GcsBackend.REDIS
        return GcsBackend.REDIS if self.annotations.get(FT_ANNOTATION) == "true" else None

    @property
    def token_auth(self) -> bool:
        """Say whether Ray asks for a token."""
        return self.spec.auth_options is not None and self.spec.auth_options.mode is AuthMode.TOKEN

    def owned(self, name: str, labels: dict[str, str] | None = None) -> Object:
        """Return the metadata of an object of this cluster's; without `labels` the one by which it is found."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": labels or {CLUSTER_LABEL: self.name},
            "ownerReferences": [self.owner_reference()],
        }

    @property
    def token_secret(self) -> Key | None:
        """Return the Secret that holds the token which Ray asks for; None: it asks for none, or for somebody's own."""
        options = self.spec.auth_options
        if options is None or not self.token_auth or options.enable_k8s_token_auth:
            return None
        return Key(self.namespace, options.secret_name or self.name)

    def owner_reference(self) -> Object:
        """Return what objects of this cluster carry, so that they go with it."""
        return {
            "apiVersion": RAY_CLUSTER.api_version,
            "kind": RAY_CLUSTER.name,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def group_name(group: GroupSpec) -> str:
    """Return the name of a group; the head's has one too."""
    return getattr(group, "group_name", HEAD_GROUP)
