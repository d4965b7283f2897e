"""RayJob: a job on a cluster of its own, or on one that is selected."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from rayfleet.config.rayio.base import Object, Spec
from rayfleet.config.rayio.raycluster import RayClusterSpec


class SubmissionMode(StrEnum):
    """Who submits the job."""

    K8S_JOB = "K8sJobMode"
    HTTP = "HTTPMode"
    INTERACTIVE = "InteractiveMode"
    SIDECAR = "SidecarMode"


class DeletionPolicy(StrEnum):
    """What goes."""

    DELETE_CLUSTER = "DeleteCluster"
    DELETE_WORKERS = "DeleteWorkers"
    DELETE_SELF = "DeleteSelf"
    DELETE_NONE = "DeleteNone"


class DeletionCondition(Spec):
    """When a rule holds: one of the two statuses, and for how long."""

    job_status: str | None = None
    job_deployment_status: str | None = None
    ttl_seconds: int = 0


class DeletionRule(Spec):
    """What goes when."""

    policy: DeletionPolicy
    condition: DeletionCondition


class LegacyDeletion(Spec):
    """What goes at once, in the older form."""

    policy: DeletionPolicy


class DeletionStrategy(Spec):
    """What goes after the job's end, in stages."""

    deletion_rules: list[DeletionRule] = Field(default_factory=list)
    on_success: LegacyDeletion | None = None
    on_failure: LegacyDeletion | None = None


class SubmitterConfig(Spec):
    """The submitter's Job."""

    backoff_limit: int | None = None


class RayJobSpec(Spec):
    """A job, where it runs, and what remains of it."""

    entrypoint: str = ""
    runtime_env_yaml: str = Field("", alias="runtimeEnvYAML")
    metadata: dict[str, str] = Field(default_factory=dict)
    job_id: str = ""
    submission_mode: SubmissionMode = SubmissionMode.K8S_JOB
    entrypoint_num_cpus: float = 0
    entrypoint_num_gpus: float = 0
    entrypoint_resources: str = ""
    submitter_pod_template: Object | None = None
    submitter_config: SubmitterConfig | None = None
    ray_cluster_spec: RayClusterSpec | None = None
    cluster_selector: dict[str, str] = Field(default_factory=dict)
    active_deadline_seconds: int | None = None
    pre_running_deadline_seconds: int | None = None
    backoff_limit: int = 0
    shutdown_after_job_finishes: bool = False
    ttl_seconds_after_finished: int = 0
    deletion_strategy: DeletionStrategy | None = None
    suspend: bool = False
    managed_by: str | None = None
