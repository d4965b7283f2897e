"""Where the operator is asked how it is: by Prometheus, and by its kubelet.

/metrics   everything of `Tally`, and the figures of the clusters that the operator scales, as Prometheus reads it
/healthz   200 while the event loop turns
/readyz    200 when this operator works, or waits for its turn; 503 while it still reads what exists
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `host` None: on all of the machine's addresses. `port` 0: any free one."""

    host: str | None
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[IPV6]:PORT` or `:PORT`.

        Raises:
            ValueError: it is none of these.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
            raise ValueError(f"{text!r} is no address: write HOST:PORT, or :PORT for all addresses of this machine")
        return cls(host.strip("[]") or None, int(port))


Figures = Callable[[], Iterable[Metric]]


class _Read(Collector):
    """What was read already, and what is still to be."""

    def __init__(self, found: list[Metric], further: Figures) -> None:
        self._found = found
        self._further = further

    def collect(self) -> Iterable[Metric]:
        return chain(self._found, self._further())


class CannotListen(Exception):
    """Nobody can listen at an address, and why."""


@asynccontextmanager
async def answering(
    address: Address, registry: CollectorRegistry, ready: Callable[[], bool], clusters: Figures = tuple
) -> AsyncIterator[int]:
    """Answer at an address until left; gives the port. `clusters`: more figures, asked for in another thread.

    Raises:
        CannotListen.
    """

    async def metrics(request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        # The operator's stores belong to this thread; a thousand clusters would hold it up.
        both = _Read(list(registry.collect()), clusters)
        return web.Response(body=await asyncio.to_thread(encode, both), headers={"Content-Type": kind})

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(status=503, text="reading what exists\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise CannotListen(f"cannot listen at {address.host or ''}:{address.port}: {error.strerror}") from error
        port: int = runner.addresses[0][1]
        log.info("listening", port=port)
        yield port
    finally:
        await runner.cleanup()
