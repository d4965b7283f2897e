"""Where Prometheus asks: an HTTP server of /metrics in a thread of its own, so that nobody who asks slows the loop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Final, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

log = structlog.get_logger()

DEFAULT_PORT: Final = 44217
"""Where Ray's own autoscaler offers its figures; existing scrape configurations look there."""
PATIENCE_S: Final = 10.0
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})


class CannotListen(Exception):
    """Nobody can listen there, and why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that answers until it is closed."""

    host: str
    port: int
    _server: WSGIServer
    _thread: Thread

    @property
    def address(self) -> str:
        """Return host:port, as Prometheus writes targets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def close(self) -> None:
        """Stop answering. Waits for the server's thread, not for those who are being answered."""
        ending = asyncio.create_task(asyncio.to_thread(self._server.shutdown))
        with suppress(OSError):  # somebody who comes: else the server looks only twice a second whether it is to end
            _, caller = await asyncio.open_connection(self.host, self.port)
            caller.close()
        await ending
        await asyncio.to_thread(self._thread.join)
        self._server.server_close()


@asynccontextmanager
async def offering(registry: CollectorRegistry, host: str, port: int | None) -> AsyncIterator[Endpoint | None]:
    """Answer until left; where that cannot be, the log says why, and whoever has figures works all the same (None)."""
    try:
        endpoint = serve(registry, host, port)
    except CannotListen as error:
        log.warning("no_metrics", error=str(error))
        yield None
        return
    log.info("metrics_offered", address=endpoint.address)
    try:
        yield endpoint
    finally:
        await endpoint.close()


def serve(registry: CollectorRegistry, host: str, port: int | None, patience_s: float = PATIENCE_S) -> Endpoint:
    """Answer at an address of this machine. `port` None: DEFAULT_PORT when it is free, else any that is.

    `patience_s`: who has not said for so long what it wants is let go of.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    if port is not None:
        return _served(registry, host, port, patience_s)
    try:
        return _served(registry, host, DEFAULT_PORT, patience_s)
    except CannotListen:
        return _served(registry, host, 0, patience_s)


def _served(registry: CollectorRegistry, host: str, port: int, patience_s: float) -> Endpoint:
    try:
        server = _Server(host, port, patience_s)
    except OSError as error:
        why = "somebody else listens there" if error.errno in _TAKEN else str(error.strerror or error)
        raise CannotListen(f"metrics cannot be offered at {host}:{port}: {why}") from error
    server.set_app(make_wsgi_app(registry))
    thread = Thread(target=server.serve_forever, name="rayfleet-metrics", daemon=True)
    thread.start()
    return Endpoint(host, server.server_port, server, thread)


class _Caller(WSGIRequestHandler):
    """Answers one question. Nothing of it is logged, and it does not wait for ever for one to be asked."""

    def setup(self) -> None:
        """Have the connection give up waiting after a while."""
        super().setup()
        self.connection.settimeout(cast("_Server", self.server).patience_s)

    def handle(self) -> None:
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has in Python
        """Say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each question; none of them keeps the process alive."""

    daemon_threads = True

    def __init__(self, host: str, port: int, patience_s: float) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.patience_s = patience_s
        super().__init__((host, port), _Caller)

    def server_bind(self) -> None:
        # Python's own asks a name server what this machine is called, which may take seconds, and nobody wants to know.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()
