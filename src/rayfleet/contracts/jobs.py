"""Jobs on the cluster: programs that the head runs as drivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from rayfleet.model import FrozenMap


class JobsUnavailable(Exception):
    """The job server does not answer."""


class JobStatus(StrEnum):
    """Ray's words for a job's state."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        """Say whether the job will not change any more."""
        return self not in (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `message` explains a failure."""

    id: str
    status: JobStatus
    entrypoint: str
    message: str = ""


class Jobs(Protocol):
    """Submit, follow and stop jobs."""

    async def submit(self, entrypoint: str, runtime_env: dict[str, Any], metadata: FrozenMap[str]) -> str:
        """Start `entrypoint` (a shell command) on the head and return the job's id.

        Raises:
            JobsUnavailable.
        """
        ...

    async def get(self, job_id: str) -> Job:
        """Return the job's state.

        Raises:
            JobsUnavailable: no answer, or no such job.
        """
        ...

    def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield the job's output as it comes, until the job ends."""
        ...

    async def stop(self, job_id: str) -> None:
        """Ask the job to stop.

        Raises:
            JobsUnavailable.
        """
        ...

    async def list(self) -> tuple[Job, ...]:
        """Return all jobs, newest first.

        Raises:
            JobsUnavailable.
        """
        ...
