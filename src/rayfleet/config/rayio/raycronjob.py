"""RayCronJob: a RayJob on a schedule."""

from __future__ import annotations

from enum import StrEnum

from rayfleet.config.rayio.base import Spec
from rayfleet.config.rayio.rayjob import RayJobSpec


class ConcurrencyPolicy(StrEnum):
    """What happens when a run is due while another goes on. Ours: KubeRay's resource has no such field."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class MissedRuns(StrEnum):
    """What becomes of runs that were due while nobody could start them. Ours too."""

    RUN_LAST = "RunLast"
    SKIP = "Skip"


class RayCronJobSpec(Spec):
    """A job, and when it runs.

    `missed_runs`, `concurrency_policy`, the history limits and `starting_deadline_seconds` are ours, and optional.
    """

    job_template: RayJobSpec
    schedule: str
    time_zone: str | None = None
    suspend: bool = False
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    missed_runs: MissedRuns = MissedRuns.RUN_LAST
    starting_deadline_seconds: int | None = None
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None
