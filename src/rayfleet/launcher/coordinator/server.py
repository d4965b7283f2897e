"""A desk over HTTP: JSON in, the whole pool out.

GET  /v1/hosts                                 the pool, and who has what
POST /v1/take, /v1/give-back, /v1/adopt        clusters' calls
POST /v1/free      {"address": HOST}           people's
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from rayfleet.launcher.errors import LauncherError
from rayfleet.wire.coordinator.client import Coordinator, CoordinatorRefuses
from rayfleet.wire.coordinator.terms import PORT, PoolHost, adopt_of, return_of, take_of


@dataclass(frozen=True, slots=True)
class Address:
    """Where a coordinator listens. `port` 0: any free one."""

    host: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST, HOST:PORT or [IPV6]:PORT.

        Raises:
            LauncherError: it is none of these.
        """
        host, colon, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, ":", str(PORT))
        if not (colon and host and port.isdecimal() and int(port) <= 65535):  # noqa: PLR2004 - the largest port
            raise LauncherError(f"{text!r} is no address", "write HOST:PORT; 0.0.0.0 is every address of this machine")
        return cls(host.strip("[]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine's own users reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@asynccontextmanager
async def serving(desk: Coordinator, address: Address, token: str) -> AsyncIterator[int]:
    """Answer at an address until left; gives the port. `token`: what everybody has to show; "": nothing.

    Raises:
        LauncherError: nobody can listen there.
    """
    app = web.Application(middlewares=[_only_with(token)])
    app.add_routes(_routes(desk))
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise LauncherError(
                f"cannot listen at {address.host}:{address.port}: {error.strerror}", "--listen HOST:PORT names another"
            ) from error
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


def _routes(desk: Coordinator) -> list[web.RouteDef]:
    def post(path: str, call: Callable[[Mapping[str, Any]], Awaitable[tuple[PoolHost, ...]]]) -> web.RouteDef:
        async def answer(request: web.Request) -> web.Response:
            try:
                body = await request.json()
                if not isinstance(body, dict):
                    raise ValueError("a JSON object is wanted")  # noqa: TRY301, TRY004 - told like all that is wrong with it
                return _pool(await call(body))
            except (ValueError, KeyError, CoordinatorRefuses) as error:
                return web.json_response({"error": str(error)}, status=400)

        return web.post(f"/v1/{path}", answer)

    async def hosts(_request: web.Request) -> web.Response:
        return _pool(await desk.hosts())

    return [
        web.get("/v1/hosts", hosts),
        post("take", lambda body: desk.take(take_of(body))),
        post("give-back", lambda body: desk.give_back(return_of(body))),
        post("adopt", lambda body: desk.adopt(adopt_of(body))),
        post("free", lambda body: desk.free(str(body["address"]))),
    ]


def _pool(hosts: tuple[PoolHost, ...]) -> web.Response:
    return web.json_response({"now": time.time(), "hosts": [host.as_json() for host in hosts]})


def _only_with(token: str) -> Middleware:
    """Return a guard that lets nobody pass without the token."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(shown.encode(), token.encode()):
            error = "the token is missing or wrong: RAYFLEET_COORDINATOR_TOKEN, or provider.coordinator_token_file"
            return web.json_response({"error": error}, status=401)
        return await handler(request)

    return guard
