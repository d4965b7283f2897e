"""Jobs through the dashboard's HTTP interface, with the cluster's token."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from rayfleet.contracts import Job, JobStatus, JobsUnavailable
from rayfleet.engines.ray.dashboard_http import DashboardError, DashboardHttp
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.model import FrozenMap

_FOLLOW_PAUSE_S: Final = 0.5
_TRIES: Final = 10
_NO_AGENT_YET: Final = "No available agent"
_THERE_ALREADY: Final = "already exists"


class RayJobs:
    """The jobs of one cluster."""

    def __init__(self, settings: RaySettings, *, pause_s: float = 1.0) -> None:
        """Take where the cluster is; every call makes its own connection. `pause_s`: before a job is sent again."""
        self._settings = settings
        self._http = DashboardHttp(settings, "job server")
        self._pause_s = pause_s

    async def submit(self, entrypoint: str, runtime_env: dict[str, Any], metadata: FrozenMap[str]) -> str:
        """Start `entrypoint` (a shell command) on the head and return the job's id.

        A local `working_dir` or `py_modules` in `runtime_env` is uploaded first. The job server of a head that has just
        started answers before what starts jobs is there, in ten seconds each time: it is asked again, for two minutes.

        Raises:
            JobsUnavailable: no answer, or the job server refuses.
        """
        job_id = f"raysubmit_{secrets.token_hex(8)}"
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._submit(job_id, entrypoint, runtime_env, metadata)
                break
            except JobsUnavailable as error:
                if _THERE_ALREADY in str(error):  # the answer to the try before was lost, not the job
                    break
                if _NO_AGENT_YET not in str(error) or not tries_left:
                    raise
            await asyncio.sleep(self._pause_s)
        return job_id

    async def get(self, job_id: str) -> Job:
        """Return the job's state.

        Raises:
            JobsUnavailable: no answer, or no such job.
        """
        return _job(await self._call("GET", f"/api/jobs/{job_id}"))

    async def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield the job's output as it comes, until the job ends. A broken connection is made anew.

        Raises:
            JobsUnavailable: no answer, or no such job.
        """
        shown = 0
        while True:
            ended = (await self.get(job_id)).status.ended
            async for text in self._tail(job_id, skip=shown):
                shown += len(text)
                yield text
            if ended:
                return
            await asyncio.sleep(0 if (await self.get(job_id)).status.ended else _FOLLOW_PAUSE_S)

    async def stop(self, job_id: str) -> None:
        """Ask the job to stop.

        Raises:
            JobsUnavailable.
        """
        await self._call("POST", f"/api/jobs/{job_id}/stop")

    async def list(self) -> tuple[Job, ...]:
        """Return all submitted jobs, newest first.

        Raises:
            JobsUnavailable.
        """
        found = [entry for entry in await self._call("GET", "/api/jobs/") if entry.get("submission_id")]
        return tuple(_job(entry) for entry in sorted(found, key=lambda e: -(e.get("start_time") or 0)))

    # ---- the wire ------------------------------------------------------------------------------------------------

    async def _tail(self, job_id: str, skip: int) -> AsyncIterator[str]:
        """Yield what the job prints after its first `skip` characters, until the connection ends."""
        url = f"{self._settings.dashboard_url}/api/jobs/{job_id}/logs/tail"
        with _told():
            session = self._http.session()
        async with session:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.ws_connect(url) as socket:
                    async for message in socket:
                        text = str(message.data)
                        if len(text) > skip:
                            yield text[skip:]
                        skip = max(0, skip - len(text))

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        with _told():
            return await self._http.call(method, path, body=body)

    async def _submit(self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], told: FrozenMap[str]) -> None:
        body = {"entrypoint": entrypoint, "runtime_env": runtime_env, "metadata": dict(told), "submission_id": job_id}
        if _has_local_files(runtime_env):
            await asyncio.to_thread(self._submit_with_files, body)
        else:
            await self._call("POST", "/api/jobs/", body)

    def _submit_with_files(self, body: dict[str, Any]) -> None:
        """Let Ray's own client pack and upload local folders."""
        from ray.job_submission import JobSubmissionClient

        try:
            with _told():
                headers = self._http.headers()
            JobSubmissionClient(self._settings.dashboard_url, headers=headers).submit_job(**body)
        except (RuntimeError, ConnectionError, ValueError, OSError) as error:
            raise JobsUnavailable(str(error)) from error


def _has_local_files(runtime_env: dict[str, Any]) -> bool:
    places = [runtime_env.get("working_dir"), *runtime_env.get("py_modules", ())]
    return any(not isinstance(place, str) or Path(place).exists() for place in places if place)


def _job(entry: dict[str, Any]) -> Job:
    return Job(
        id=str(entry.get("submission_id") or entry.get("job_id")),
        status=JobStatus(entry["status"]),
        entrypoint=str(entry.get("entrypoint") or ""),
        message=str(entry.get("message") or ""),
    )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in the words of the contract what goes wrong inside."""
    try:
        yield
    except DashboardError as error:
        raise JobsUnavailable(str(error)) from error
