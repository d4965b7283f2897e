"""RayService: Serve applications on a cluster that is replaced without an outage."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from rayfleet.config.rayio.base import Object, Spec
from rayfleet.config.rayio.raycluster import RayClusterSpec


class ServiceUpgradeType(StrEnum):
    """What a changed cluster does."""

    NEW_CLUSTER = "NewCluster"
    INCREMENTAL = "NewClusterWithIncrementalUpgrade"
    NONE = "None"


class ClusterUpgradeOptions(Spec):
    """The steps of an incremental upgrade. Percentages of the whole traffic or capacity."""

    max_surge_percent: int = 100
    step_size_percent: int | None = None
    interval_seconds: int | None = None
    gateway_class_name: str = ""


class ServiceUpgradeStrategy(Spec):
    """How a changed cluster takes the old one's place. Left out: a new cluster, then the switch."""

    type: ServiceUpgradeType | None = None
    cluster_upgrade_options: ClusterUpgradeOptions | None = None


class RayServiceSpec(Spec):
    """Serve applications and the cluster they run on."""

    serve_config_v2: str = Field("", alias="serveConfigV2")
    ray_cluster_config: RayClusterSpec = Field(alias="rayClusterConfig")
    upgrade_strategy: ServiceUpgradeStrategy | None = None
    ray_cluster_deletion_delay_seconds: int = 60
    serve_service: Object | None = None
    exclude_head_pod_from_serve_svc: bool = False
    suspend: bool = False
    managed_by: str | None = None
