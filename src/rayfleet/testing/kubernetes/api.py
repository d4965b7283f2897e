"""The little of a Kubernetes client that kubelets need: one request, and a watch that does not end.

Plain aiohttp: what a test kit plays with should not depend on the client library that is under test.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

from rayfleet.testing.kubernetes.access import Access

Json = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

MERGE = "application/merge-patch+json"
LINE_BYTES = 4 * 1024 * 1024  # one event is one line, and an object may have 1.5 MB
RETRY_S = 0.5
TIMEOUT_S = 30.0
CLOSING_S = 0.05  # TLS connections are closed by callbacks that run after `close`
OUTAGES = (aiohttp.ClientError, TimeoutError, OSError)
SERVER_ERROR = 500


class ApiError(Exception):
    """The API server refused: `status` is HTTP's, `reason` Kubernetes' word for it (NotFound, AlreadyExists, ...)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an object of a watch; an object that vanished during an outage is DELETED as last seen."""

    type: EventType
    object: Json


class Api:
    """A connection to one API server as one user; use it as an asynchronous context."""

    def __init__(self, access: Access, *, connections: int = 32) -> None:
        self.access = access
        self.connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self.access.url,
            headers={"Authorization": f"Bearer {self.access.token}", "Accept": "application/json"},
            connector=aiohttp.TCPConnector(ssl=self.access.tls(), limit=self.connections),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            read_bufsize=LINE_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        await asyncio.sleep(CLOSING_S)
        self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the connection is not open: use `async with`")
        return self._session

    async def request(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, as_type: str = ""
    ) -> Json:
        """Send one request and return the object. ApiError: refused. One of OUTAGES: not answered."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": as_type or "application/json"}
        async with self.session.request(method, path, data=data, params=params, headers=headers) as answer:
            text = await answer.read()
            if not answer.ok:
                raise _refusal(answer.status, text)
            found: Json = json.loads(text)
            return found

    async def insist(self, method: str, path: str, body: Any = None, *, as_type: str = "") -> Json:
        """Send it again until the API server answers. ApiError: refused."""
        while True:
            try:
                return await self.request(method, path, body, as_type=as_type)
            except ApiError as refusal:
                if refusal.status < SERVER_ERROR:
                    raise
            except OUTAGES:
                pass
            await asyncio.sleep(RETRY_S)

    async def watch(self, path: str, params: Mapping[str, str] | None = None) -> AsyncIterator[Event]:
        """Yield what is there as ADDED, then every change, for ever: an outage shows only as a pause."""
        known: dict[str, Json] = {}
        while True:
            try:
                listed = await self.request("GET", path, params=params)
                for event in _differences(known, listed["items"]):
                    yield event
                async for event in self._stream(path, params or {}, listed["metadata"]["resourceVersion"]):
                    _remember(known, event)
                    yield event
            except (ApiError, *OUTAGES):
                await asyncio.sleep(RETRY_S)

    async def _stream(self, path: str, params: Mapping[str, str], since: str) -> AsyncIterator[Event]:
        """Yield the changes since then; ends when the server ends it, or no longer knows that version."""
        query = {**params, "watch": "true", "resourceVersion": since}
        async with self.session.get(path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            if not answer.ok:
                raise _refusal(answer.status, await answer.read())
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                    return
                yield Event(event["type"], event["object"])


def _refusal(status: int, text: bytes) -> ApiError:
    try:
        told = json.loads(text)
    except ValueError:
        return ApiError(status, "Unknown", text.decode(errors="replace")[:200])
    return ApiError(status, told.get("reason", "Unknown"), told.get("message", ""))


def _uid(found: Json) -> str:
    return str(found["metadata"]["uid"])


def _remember(known: dict[str, Json], event: Event) -> None:
    if event.type == "DELETED":
        known.pop(_uid(event.object), None)
    else:
        known[_uid(event.object)] = event.object


def _differences(known: dict[str, Json], listed: list[Json]) -> list[Event]:
    """Bring what is known up to the list, and say what that changed."""
    present = {_uid(found): found for found in listed}
    gone = [Event("DELETED", found) for uid, found in known.items() if uid not in present]
    new = [Event("MODIFIED" if uid in known else "ADDED", found) for uid, found in present.items()]
    known.clear()
    known.update(present)
    return gone + new
