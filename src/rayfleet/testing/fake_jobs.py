"""A pretend job server: jobs that a test can see, beside the state that shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from rayfleet.contracts import Job, JobStatus, JobsUnavailable
from rayfleet.contracts.state import JobState
from rayfleet.model import FrozenMap
from rayfleet.testing.fake_state import FakeState


@dataclass
class FakeJobs:
    """The Jobs contract over the jobs of a FakeState. `down`: why nothing is taken, "" when it is.

    `environments`: the runtime environments of jobs that were submitted here, by their ids.
    """

    state: FakeState = field(default_factory=FakeState)
    down: str = ""
    now_ms: int = 0
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def submit(self, entrypoint: str, runtime_env: dict[str, Any], metadata: FrozenMap[str]) -> str:
        """Add a job that runs."""
        self._asked()
        name = f"raysubmit_{len(self.state.job_rows) + 1:016d}"
        self.state.job_rows.append(
            JobState("", name, "SUBMISSION", JobStatus.RUNNING.value, entrypoint, start_time_ms=self.now_ms)
        )
        self.environments[name] = runtime_env
        self.state.printed[name] = [f"this is what {entrypoint} prints"]
        return name

    async def get(self, job_id: str) -> Job:
        """Show one."""
        self._asked()
        row = self.state.job_rows[self._place(job_id)]
        return Job(job_id, JobStatus(row.status), row.entrypoint, row.message)

    async def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield what it has printed."""
        self._asked()
        for line in self.state.printed.get(job_id, ()):
            yield f"{line}\n"

    async def stop(self, job_id: str) -> None:
        """Stop it at once."""
        self._asked()
        place = self._place(job_id)
        stopped = replace(
            self.state.job_rows[place], status=JobStatus.STOPPED.value, end_time_ms=self.now_ms, message="stopped"
        )
        self.state.job_rows[place] = stopped

    async def list(self) -> tuple[Job, ...]:
        """Show all that were submitted, the newest first."""
        self._asked()
        submitted = [row.submission_id for row in self.state.job_rows if row.submission_id]
        return tuple([await self.get(name) for name in reversed(submitted)])

    def _asked(self) -> None:
        if self.down:
            raise JobsUnavailable(self.down)

    def _place(self, job_id: str) -> int:
        for place, row in enumerate(self.state.job_rows):
            if row.submission_id == job_id:
                return place
        raise JobsUnavailable(f"there is no job {job_id}")
