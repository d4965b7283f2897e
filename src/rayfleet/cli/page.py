"""The dashboard that `up` starts in the background: whether it is to, and what is said about it."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from rayfleet.cli.terminal import complain

INSTALL = 'pip install "rayfleet[dashboard]"'
VARIABLE = "RAYFLEET_DASHBOARD"
_OFF = frozenset({"off", "0", "false", "no"})
_SERVER = "rayfleet.cli.page_server"

NoPage = Annotated[
    bool,
    typer.Option("--no-dashboard", help=f"Do not start the dashboard. {VARIABLE}=off in the environment says so, too."),
]


def started(cluster: str, *, unwanted: bool = False) -> str:
    """Return the address of a cluster's page, and have the dashboard started when there is none; "": there is none.

    It never fails: what is wrong is told in one block beside the command's answer.
    """
    if unwanted or os.environ.get(VARIABLE, "").lower() in _OFF:
        return ""
    from urllib.parse import quote

    from rayfleet.launcher import page
    from rayfleet.launcher.errors import LauncherError

    if find_spec("nicegui") is None:
        print(f"note: no dashboard: it needs NiceGUI, {INSTALL}; --no-dashboard leaves this out", file=sys.stderr)
        return ""
    try:
        return f"{page.ensure(opened, command()).url}c/{quote(cluster, safe='')}"
    except (LauncherError, OSError) as error:
        hint = getattr(error, "hint", "")
        complain(f"the dashboard was not started: {error}", hint or "rayfleet dashboard starts it in this terminal")
        return ""


def command(*options: str) -> list[str]:
    """Return the command of the server in the background, but for the number of its socket."""
    return [sys.executable, "-m", _SERVER, *options]


def opened() -> tuple[socket.socket, str]:
    """Open the port of the dashboard; return its socket and its address for a browser."""
    from rayfleet.dashboard.listening import listen

    listening = listen("127.0.0.1", None)
    return listening.socket, listening.url
