"""Starting the controller: as a process that outlives the terminal, or in place of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NoReturn

from rayfleet.launcher.home import Home
from rayfleet.launcher.known import CLUSTER_VARIABLE
from rayfleet.launcher.logs import OUTPUT_LOG
from rayfleet.providers.process.procfs import ProcessKey

FOREGROUND = "--foreground"
OWNER = "--owner"
_MODULE = "rayfleet.launcher.controller"
# Which cluster and machine a shell or job is inside of, in beginnings of names; in the controller they would send it,
# and all that it starts, there. Everything else is passed on: what a provider or a log reads is meant for it.
_WHERE_ONE_IS = (
    "RAYFLEET_ADDRESS",
    "RAYFLEET_CLUSTER",
    "RAYFLEET_MACHINE_",
    "RAYFLEET_NODE",
    "RAY_ADDRESS",
    "RAY_JOB_",
    "RAY_AUTH_",
)

# Kept for as long as they run: one that nobody asks how it ended would stay listed as a zombie, and Python complains of
# one that is forgotten. It matters to programs that live on, such as a notebook with a cluster of its own.
_STARTED: list[subprocess.Popen[bytes]] = []


def spawn(home: Home, owner: ProcessKey | None = None, *, marked: bool = False) -> subprocess.Popen[bytes]:
    """Start the controller in a session of its own: no terminal's Ctrl-C or hang-up reaches it.

    What its interpreter prints, a crash included, goes to a file of its own. `owner`: the cluster is to end with that
    process. `marked`: it belongs to the machine that it runs on, and ends with whatever else is the cluster's there.
    """
    # Appended to, because an earlier controller's last words are worth keeping; a crash says little, so it stays small.
    reap()
    with (home.logs / OUTPUT_LOG).open("ab") as output:
        child = subprocess.Popen(
            _command(home.name, *([OWNER, f"{owner.pid}:{owner.started}"] if owner else [])),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home.path,
            env=environment(home.name if marked else ""),
            start_new_session=True,
        )
    keep(child)
    return child


def keep(child: subprocess.Popen[bytes]) -> None:
    """Remember a process that outlives the command that started it."""
    _STARTED.append(child)


def reap() -> None:
    """Take leave of the processes started here that have ended."""
    _STARTED[:] = [child for child in _STARTED if child.poll() is None]


def become_controller(name: str, *options: str) -> NoReturn:
    """Turn this process into the controller, so that nothing of the command line stays in its memory.

    A Ctrl-C that comes before it listens waits for it: the interpreter would answer with a traceback.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    command = _command(name, *options)
    os.execve(command[0], command, environment())  # noqa: S606 - our own module, under our own interpreter


def _command(name: str, *options: str) -> list[str]:
    return [sys.executable, "-m", _MODULE, name, *options]


def environment(mark: str = "") -> dict[str, str]:
    """Return the controller's environment. `mark`: the cluster whose machine it ends with, "": it does not."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(_WHERE_ONE_IS)}
    return {**found, CLUSTER_VARIABLE: mark} if mark else found
