"""The server: pages behind the gate, on one port, until it is told to end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from nicegui import Client, ui
from nicegui import app as nicegui_app
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.gate import Door, Gate
from rayfleet.dashboard.listening import Listening
from rayfleet.dashboard.pages import (
    actors,
    autoscaler,
    events,
    fleet,
    groups,
    job,
    jobs,
    logs,
    memory,
    metrics,
    node,
    nodes,
    overview,
    tasks,
)
from rayfleet.dashboard.plain_pages import dead_end
from rayfleet.dashboard.site import Site

_BUILD_TIMEOUT_S: Final = 30.0
_FAVICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="#2468c8">'
    '<rect x="1" y="9" width="4" height="6" rx="1"/><rect x="6" y="5" width="4" height="10" rx="1"/>'
    '<rect x="11" y="1" width="4" height="14" rx="1"/></g></svg>'
)


@cache
def _static(name: str) -> str:
    return files("rayfleet.dashboard").joinpath("static", name).read_text(encoding="utf-8")


def style() -> str:
    """Return the style sheet of every page."""
    return _static("page.css")


def build(site: Site, door: Door) -> Gate:
    """Return the whole application. Once per process: the pages' framework keeps its routes in one place."""
    served = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @served.get("/rayfleet/page.css")
    def page_css() -> Response:
        return Response(style(), media_type="text/css", headers={"cache-control": "no-cache"})

    @served.get("/rayfleet/page.js")
    def page_js() -> Response:
        return Response(_static("page.js"), media_type="text/javascript", headers={"cache-control": "no-cache"})

    _pages(site)
    nicegui_app.add_exception_handler(HTTPStatus.NOT_FOUND, _not_there)
    nicegui_app.add_exception_handler(Exception, _went_wrong)
    ui.run_with(
        served,
        title="rayfleet",
        favicon=_FAVICON,
        dark=None,
        reconnect_timeout=10.0,
        tailwind=False,
        show_welcome_message=False,
    )
    # What is loaded by now stays: reading a report makes thousands of values, which would have all of it walked again.
    gc.collect()
    gc.freeze()
    return Gate(served, door)


def _pages(site: Site) -> None:
    """Register every page. What a path holds is looked up among the clusters, and is nothing else."""

    async def all_clusters(request: Request) -> None:
        await fleet.page(site, request)

    ui.page("/", response_timeout=_BUILD_TIMEOUT_S)(all_clusters)
    made: dict[str, Callable[[Site, Request, Entry], Awaitable[None]]] = {
        "": overview.page,
        "/autoscaler": autoscaler.page,
        "/nodes": nodes.page,
        "/events": events.page,
        "/jobs": jobs.page,
        "/actors": actors.page,
        "/tasks": tasks.page,
        "/groups": groups.page,
        "/memory": memory.page,
        "/metrics": metrics.page,
        "/logs": logs.page,
    }
    for path, page in made.items():
        ui.page(f"/c/{{name}}{path}", response_timeout=_BUILD_TIMEOUT_S)(_of_cluster(site, page))

    for path, one in {"nodes": node.page, "jobs": job.page}.items():
        ui.page(f"/c/{{name}}/{path}/{{item}}", response_timeout=_BUILD_TIMEOUT_S)(_of_one(site, one))


def _of_cluster(
    site: Site, page: Callable[[Site, Request, Entry], Awaitable[None]]
) -> Callable[[Request, str], Awaitable[Any]]:
    async def shown(request: Request, name: str) -> Any:
        entry = await site.entry(name)
        if entry is None:
            return _unknown(name)
        await page(site, request, entry)
        return None

    return shown


def _of_one(
    site: Site, page: Callable[[Site, Request, Entry, str], Awaitable[None]]
) -> Callable[[Request, str, str], Awaitable[Any]]:
    async def shown(request: Request, name: str, item: str) -> Any:
        entry = await site.entry(name)
        if entry is None:
            return _unknown(name)
        await page(site, request, entry, item)
        return None

    return shown


def _unknown(name: str) -> Response:
    text = f"No cluster is called {name} here. It may have been removed; rayfleet list names those that there are."
    return _dead_end("Unknown cluster", text, HTTPStatus.NOT_FOUND)


def _dead_end(title: str, text: str, status: HTTPStatus) -> Response:
    return HTMLResponse(dead_end(title, text, style()), status)


async def _went_wrong(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the framework's signature
    text = f"This page cannot be shown: {type(error).__name__}: {error}"
    return _dead_end("Something went wrong", text, HTTPStatus.INTERNAL_SERVER_ERROR)


async def _not_there(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the framework's signature
    return _dead_end("Not there", "There is no such page.", HTTPStatus.NOT_FOUND)


async def serve(
    gate: Gate, listening: Listening, started: Callable[[], None], over: Coroutine[Any, Any, None] | None = None
) -> None:
    """Answer until SIGINT or SIGTERM, or until `over` ends. `started` is called once the pages can be asked for."""
    # Who asks is told by the connection, never by what a request says about itself.
    config = uvicorn.Config(
        gate,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    nicegui_app.on_startup(started)
    waiting = asyncio.create_task(_ended_by(server, over)) if over is not None else None
    try:
        await server.serve(sockets=[listening.socket])
    finally:
        if waiting is not None:
            waiting.cancel()


async def _ended_by(server: uvicorn.Server, over: Coroutine[Any, Any, None]) -> None:
    try:
        await over
    finally:  # whatever it ends by: a server that nobody would end is worse than none
        server.should_exit = True


def open_pages() -> int:
    """Return how many pages somebody has open now."""
    return sum(client.has_socket_connection for client in Client.instances.values())
