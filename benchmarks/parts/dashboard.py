"""How soon the dashboard's pages answer, from the record of 1,000 nodes and 100,000 events.

The server is a process of its own, as `rayfleet dashboard` starts it, on a record that the test kit writes. Each page
is asked for over HTTP several times while the record changes before each, so that nothing that was read before can be
used again; the value is the slowest answer of a page, with all that the page shows in it, and the most processor time
that the server took for one: on a machine that is busy with other work only the latter means something.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from benchmarks.machine import usage
from rayfleet.testing.big_record import write_big_record

ANSWER_S = 1.0
PAGES = {
    "clusters": "/",
    "overview": "/c/big",
    **{name: f"/c/big/{name}" for name in ("autoscaler", "nodes", "events")},
}
_TIMES = 5
_REST_S = 3.0
_TIMEOUT_S = 60.0


def measure(effort: Effort, folder: Path) -> Measured:  # noqa: ARG001 - every part is asked the same way
    """Measure it."""
    home = folder / "state" / "rayfleet" / "clusters" / "big"
    home.mkdir(parents=True)
    (home / "cluster.yaml").write_text("cluster_name: big\n")
    record = home / "history.sqlite"
    asyncio.run(write_big_record(record, time.time()))
    with _served(folder / "state") as (url, pid):
        taken = {name: [_answer(url + path, record, pid) for _ in range(_TIMES)] for name, path in PAGES.items()}
    walls = {name: [each[0] for each in found] for name, found in taken.items()}
    works = {f"{name}, processor": [each[1] for each in found] for name, found in taken.items()}
    figures = [_figure(f"{name} of 1,000 nodes", took, "s") for name, took in walls.items()]
    figures += [_figure(name, took, "CPU s") for name, took in works.items()]
    return Measured(tuple(figures), {**walls, **works})


def _figure(name: str, took: list[float], unit: str) -> Figure:
    return Figure(f"dashboard, {name}", unit, max(took), goal=Goal(ANSWER_S))


@contextmanager
def _served(state: Path) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "rayfleet", "dashboard", "--no-open", "--port", "0"]
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline() if server.stdout else ""
            yield said.split()[4].rstrip("/"), server.pid
        finally:
            server.terminate()


def _answer(url: str, record: Path, server: int) -> tuple[float, float]:
    """Return how long a page takes that was not read since the record has changed, and the server's processor time."""
    time.sleep(_REST_S)  # what took long is not read again at once
    record.touch()
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    began, worked = time.monotonic(), usage(server).cpu_s
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    took, worked = time.monotonic() - began, usage(server).cpu_s - worked
    if answer.status != HTTPStatus.OK or b"rayfleet" not in text:
        raise RuntimeError(f"{url} answered {answer.status}")
    return took, worked
