"""People's scripts as Ray jobs: submitted to the head, followed from here."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rayfleet.contracts import JobStatus
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import suspension
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.model import FrozenMap


@dataclass(frozen=True, slots=True)
class EndedJob:
    """How a job ended, in Ray's words."""

    id: str
    status: str
    message: str

    @property
    def ok(self) -> bool:
        """Say whether it succeeded."""
        return self.status == JobStatus.SUCCEEDED.value


async def submit(home: Home, script: Path, arguments: list[str]) -> str:
    """Start `script` as a job on the head, in the folder that we are in, and return the job's id.

    Raises:
        NotRunning: the cluster is down.
        JobsUnavailable: the head's job server does not answer.
    """
    from rayfleet.engines.ray.jobs import RayJobs

    settings = ray_settings(home)
    told = FrozenMap({"submitted_by": "rayfleet"})
    return await RayJobs(settings).submit(_entrypoint(settings.python, script, arguments), {}, told)


async def follow(home: Home, job_id: str, show: Callable[[str], None]) -> EndedJob:
    """Hand the job's output to `show` as it comes; return when the job has ended.

    Raises:
        NotRunning, JobsUnavailable: as `submit`.
    """
    from rayfleet.engines.ray.jobs import RayJobs

    jobs = RayJobs(ray_settings(home))
    async for text in jobs.follow(job_id):
        show(text)
    ended = await jobs.get(job_id)
    return EndedJob(ended.id, ended.status.value, ended.message)


def _entrypoint(python: str, script: Path, arguments: list[str]) -> str:
    program = [python, "-u", str(script.absolute()), *arguments]  # unbuffered: its output is followed
    return f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(program)}"


def ray_settings(home: Home) -> RaySettings:
    """Return where the cluster's Ray is.

    Raises:
        NotRunning: it is down.
    """
    if not home.is_up or not home.settings.exists():
        suspension.refuse(home)
        raise NotRunning(f"cluster {home.name} is down", f"rayfleet up {home.name}")
    return RaySettings.load(home.path)
