"""A RayJob's life, and the status that it is written in.

    "" -> Initializing -+-> (Interactive: Waiting ->) Running -> Complete
            |           |                               |
            |           '---> Failed <------------------'     Failed -> Retrying -> ""  while attempts are left
            '-> any of these -> Suspending -> Suspended -> ""
    ValidationFailed: until it is edited

The ids of a try - its job's and its cluster's - are in the status before anything is made under them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rayfleet.config.rayio.rayjob import RayJobSpec
from rayfleet.kube_operator.conditions import timestamp
from rayfleet.kube_operator.raycluster.health import moment
from rayfleet.kube_operator.raycluster.names import digest, trimmed
from rayfleet.kube_operator.reconciling import Observed
from rayfleet.kube_operator.resource import Resource
from rayfleet.wire.kube.objects import Object, uid_of

NAME_MAX: Final = 47


class Phase(StrEnum):
    """`jobDeploymentStatus`."""

    NEW = ""
    INITIALIZING = "Initializing"
    WAITING = "Waiting"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    VALIDATION_FAILED = "ValidationFailed"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RETRYING = "Retrying"


class Why(StrEnum):
    """`reason` of a job that failed."""

    SUBMISSION = "SubmissionFailed"
    DEADLINE = "DeadlineExceeded"
    PRE_RUNNING_DEADLINE = "PreRunningDeadlineExceeded"
    APP = "AppFailed"
    GRACE = "JobDeploymentStatusTransitionGracePeriodExceeded"
    STATUS_CHECK = "JobStatusCheckTimeoutExceeded"
    VALIDATION = "ValidationFailed"


FINAL_REASONS: Final = frozenset({Why.DEADLINE, Why.PRE_RUNNING_DEADLINE, Why.STATUS_CHECK, Why.VALIDATION})
"""Reasons that another try would not change."""
ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_CLEARED: Final = (
    "jobId", "rayClusterName", "dashboardURL", "jobStatus", "reason", "message", "startTime", "endTime",
    "rayClusterStatus", "rayJobInfo", "jobStatusCheckFailureStartTime",
)  # fmt: skip


@dataclass(frozen=True)
class Run(Resource):
    """A RayJob resource with its spec read, and what is seen of it."""

    spec: RayJobSpec
    seen: Observed

    @classmethod
    def read(cls, seen: Observed) -> Run:
        """Read a resource. Raises pydantic.ValidationError."""
        return cls(seen.thing, RayJobSpec.model_validate(seen.thing["spec"]), seen)

    @property
    def phase(self) -> Phase:
        """Return where it is in its life."""
        return Phase(self.status.get("jobDeploymentStatus", ""))

    @property
    def job_id(self) -> str:
        """Return the id of the job of this try, "" before it has one."""
        return str(self.status.get("jobId", ""))

    @property
    def cluster_name(self) -> str:
        """Return the name of the cluster of this try, "" before it has one."""
        return str(self.status.get("rayClusterName", ""))

    @property
    def job_status(self) -> str:
        """Return what Ray last said of the job."""
        return str(self.status.get("jobStatus", ""))

    def age_s(self, field: str) -> float | None:
        """Return the seconds since a moment in the status, None when it is not there."""
        text = self.status.get(field)
        return self.seen.now - moment(text) if text else None

    def entered(self, phase: Phase, **fields: Any) -> Object:
        """Return the status of another phase, with `fields` changed; None removes one."""
        return self.noted(jobDeploymentStatus=str(phase), **fields)

    def noted(self, **fields: Any) -> Object:
        """Return the status with `fields` changed; None removes one."""
        merged = {**self.status, **fields, "observedGeneration": self.thing["metadata"].get("generation", 0)}
        return {key: value for key, value in merged.items() if value is not None}

    def started(self) -> Object:
        """Return the status of a fresh try: new ids, and all that the last one left behind taken out."""
        cluster = "" if self.spec.cluster_selector else trimmed(f"{self.name}-{self._digest('cluster')}", NAME_MAX + 6)
        cleared: dict[str, Any] = dict.fromkeys(_CLEARED)
        fresh = {
            "jobId": self.spec.job_id or f"{self.name}-{self._digest('job')}",
            "rayClusterName": cluster or None,
            "startTime": timestamp(self.seen.now),
            "succeeded": self.status.get("succeeded", 0),
            "failed": self.status.get("failed", 0),
        }
        return self.entered(Phase.INITIALIZING, **(cleared | fresh))

    def failed(self, why: Why, message: str) -> Object:
        """Return the status of a job that failed."""
        return self.entered(
            Phase.FAILED,
            reason=str(why),
            message=message,
            endTime=timestamp(self.seen.now),
            failed=self.status.get("failed", 0) + 1,
        )

    def cleared(self, phase: Phase) -> Object:
        """Return the status without anything of the last try."""
        return self.entered(phase, **dict.fromkeys(_CLEARED))

    def _digest(self, of: str) -> str:
        """Return characters that no other try of this, or any, RayJob has."""
        return digest(uid_of(self.thing), of, self.status.get("failed", 0), timestamp(self.seen.now))
