"""`dashboard`: the page in a browser; with --ray, Ray's own of a cluster elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rayfleet.cli.arguments import Name, RayVerb, add
from rayfleet.cli.reach import DASHBOARD_PORT, Where, elsewhere
from rayfleet.cli.terminal import EXIT_NOT_OK, fail

if TYPE_CHECKING:
    from rayfleet.dashboard.clusters import Entry
    from rayfleet.dashboard.gate import Door

INSTALL = 'pip install "rayfleet[dashboard]"'
TOKEN_FILE = "dashboard-token"  # noqa: S105 - a name
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    add(app, dashboard, cls=RayVerb)


def dashboard(
    cluster: Where = None,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", help="The port here. Default: 8300 or the next free one; with --ray 8265."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen at. Not loopback: asks for a token.")] = (
        "127.0.0.1"
    ),
    open_: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser. Default: when there is a display.")
    ] = None,
    login: Annotated[bool, typer.Option("--login", help="Ask for the token on loopback, too.")] = False,
    allow_name: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-name", metavar="NAME", help="Another name that this host is reached by.", show_default=False
        ),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Ray's own dashboard of a cluster elsewhere.")] = False,
    remote_port: Annotated[
        int, typer.Option("--remote-port", help="With --ray: the port on the head.")
    ] = DASHBOARD_PORT,
    name: Name = None,
) -> None:
    """Show every cluster in a browser until Ctrl-C; with --ray, forward Ray's own dashboard.

    It listens on this machine alone unless told otherwise, and lets you in; other users of the machine, and everybody
    where it listens elsewhere, log in with a token, which is in a file that only you may read; the command says where.
    It is not encrypted: over networks that you do not trust use ssh -L.

    Examples:
      rayfleet dashboard                       all clusters of mine
      rayfleet dashboard demo --no-open        prints the address of this cluster's page
      rayfleet dashboard --host 0.0.0.0        for others who have the token
      rayfleet dashboard aws.yaml --ray        Ray's dashboard of a cluster elsewhere, at port 8265 here
    """
    if ray:
        _forward_ray(cluster, name, DASHBOARD_PORT if port is None else port, remote_port)
        return
    serving = _serve(name or cluster, (host, port), login=login, names=allow_name or [], open_=open_)
    try:
        asyncio.run(serving)
    except KeyboardInterrupt:
        return  # the way to say: enough


def _forward_ray(cluster: str | None, name: str | None, port: int, remote_port: int) -> None:
    home = elsewhere(name or cluster)
    from rayfleet.launcher.remote import verbs

    print(f"Ray's dashboard is at http://localhost:{port} until Ctrl-C", flush=True)
    raise typer.Exit(verbs.run(home, verbs.forward(home, port, remote_port)))


async def _serve(
    cluster: str | None, at: tuple[str, int | None], *, login: bool, names: list[str], open_: bool | None
) -> None:
    """Answer until Ctrl-C."""
    from rayfleet.cli.page_clusters import MyClusters
    from rayfleet.launcher.home import root

    # The pages' framework would make a folder of its own wherever the command is started.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(root().parent / "dashboard"))
    try:
        from rayfleet.dashboard import server
        from rayfleet.dashboard.readings.shared import Readings
        from rayfleet.dashboard.site import Site
    except ImportError as error:
        fail(f"the dashboard needs NiceGUI, which is not installed ({error})", INSTALL)
    clusters = MyClusters()
    path = _path_of(cluster, clusters.known())
    try:
        listening = server.listen(*at)
    except server.PortTaken as error:
        fail(str(error), "choose another one with --port", EXIT_NOT_OK)
    asks = login or at[0] not in _LOOPBACK
    door = _door(server.style(), names, asks=asks)
    site = Site(clusters, Readings(), logs_in=asks)
    url = listening.url.rstrip("/") + path
    await server.serve(
        server.build(site, door), listening, lambda: _tell(url, door.token_file if asks else "", open_=open_)
    )


def _path_of(cluster: str | None, known: tuple[Entry, ...]) -> str:
    if cluster is None:
        return "/"
    from rayfleet.dashboard.pages.frame import cluster_path
    from rayfleet.launcher.known import choose

    found = choose(cluster).name
    return cluster_path(found) if found in {entry.name for entry in known} else "/"


def _door(style: str, names: list[str], *, asks: bool) -> Door:
    """Return how people come in: with the token of this user; unless `asks`, this user without it."""
    from rayfleet.dashboard.gate import Door
    from rayfleet.dashboard.login import Login, Tries, token_of
    from rayfleet.dashboard.peers import ours
    from rayfleet.launcher.home import root

    file = root().parent / TOKEN_FILE
    allowed = frozenset({*(name.lower() for name in names), socket.gethostname().lower()})
    door = Door(Login(token_of(file), time.time), Tries(time.monotonic), allowed, str(file), style)
    return door if asks else replace(door, knows=ours())


def _tell(url: str, token_file: str, *, open_: bool | None) -> None:
    print(f"The dashboard is at {url} until Ctrl-C", flush=True)
    if token_file:
        print(f"It asks for the token in {token_file}", flush=True)
    display = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if open_ or (open_ is None and display and sys.stdout.isatty()):
        import webbrowser

        webbrowser.open(url)
