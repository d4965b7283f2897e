"""RayCluster: one head and groups of workers.

Defaults are KubeRay's. What the API server lets through and is wrong all the same, `checks` tells.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from pydantic import Field

from rayfleet.config.rayio.base import INT32_MAX, Object, Spec

_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


class UpgradeStrategyType(StrEnum):
    """What a changed pod template does to existing pods."""

    NONE = "None"
    RECREATE = "Recreate"


class UpgradeStrategy(Spec):
    """What a changed spec does to existing pods. Left out: nothing."""

    type: UpgradeStrategyType | None = None


class AuthMode(StrEnum):
    """Whether Ray asks for a token."""

    DISABLED = "disabled"
    TOKEN = "token"  # noqa: S105 - a mode, no secret


class AuthOptions(Spec):
    """Ray's token authentication. Left out as a whole: off."""

    mode: AuthMode | None = None
    secret_name: str = ""
    """A Secret with the key `auth_token`; "": one is made, named as the cluster."""
    enable_k8s_token_auth: bool = Field(default=False, alias="enableK8sTokenAuth")
    """The API server checks the tokens."""


class UpscalingMode(StrEnum):
    """How fast a group may grow."""

    CONSERVATIVE = "Conservative"
    DEFAULT = "Default"
    AGGRESSIVE = "Aggressive"


class AutoscalerOptions(Spec):
    """The container beside the head that scales, and how it does it."""

    resources: Object | None = None
    image: str | None = None
    image_pull_policy: str | None = None
    security_context: Object | None = None
    idle_timeout_seconds: int | None = None
    upscaling_mode: UpscalingMode | None = None
    version: str | None = None
    env: list[Object] = Field(default_factory=list)
    env_from: list[Object] = Field(default_factory=list)
    volume_mounts: list[Object] = Field(default_factory=list)
    command: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)


class GcsStorage(Spec):
    """The volume of the embedded GCS storage."""

    claim_name: str = ""
    """An existing PersistentVolumeClaim; "": one is made."""
    size: str | int | None = None
    storage_class_name: str | None = None
    access_modes: list[str] = Field(default_factory=list)
    sub_path: str = ""
    deletion_policy: str | None = None


class Credential(Spec):
    """A value, or where it comes from (as in an environment variable)."""

    value: str = ""
    value_from: Object | None = None


class GcsBackend(StrEnum):
    """Where the GCS keeps its state."""

    REDIS = "redis"
    ROCKSDB = "rocksdb"


class GcsFaultToleranceOptions(Spec):
    """How the cluster outlives its head."""

    backend: GcsBackend | None = None
    redis_address: str = ""
    redis_username: Credential | None = None
    redis_password: Credential | None = None
    external_storage_namespace: str = ""
    storage: GcsStorage | None = None


class CollectorOptions(Spec):
    """The container that keeps logs and events for after the cluster's end."""

    image: str | None = None
    image_pull_policy: str | None = None
    resources: Object | None = None
    env: list[Object] = Field(default_factory=list)


class HistoryServerOptions(Spec):
    """What is kept of the cluster after its end."""

    collector_options: CollectorOptions | None = None


class NetworkRules(Spec):
    """Additional rules, as in a NetworkPolicy."""

    ingress: list[Object] = Field(default_factory=list)
    egress: list[Object] = Field(default_factory=list)


class GroupNetworkRules(NetworkRules):
    """Rules of one worker group; they take the place of the workers'."""

    group_name: str


class NetworkPolicyMode(StrEnum):
    """What is denied to the cluster's pods, but for each other."""

    DENY_ALL = "DenyAll"
    DENY_ALL_INGRESS = "DenyAllIngress"
    DENY_ALL_EGRESS = "DenyAllEgress"


class NetworkPolicyOptions(Spec):
    """Who may talk to the cluster's pods."""

    mode: NetworkPolicyMode | None = None
    head: NetworkRules | None = None
    worker: NetworkRules | None = None
    worker_groups: list[GroupNetworkRules] = Field(default_factory=list)


class TlsOptions(Spec):
    """Mutual TLS between the cluster's pods, with certificates of cert-manager."""

    enabled: bool = False


class IdlePolicy(StrEnum):
    """What happens to a whole cluster without a driver."""

    SUSPEND = "Suspend"
    DELETE = "Delete"


class IdleTerminationOptions(Spec):
    """When a whole cluster that nobody uses goes away."""

    timeout_seconds: int | None = None
    policy: IdlePolicy | None = None


class IngressOptions(Spec):
    """The Ingress to Ray's dashboard."""

    host: str = ""
    path: str = ""
    path_type: str = ""
    tls: list[Object] = Field(default_factory=list)


class ScaleStrategy(Spec):
    """Which pods go, by name."""

    workers_to_delete: list[str] = Field(default_factory=list)


class GroupSpec(Spec):
    """What the pods of the head and of worker groups share."""

    template: Object = Field(default_factory=dict)
    ray_start_params: dict[str, str] = Field(default_factory=dict)
    resources: dict[str, str | int | float] = Field(default_factory=dict)
    """Instead of what the container's limits say, for Ray."""
    labels: dict[str, str] = Field(default_factory=dict)


class HeadGroupSpec(GroupSpec):
    """The head's pod, and how it is reached. `replicas`: there is one head, whatever it says."""

    replicas: int | None = None
    head_service: Object | None = None
    enable_ingress: bool | None = None
    ingress_options: IngressOptions | None = None
    service_type: str | None = None


class WorkerGroupSpec(GroupSpec):
    """Workers of one kind. Counts are replicas of `num_of_hosts` pods each."""

    group_name: str
    replicas: int = 0
    min_replicas: int = 0
    max_replicas: int = INT32_MAX
    idle_timeout_seconds: int | None = None
    priority: int = 0
    suspend: bool = False
    scale_strategy: ScaleStrategy = ScaleStrategy()
    num_of_hosts: int = 1


class RayClusterSpec(Spec):
    """A Ray cluster, as its author wants it."""

    upgrade_strategy: UpgradeStrategy | None = None
    auth_options: AuthOptions | None = None
    suspend: bool = False
    managed_by: str | None = None
    autoscaler_options: AutoscalerOptions | None = None
    head_service_annotations: dict[str, str] = Field(default_factory=dict)
    enable_in_tree_autoscaling: bool = False
    gcs_fault_tolerance_options: GcsFaultToleranceOptions | None = None
    history_server_options: HistoryServerOptions | None = None
    network_policy: NetworkPolicyOptions | None = None
    tls_options: TlsOptions | None = None
    idle_termination_options: IdleTerminationOptions | None = None
    idle_suspend: bool = False
    """Set by the autoscaler as `idle_termination_options` ask; taken back by whoever wants the cluster again."""
    head_group_spec: HeadGroupSpec
    ray_version: str = ""
    worker_group_specs: list[WorkerGroupSpec] = Field(default_factory=list)

    @property
    def ray_release(self) -> tuple[int, int] | None:
        """Return major and minor of Ray's version; None: not said."""
        found = _RELEASE.match(self.ray_version)
        return (int(found[1]), int(found[2])) if found else None
