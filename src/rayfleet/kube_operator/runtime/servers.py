"""The clusters' own servers, asked and told over HTTP: Ray's job server and Serve's controller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import aiohttp

from rayfleet.kube_operator.rayjob.reconcile import JobFact
from rayfleet.kube_operator.rayservice.serve import ServeFact
from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.kube_operator.runtime.tokens import Tokens, TokenUnreadable
from rayfleet.wire.kube.objects import Key

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({401, 403})
_ERRORS: Final = 400
SUBMIT: Final = "submit_job"
_EXISTS: Final = "already exists"


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
    """The servers where the cluster's names lead to them. Those that ask for a token are shown it."""

    def __init__(self, tokens: Tokens) -> None:
        """Take where tokens are found."""
        self._tokens = tokens

    async def ask(self, probe: Probe) -> object:
        """Return the answer to a probe."""
        return await _QUESTIONS[probe.call](self._request, probe)

    async def call(self, call: Call) -> None:
        """Have something done."""
        method, path, body = _CALLS[call.call](call.arguments)
        try:
            await self._request(method, f"{call.target}{path}", call.secret, body)
        except ServerError as error:
            # The call before this one was carried out, whatever became of its answer.
            if call.call != SUBMIT or _EXISTS not in str(error):
                raise

    async def _request(self, method: str, url: str, secret: Key | None, body: Any = None) -> Any:
        try:
            headers = {} if secret is None else {"Authorization": f"Bearer {await self._tokens.of(secret)}"}
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers) as session,
                session.request(method, url, json=body) as answer,
            ):
                if answer.status in _REFUSED and secret is not None:
                    self._tokens.forget(secret)
                if answer.status >= _ERRORS:
                    raise ServerError(f"{url} says {answer.status}: {(await answer.text())[:300]}", answer.status)
                return await answer.json() if answer.content_type == "application/json" else {}
        except TokenUnreadable as error:
            raise ServerError(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ServerError(f"{url} does not answer: {str(error) or type(error).__name__}") from error


Request = Callable[[str, str, Key | None], Awaitable[Any]]


async def _job_status(request: Request, probe: Probe) -> JobFact:
    try:
        answer = await request("GET", f"{probe.target}/api/jobs/{probe.about}", probe.secret)
    except ServerError as error:
        return JobFact() if error.code == _NOT_FOUND else JobFact(error=str(error))
    return JobFact(
        status=str(answer.get("status", "")),
        message=str(answer.get("message") or ""),
        started_at=_seconds(answer.get("start_time")),
        ended_at=_seconds(answer.get("end_time")),
    )


async def _serve_applications(request: Request, probe: Probe) -> ServeFact:
    try:
        answer = await request("GET", f"{probe.target}/api/serve/applications/", probe.secret)
    except ServerError as error:
        return ServeFact(error=str(error))
    return ServeFact(answer.get("applications") or {}, target_capacity=answer.get("target_capacity"))


async def _serve_proxy(_request: Request, probe: Probe) -> bool:
    """Ask the proxy that users' requests come to: it asks nobody for a token."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(f"{probe.target}/-/healthz") as answer,
        ):
            return answer.status < _ERRORS
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


_QUESTIONS: Final[Mapping[str, Callable[[Request, Probe], Awaitable[object]]]] = {
    "job_status": _job_status,
    "serve_applications": _serve_applications,
    "serve_proxy": _serve_proxy,
}
_CALLS: Final[Mapping[str, Callable[[Mapping[str, object]], tuple[str, str, Any]]]] = {
    SUBMIT: lambda arguments: ("POST", "/api/jobs/", dict(arguments)),
    "put_serve_config": lambda arguments: ("PUT", "/api/serve/applications/", dict(arguments)),
    "stop_job": lambda arguments: ("POST", f"/api/jobs/{arguments['job_id']}/stop", None),
}


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and milliseconds else None
