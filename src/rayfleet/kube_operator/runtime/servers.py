"""The clusters' own servers, asked and told over HTTP: Ray's job server and Serve's controller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import aiohttp

from rayfleet.kube_operator.rayjob.reconcile import JobFact
from rayfleet.kube_operator.rayservice.serve import ServeFact
from rayfleet.kube_operator.reconciling import Call, Probe

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
_NOT_FOUND: Final = 404
_ERRORS: Final = 400


class ServerError(Exception):
    """A cluster's server did not do what was asked, or did not answer. `code`: HTTP's, 0 for no answer."""

    def __init__(self, message: str, code: int = 0) -> None:
        """Keep what it said."""
        super().__init__(message)
        self.code = code


class Servers(Protocol):
    """The servers of all clusters."""

    async def ask(self, probe: Probe) -> object:
        """Return the answer to a probe; that there is none is an answer too."""
        ...

    async def call(self, call: Call) -> None:
        """Have something done.

        Raises:
            ServerError.
        """
        ...


class HttpServers:
    """The servers where the cluster's names lead to them."""

    async def ask(self, probe: Probe) -> object:
        """Return the answer to a probe."""
        return await _QUESTIONS[probe.call](probe.target, probe.about)

    async def call(self, call: Call) -> None:
        """Have something done."""
        method, path, body = _CALLS[call.call](call.arguments)
        await _request(method, f"{call.target}{path}", body)


async def _job_status(target: str, job_id: str) -> JobFact:
    try:
        answer = await _request("GET", f"{target}/api/jobs/{job_id}")
    except ServerError as error:
        return JobFact() if error.code == _NOT_FOUND else JobFact(error=str(error))
    return JobFact(
        status=str(answer.get("status", "")),
        message=str(answer.get("message") or ""),
        started_at=_seconds(answer.get("start_time")),
        ended_at=_seconds(answer.get("end_time")),
    )


async def _serve_applications(target: str, _about: str) -> ServeFact:
    try:
        answer = await _request("GET", f"{target}/api/serve/applications/")
    except ServerError as error:
        return ServeFact(error=str(error))
    return ServeFact(answer.get("applications") or {})


async def _serve_proxy(target: str, _about: str) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(f"{target}/-/healthz") as answer:
            return answer.status < _ERRORS
    except (aiohttp.ClientError, TimeoutError):
        return False


Request = tuple[str, str, Any]

_QUESTIONS: Final[Mapping[str, Callable[[str, str], Awaitable[object]]]] = {
    "job_status": _job_status,
    "serve_applications": _serve_applications,
    "serve_proxy": _serve_proxy,
}
_CALLS: Final[Mapping[str, Callable[[Mapping[str, object]], Request]]] = {
    "submit_job": lambda arguments: ("POST", "/api/jobs/", dict(arguments)),
    "put_serve_config": lambda arguments: ("PUT", "/api/serve/applications/", dict(arguments)),
    "stop_job": lambda arguments: ("POST", f"/api/jobs/{arguments['job_id']}/stop", None),
}


async def _request(method: str, url: str, body: Any = None) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url, json=body) as answer,
        ):
            if answer.status >= _ERRORS:
                raise ServerError(f"{url} says {answer.status}: {(await answer.text())[:300]}", answer.status)
            return await answer.json() if answer.content_type == "application/json" else {}
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ServerError(f"{url} does not answer: {str(error) or type(error).__name__}") from error


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and milliseconds else None
