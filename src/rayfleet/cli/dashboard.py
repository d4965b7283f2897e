"""`dashboard`: the page in a browser, of a cluster elsewhere by its head; with --ray, Ray's own of such a cluster."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import quote

import typer

from rayfleet.cli.arguments import Name, RayVerb, add
from rayfleet.cli.elsewhere import remote_home
from rayfleet.cli.page import INSTALL
from rayfleet.cli.reach import DASHBOARD_PORT, Where, elsewhere
from rayfleet.cli.terminal import EXIT_NOT_OK, fail

if TYPE_CHECKING:
    from rayfleet.dashboard.gate import Door, Gate
    from rayfleet.launcher.home import Home

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
    stop: Annotated[bool, typer.Option("--stop", help="End the one that up has started.")] = False,
    name: Name = None,
) -> None:
    """Show every cluster in a browser; with --ray, forward Ray's own dashboard.

    The one that `up` has started in the background is told, and opened; where there is none, or where an option says
    how to serve it, it is served from this terminal until Ctrl-C. Of a cluster elsewhere its head serves it, and
    OpenSSH forwards it here.

    It listens on this machine alone unless told otherwise, and lets you in; other users of the machine, and everybody
    where it listens elsewhere, log in with a token, which is in a file that only you may read; the command says where.
    It is not encrypted: over networks that you do not trust use ssh -L.

    Examples:
      rayfleet dashboard                       all clusters of mine
      rayfleet dashboard demo --no-open        prints the address of this cluster's page
      rayfleet dashboard aws.yaml              a cluster elsewhere, by its head
      rayfleet dashboard --host 0.0.0.0        for others who have the token
      rayfleet dashboard --stop                ends the one in the background
      rayfleet dashboard aws.yaml --ray        Ray's dashboard of a cluster elsewhere, at port 8265 here
    """
    if ray:
        _forward_ray(cluster, name, DASHBOARD_PORT if port is None else port, remote_port)
        return
    if stop:
        _stop()
        return
    far = remote_home(name or cluster) if name or cluster else None
    if far is not None:
        if host not in _LOOPBACK or login or allow_name:
            fail("--host, --login and --allow-name are for the dashboard of this machine's clusters")
        _show_far(far, port, open_=open_)
    if port is None and host in _LOOPBACK and not login and not allow_name and _is_there(name or cluster, open_=open_):
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


def _show_far(home: Home, port: int | None, *, open_: bool | None) -> NoReturn:
    """Show the page that the head of a cluster elsewhere serves, until Ctrl-C."""
    from rayfleet.dashboard.listening import PortTaken, listen
    from rayfleet.launcher.remote import page

    try:
        with (free := listen("127.0.0.1", port)).socket:
            here = free.port
    except PortTaken as error:
        fail(str(error), "choose another one with --port", EXIT_NOT_OK)
    url = f"http://localhost:{here}/c/{quote(home.name, safe='')}"

    def tell(token: str) -> None:
        _tell(url, "", open_=open_)
        print(f"It asks for this token, once a week: {token}", flush=True)

    raise typer.Exit(page.show(home, here, tell))


def _stop() -> None:
    from rayfleet.launcher import page

    found = page.there()
    ended = found is not None and found.end()
    print(f"the dashboard at {found.url} ends" if found and ended else "no dashboard is served in the background")


def _is_there(cluster: str | None, *, open_: bool | None) -> bool:
    """Say whether the dashboard is served in the background, and where."""
    from rayfleet.launcher import page

    found = page.there()
    if found is not None:
        url = found.url.rstrip("/") + _path_of(cluster)
        print(f"The dashboard is at {url} in the background; --stop ends it", flush=True)
        _open(url, open_=open_)
    return found is not None


async def _serve(
    cluster: str | None, at: tuple[str, int | None], *, login: bool, names: list[str], open_: bool | None
) -> None:
    """Answer until Ctrl-C."""
    from rayfleet.dashboard.listening import PortTaken, listen

    asks = login or at[0] not in _LOOPBACK
    gate, token_file = built(names, asks=asks)
    from rayfleet.dashboard import server

    path = _path_of(cluster)
    try:
        listening = listen(*at)
    except PortTaken as error:
        fail(str(error), "choose another one with --port", EXIT_NOT_OK)
    url = listening.url.rstrip("/") + path
    await server.serve(gate, listening, lambda: _tell(url, token_file if asks else "", open_=open_))


def built(names: Sequence[str], *, asks: bool) -> tuple[Gate, str]:
    """Return the whole application, and the file of its token. Once per process.

    `names`: that this host is reached by, beside its own; `asks`: also those for the token who are known to be us.
    """
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
    door = _door(server.style(), names, asks=asks)
    return server.build(Site(MyClusters(), Readings(), logs_in=asks), door), door.token_file


def _path_of(cluster: str | None) -> str:
    if cluster is None:
        return "/"
    from rayfleet.launcher.known import choose

    return f"/c/{quote(choose(cluster).name, safe='')}"


def _door(style: str, names: Sequence[str], *, asks: bool) -> Door:
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
    _open(url, open_=open_)


def _open(url: str, *, open_: bool | None) -> None:
    """Open a browser, unless nobody would see it."""
    display = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if open_ or (open_ is None and display and sys.stdout.isatty()):
        import webbrowser

        webbrowser.open(url)
