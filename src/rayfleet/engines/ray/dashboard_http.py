"""Questions to the HTTP server of a head's dashboard, with the cluster's token; bounded in time and size."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import aiohttp

from rayfleet.engines.ray.settings import RaySettings

TIMEOUT_S: Final = 30.0
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S)
MAX_ANSWER_BYTES: Final = 256 * 2**20
MAX_ERROR_BYTES: Final = 2**20
"""Of an answer that is an error no more is read: what is wrong does not take more words."""
_CHUNK_BYTES: Final = 2**16
_FIRST_ERROR: Final = 400
_SHOWN: Final = 2000
_DETAILS: Final = re.compile(r'^\s*details = "(.*)"$', re.MULTILINE)
"""What is worth telling of an error between two of Ray's own processes."""

Pairs = Sequence[tuple[str, str]]


class DashboardError(Exception):
    """It did not answer as asked. `status`: of HTTP; 0 when there was no answer, or no whole one."""

    def __init__(self, message: str, status: int = 0) -> None:
        """Keep both."""
        super().__init__(message)
        self.status = status


class DashboardHttp:
    """One head's dashboard. Every call makes its own connection, so nothing is to be closed."""

    def __init__(self, settings: RaySettings, name: str = "dashboard", timeout_s: float = TIMEOUT_S) -> None:
        """Take where it is, what it is called in errors, and the seconds that an answer may take as a whole."""
        self._settings = settings
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def call(self, method: str, path: str, query: Pairs = (), body: Any = None) -> Any:
        """Return the answer's JSON. Raises DashboardError."""
        async with self.answer(method, path, query, body) as answer:
            text = await self.whole(answer)
        try:
            return json.loads(text)
        except ValueError as error:
            raise DashboardError(f"the {self._name} at {self.url} answers what is no JSON: {error}") from error

    def answer(
        self, method: str, path: str, query: Pairs = (), body: Any = None, timeout: aiohttp.ClientTimeout | None = None
    ) -> Exchange:
        """Return a question that gives its answer, still to be read, to `async with`. `timeout` None: of all calls."""
        return Exchange(self, (method, path, query, body), timeout or self._timeout)

    async def whole(self, answer: aiohttp.ClientResponse) -> bytes:
        """Return all of an answer. Raises DashboardError when there is too much of it."""
        found = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            found += chunk
            if len(found) > MAX_ANSWER_BYTES:
                raise DashboardError(f"the {self._name} at {self.url} answers with more than {MAX_ANSWER_BYTES} bytes")
        return bytes(found)

    @property
    def url(self) -> str:
        """Return where it is."""
        return self._settings.dashboard_url

    def session(self, timeout: aiohttp.ClientTimeout = NO_TIMEOUT) -> aiohttp.ClientSession:
        """Return a fresh session whose requests show the token. Raises DashboardError."""
        return aiohttp.ClientSession(headers=self.headers(), timeout=timeout)

    def trouble(self, error: Exception, timeout: aiohttp.ClientTimeout) -> DashboardError:
        """Return what is to be said of a connection that failed."""
        why = str(error) or f"nothing within {timeout.total} s"
        return DashboardError(f"the {self._name} at {self.url} does not answer: {why}")

    def refusal(self, text: str, status: int) -> DashboardError:
        """Return what is to be said of an answer that is an error."""
        return DashboardError(f"the {self._name} says: {what_it_says(text, status)[:_SHOWN]}", status)

    def headers(self) -> dict[str, str]:
        """Return what each request shows: the token as it is now. Raises DashboardError."""
        try:
            token = self._settings.token()
        except OSError as error:
            raise DashboardError(f"the cluster's token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}


class Exchange:
    """One question with its answer. No generator, so that one that reads from it may be left at any line."""

    def __init__(self, http: DashboardHttp, asked: tuple[str, str, Pairs, Any], timeout: aiohttp.ClientTimeout) -> None:
        """Take what is asked: method, path, query, body."""
        self._http, self._asked, self._timeout = http, asked, timeout
        self._session: aiohttp.ClientSession | None = None
        self._answer: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        """Ask. Raises DashboardError."""
        method, path, query, body = self._asked
        self._session = self._http.session(self._timeout)
        try:
            url = f"{self._http.url}{path}"
            self._answer = await self._session.request(method, url, params=list(query), json=body)
            return await self._checked(self._answer)
        except (aiohttp.ClientError, TimeoutError) as failure:
            await self._close()
            raise self._http.trouble(failure, self._timeout) from failure
        except BaseException:
            await self._close()
            raise

    async def _checked(self, answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if answer.status >= _FIRST_ERROR:
            raise self._http.refusal(await _beginning(answer), answer.status)
        return answer

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Let go of the connection. Raises DashboardError when it failed while the answer was read."""
        await self._close()
        if isinstance(error, (aiohttp.ClientError, TimeoutError)):
            raise self._http.trouble(error, self._timeout) from error

    async def _close(self) -> None:
        if self._answer is not None:
            self._answer.close()  # what has not been read is not waited for
        if self._session is not None:
            await self._session.close()


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    found = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        found += chunk
        if len(found) >= MAX_ERROR_BYTES:
            break
    return found.decode(errors="replace")


def what_it_says(text: str, status: int) -> str:
    """Return what Ray means by an error: its message, or the last line, where a traceback says what is wrong."""
    try:
        message = json.loads(text)["msg"]
    except (ValueError, KeyError, TypeError):
        message = text
    of_grpc = _DETAILS.search(str(message))
    if of_grpc:
        return of_grpc[1]
    lines = [line for line in str(message).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"HTTP status {status}"
