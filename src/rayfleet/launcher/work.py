"""What a program needs to be a client of a cluster on this machine: variables, and a shell to run it in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rayfleet.engines.ray.environment import client_environment
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import suspension
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.known import CLUSTER_VARIABLE


def variables(home: Home) -> dict[str, str]:
    """Return the environment variables that make a process a client of the cluster.

    Raises:
        NotRunning: it is down, so that it has no address.
    """
    if not home.is_up or not home.settings.exists():
        suspension.refuse(home)
        raise NotRunning(f"cluster {home.name} is down", f"rayfleet up {home.name}")
    return {**client_environment(RaySettings.load(home.path)), CLUSTER_VARIABLE: home.name}


def environment(home: Home) -> dict[str, str]:
    """Return this process's environment with the cluster's variables, in which `ray` and `python` are found.

    They are those of rayfleet, after an environment that the user has activated.

    Raises:
        NotRunning: the cluster is down.
    """
    return {**os.environ, **variables(home), "PATH": search_path()}


def search_path() -> str:
    """Return where programs are looked for: rayfleet's own Python, after an environment that the user has activated."""
    programs = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if programs not in path:
        path = [*path, programs] if "VIRTUAL_ENV" in os.environ else [programs, *path]
    return os.pathsep.join(path)


def shell_command(words: list[str]) -> list[str]:
    """Return how a shell runs `words`: one word is a line of shell, several are a command with its arguments."""
    if len(words) == 1:
        return ["/bin/bash", "-c", words[0]]
    return ["/bin/bash", "-c", 'exec "$@"', "bash", *words]
