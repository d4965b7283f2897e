"""The probes of a container: whether one look succeeds, and what a row of looks says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from rayfleet.testing.kubernetes.pod_container import Container

Json = dict[str, Any]
HTTP_OK = range(200, 400)


@dataclass(slots=True)
class Row:
    """Looks in a row: `good` changes after as many equal ones as the probe asks for."""

    success_threshold: int
    failure_threshold: int
    good: bool = False
    decided: bool = False
    _same: int = 0
    _last: bool | None = None

    def add(self, *, good: bool) -> None:
        """Take in one more look."""
        self._same = self._same + 1 if good == self._last else 1
        self._last = good
        if self._same >= (self.success_threshold if good else self.failure_threshold):
            self.good, self.decided = good, True


@dataclass(slots=True)
class Probes:
    """All probes of one start of a container; readiness and liveness wait for the startup probe.

    `ready`: told each time that readiness changes; `end`: ends the container, after too many failures to live.
    """

    spec: Json
    container: Container
    address: str
    ready: Callable[[bool], None]
    end: Callable[[], Awaitable[None]]
    _up: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def start(self) -> list[asyncio.Task[None]]:
        """Start watching; the tasks end when they are cancelled."""
        return [asyncio.create_task(work) for work in (self._startup(), self._readiness(), self._liveness())]

    async def _startup(self) -> None:
        if "startupProbe" in self.spec:
            async for good in self._changes("startupProbe", start=False):
                if not good:
                    await self.end()
                    return
                break
            if "readinessProbe" not in self.spec:
                self.ready(True)  # noqa: FBT003 - the answer of a probe
        self._up.set()

    async def _readiness(self) -> None:
        await self._up.wait()
        if "readinessProbe" in self.spec:
            async for good in self._changes("readinessProbe", start=False):
                self.ready(good)

    async def _liveness(self) -> None:
        await self._up.wait()
        if "livenessProbe" in self.spec:
            async for good in self._changes("livenessProbe", start=True):
                if not good:
                    await self.end()

    async def _changes(self, kind: str, *, start: bool) -> AsyncIterator[bool]:
        """Look again and again, and yield what holds each time that it is decided anew. `start`: what holds before."""
        probe = self.spec[kind]
        row = Row(probe.get("successThreshold", 1), probe.get("failureThreshold", 3), good=start)
        ports = {port["name"]: port["containerPort"] for port in self.spec.get("ports", ()) if "name" in port}
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        while True:
            before = (row.good, row.decided)
            row.add(good=await succeeds(probe, self.container, self.address, ports))
            if (row.good, row.decided) != before:
                yield row.good
            await asyncio.sleep(probe.get("periodSeconds", 10))


async def succeeds(probe: Json, container: Container, address: str, ports: dict[str, int]) -> bool:
    """Look once; a look that takes too long has failed."""
    limit_s = probe.get("timeoutSeconds", 1)
    try:
        if "exec" in probe:
            # Ended inside of the container, where all of it can be reached.
            return await _runs(container.command(["timeout", "-s", "KILL", str(limit_s), *probe["exec"]["command"]]))
        return await asyncio.wait_for(_look(probe, address, ports), limit_s)
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False


async def _look(probe: Json, address: str, ports: dict[str, int]) -> bool:
    kind = "httpGet" if "httpGet" in probe else "tcpSocket"
    port = probe[kind]["port"]
    host = probe[kind].get("host") or address
    number = ports[port] if isinstance(port, str) else port
    if kind == "httpGet":
        return await _answers(probe[kind], host, number)
    _, writer = await asyncio.open_connection(host, number)
    writer.close()
    return True


async def _answers(get: Json, host: str, port: int) -> bool:
    url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{port}{get.get('path', '/')}"
    headers = {each["name"]: each["value"] for each in get.get("httpHeaders", ())}
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE  # as Kubernetes does: a probe proves nothing about who answers
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=anyone) as answer:
        return answer.status in HTTP_OK


async def _runs(argv: list[str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdin=quiet, stdout=quiet, stderr=quiet)
    return await process.wait() == 0
