"""Jobs through the dashboard's HTTP interface, with the cluster's token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from rayfleet.contracts import Job, JobStatus, JobsUnavailable
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.model import FrozenMap

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0)
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_FOLLOW_PAUSE_S: Final = 0.5


class RayJobs:
    """The jobs of one cluster."""

    def __init__(self, settings: RaySettings) -> None:
        """Take where the cluster is; every call makes its own connection."""
        self._settings = settings

    async def submit(self, entrypoint: str, runtime_env: dict[str, Any], metadata: FrozenMap[str]) -> str:
        """Start `entrypoint` (a shell command) on the head and return the job's id.

        A local `working_dir` or `py_modules` in `runtime_env` is uploaded first.

        Raises:
            JobsUnavailable: no answer, or the job server refuses.
        """
        if _has_local_files(runtime_env):
            return await asyncio.to_thread(self._submit_with_files, entrypoint, runtime_env, dict(metadata))
        body = {"entrypoint": entrypoint, "runtime_env": runtime_env, "metadata": dict(metadata)}
        answer = await self._call("POST", "/api/jobs/", body)
        return str(answer.get("submission_id") or answer["job_id"])

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
        async with self._session(_NO_TIMEOUT) as session:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.ws_connect(url) as socket:
                    async for message in socket:
                        text = str(message.data)
                        if len(text) > skip:
                            yield text[skip:]
                        skip = max(0, skip - len(text))

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            async with (
                self._session(_TIMEOUT) as session,
                session.request(method, f"{self._settings.dashboard_url}{path}", json=body) as answer,
            ):
                if answer.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
                    raise JobsUnavailable(_what_it_says(await answer.text(), answer.status))
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise JobsUnavailable(
                f"the job server at {self._settings.dashboard_url} does not answer: {error}"
            ) from error

    def _session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=self._headers(), timeout=timeout)

    def _headers(self) -> dict[str, str]:
        try:
            token = self._settings.token()
        except OSError as error:
            raise JobsUnavailable(f"the cluster's token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _submit_with_files(self, entrypoint: str, runtime_env: dict[str, Any], metadata: dict[str, str]) -> str:
        """Let Ray's own client pack and upload local folders."""
        from ray.job_submission import JobSubmissionClient

        try:
            client = JobSubmissionClient(self._settings.dashboard_url, headers=self._headers())
            return str(client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata))
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


def _what_it_says(text: str, status: int) -> str:
    """Return the last line of Ray's answer, which is where a traceback says what is wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return f"the job server says: {lines[-1].strip() if lines else f'HTTP status {status}'}"
