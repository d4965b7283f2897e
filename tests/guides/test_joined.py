"""A node that somebody joins by hand, as the guide types it: counted, used, and left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guides.desk import IDLE_S, TIMEOUT_S, Cluster

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

MARK = "GUIDES_JOINED_BY_HAND"
USAGE = 2
ONE_TASK = """
import ray
ray.init()

@ray.remote(num_cpus=1)
def where():
    return ray.get_runtime_context().get_node_id()

print(ray.get(where.remote()))
"""


def marked(mark: str) -> list[int]:
    """Return the processes that were started with the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture(scope="module")
def intruder(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """Somebody without the token who tries to join. Ray takes its time to refuse: begun early, waited for late."""
    command = ["ray", "start", f"--address={cluster.env['RAY_ADDRESS']}"]
    environment = cluster.desk.environment()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as trying:
        yield trying
        trying.kill()


@pytest.fixture(scope="module")
def joined(cluster: Cluster, intruder: subprocess.Popen[str]) -> Iterator[str]:
    """The id of a node that was joined with `ray start`. It ends with its processes, never with `ray stop`."""
    cluster.until_workers()
    mark = str(cluster.desk.state)
    try:
        line = f"export {MARK}={mark}\nray start --address={cluster.env['RAY_ADDRESS']} --num-cpus=1"
        # Into a file: what `ray start` leaves running would hold a pipe open.
        answer = cluster.by_shell(f"{line} > joined.txt 2>&1")
        assert answer.code == 0, (cluster.desk.folder / "joined.txt").read_text()
        machines = cluster.until(lambda found: any(machine["foreign"] for machine in found), "joined by hand")
        yield next(machine["node_id"] for machine in machines if machine["foreign"])
    finally:
        end(mark)


def end(mark: str) -> None:
    deadline = time.monotonic() + 20
    while pids := marked(mark):
        number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        for pid in pids:
            os.kill(pid, number)
        time.sleep(0.5)


def test_counted_and_left_alone(cluster: Cluster, joined: str) -> None:
    assert "1 unnamed (joined by hand)" in cluster.desk.well("rayfleet", "status")
    before = cluster.launches()
    assert cluster.program(ONE_TASK) == f"{joined}\n"
    assert cluster.launches() == before, "its CPU is enough for the task"
    cluster.until(lambda found: any(m["node_id"] == joined and m["idle_s"] > IDLE_S + 1 for m in found), "idle")
    refused = cluster.desk.run("rayfleet", "drain", joined)
    assert refused.code == USAGE
    assert "joined by hand" in refused.err


def test_a_new_controller_leaves_it_alone_too(cluster: Cluster, joined: str) -> None:
    heads = cluster.head["node_id"]
    kept = json.loads((cluster.desk.state / "rayfleet/clusters/default/controller.json").read_text())
    os.kill(kept["process"]["pid"], signal.SIGKILL)
    cluster.desk.well("rayfleet", "up")
    time.sleep(3)
    assert [m["node_id"] for m in cluster.machines() if m["foreign"]] == [joined]
    assert cluster.head["node_id"] == heads


def test_without_the_token_nobody_joins(intruder: subprocess.Popen[str]) -> None:
    said, _ = intruder.communicate(timeout=TIMEOUT_S)
    assert intruder.returncode != 0
    assert "token" in said.lower()
