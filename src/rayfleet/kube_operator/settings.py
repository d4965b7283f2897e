"""What holds for all resources of one operator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_IMAGE: Final = "rayfleet:latest"


class Autoscaling(StrEnum):
    """Where the autoscaler of a RayCluster works."""

    SIDECAR = "sidecar"
    """In a container beside the head."""
    CENTRAL = "central"
    """In the operator, together with those of all other clusters."""


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Switches of the operator, each with KubeRay's default where KubeRay has it.

    `image`: of the containers that the operator adds. `cluster_domain`: of the names of services. `namespace`: of the
    operator's own pod, "" where it is none. `autoscaling`: of clusters that do not say themselves.
    `batch_scheduler`: who places pods, "": Kubernetes' own.
    """

    image: str = DEFAULT_IMAGE
    cluster_domain: str = "cluster.local"
    init_container: bool = True
    probes: bool = True
    login_shell: bool = False
    random_pod_delete: bool = False
    head_cluster_ip: bool = False
    redis_cleanup: bool = True
    namespace: str = ""
    autoscaling: Autoscaling = Autoscaling.SIDECAR
    batch_scheduler: str = ""
