"""50 hosts over SSH, from the real command `rayfleet up FILE` to the end of the last host's set-up command.

Each host is a real one of this machine (`rayfleet.testing.hosts`), with a server, a home folder and a clock of its own.
The head is a real one: its recipe starts Ray, rayfleet comes onto it, its controller looks at, leases and sets up the
other 49. The set-up command writes down the time, so that nothing is counted that comes after it; the workers' start
command is `true`, written in the file, so that 49 raylets are not measured, too. Counted from the start of the
command's process. Where the time goes is told: set-up of the head, its Ray, rayfleet on it, and the workers. On demand,
as it needs root, sshd, and a machine that does nothing else: all 50 hosts share its cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from rayfleet.testing.hosts import Host, Hosts, needs

HOSTS: Final = 50
DONE_S: Final = 10.0
NAME: Final = "rack"
MARK: Final = "set_up"
_PATIENCE_S: Final = 180.0
_STEP_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Turn:
    """One `up`, in seconds from its start. `lines`: what it told, each with its time."""

    head_s: float
    first_worker_s: float
    last_s: float
    lines: tuple[tuple[float, str], ...]


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    lacking = needs()
    if lacking:
        raise RuntimeError(f"hosts of one's own need {lacking}")
    turns = []
    for number in range(effort.pairs):
        with Hosts(HOSTS, folder / f"hosts{number}") as site:
            turns.append(_turn(site, folder / f"laptop{number}"))
    return Measured(
        figures(turns), {"up to the last set-up command": [turn.last_s for turn in turns]}, _notes(turns[-1])
    )


def figures(turns: list[Turn]) -> tuple[Figure, ...]:
    """Return the figures of the turns: of the longest. Pure."""
    longest = max(turns, key=lambda turn: turn.last_s)
    name = f"{HOSTS} hosts: from `rayfleet up` to the last set-up command: longest"
    return (
        Figure(name, "s", longest.last_s, goal=Goal(DONE_S)),
        Figure("of that, until the head's own is done", "s", longest.head_s),
        Figure("of that, from there to the first worker's", "s", longest.first_worker_s - longest.head_s),
        Figure("of that, from there to the last worker's", "s", longest.last_s - longest.first_worker_s),
    )


def _notes(turn: Turn) -> tuple[str, ...]:
    """Return what the command told of the head's way, with times."""
    return tuple(f"{at:6.2f} s  {line}" for at, line in turn.lines[:20])


def cluster(site: Hosts) -> dict[str, Any]:
    """Return the file of the cluster."""
    head, *workers = site.hosts
    return {
        "cluster_name": NAME,
        "provider": {"type": "local", "head_ip": head.address, "worker_ips": [host.address for host in workers]},
        "auth": {"ssh_user": site.login.user, "ssh_private_key": site.login.private_key},
        "max_workers": len(workers),
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 1}},
            "worker": {"resources": {"CPU": 1}, "min_workers": len(workers), "max_workers": len(workers)},
        },
        "setup_commands": [f"date +%s.%N > ~/{MARK}"],
        "worker_start_ray_commands": ["true"],
    }


def _turn(site: Hosts, laptop: Path) -> Turn:
    laptop.mkdir()
    (laptop / "cluster.yaml").write_text(json.dumps(cluster(site)), encoding="utf-8")
    told = laptop / "told"
    told.touch()
    began = time.time()
    with _running(laptop, told) as up:
        while any(_done_at(host) is None for host in site.hosts):
            if up.poll() is not None or time.time() > began + _PATIENCE_S:
                raise RuntimeError(f"not all of the hosts were set up: {told.read_text(encoding='utf-8')[-3000:]}")
            time.sleep(_STEP_S)
    head, *workers = (at - began for host in site.hosts if (at := _done_at(host)) is not None)
    return Turn(head, min(workers), max(workers), tuple(_timed(told, began)))


def _done_at(host: Host) -> float | None:
    """Return when a host's set-up command has run, by the clock that all of them share; None: it has not."""
    try:
        return float(host.path(f"{host.home}/{MARK}").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # ValueError: it is just being written
        return None


@contextmanager
def _running(laptop: Path, told: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `up` inside, which waits for workers that never come; then end it, and the cluster."""
    environment = {**os.environ, "XDG_STATE_HOME": str(laptop / "state"), "PYTHONUNBUFFERED": "1"}
    timed = (
        'import sys, time\nfor line in sys.stdin: print(f"{time.time()} {line}", end="", file=open(sys.argv[1], "a"))'
    )
    command = [sys.executable, "-m", "rayfleet"]
    up = subprocess.Popen(
        [*command, "up", "cluster.yaml", "--timeout", str(_PATIENCE_S)],
        cwd=laptop, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    stamping = subprocess.Popen([sys.executable, "-c", timed, str(told)], stdin=up.stderr)
    try:
        yield up
    finally:
        up.terminate()
        up.wait()
        stamping.wait()
        down = [*command, "down", "cluster.yaml"]
        subprocess.run(down, cwd=laptop, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _timed(told: Path, began: float) -> Iterator[tuple[float, str]]:
    for line in told.read_text(encoding="utf-8").splitlines():
        at, _, text = line.partition(" ")
        yield float(at) - began, text
