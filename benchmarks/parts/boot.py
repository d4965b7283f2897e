"""From asking for a node to its being alive and running a task, beside `ray start --block` on the same head.

One rayfleet cluster; a task waits for a node either of a pool (rayfleet then calls its provider; the record has the
moment) or of a resource that only a node started by hand has (the moment at which `ray start --block` is executed). The
driver sees the new node in Ray's node table, the task says when it runs. They take turns; each node is gone before the
next is asked for. `ray start` gets a temporary directory of its own, as concurrent nodes of one machine need.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.driving import Driver, driver
from benchmarks.effort import Effort
from benchmarks.figures import Figure, Measured, of_pairs
from benchmarks.ours import CPU1, Ours, ours
from benchmarks.samples import alternate
from benchmarks.stock import RAY, end_tagged
from rayfleet.providers.process.identity import CLUSTER_TAG

PEER = "ray start --block"
_IDLE_TIMEOUT_S = 1.0
_BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class Boot:
    """One node's start, in seconds after it was asked for."""

    alive_s: float
    task_s: float


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    boots: dict[str, list[Boot]] = {"ours": [], "theirs": []}
    with (
        ours(pools={"cpu1": CPU1}, idle_timeout_s=_IDLE_TIMEOUT_S) as cluster,
        driver(cluster.environment, folder) as client,
    ):
        for pair in alternate(effort.pairs):
            for side in pair:
                boot = _by_rayfleet(cluster, client) if side == "ours" else _by_hand(cluster, client, folder)
                boots[side].append(boot)
    samples = {
        f"{side}_{what}": [getattr(boot, what) for boot in boots[side]]
        for side in boots
        for what in ("alive_s", "task_s")
    }
    return Measured(figures(samples), samples)


def figures(samples: dict[str, list[float]]) -> tuple[Figure, ...]:
    """Return the figures of samples that were taken in pairs. Pure."""
    return (
        of_pairs("node asked for -> alive", samples["ours_alive_s"], samples["theirs_alive_s"], PEER),
        of_pairs("node asked for -> first task", samples["ours_task_s"], samples["theirs_task_s"], PEER),
    )


def _by_rayfleet(cluster: Ours, client: Driver) -> Boot:
    known = client.ask("nodes")["nodes"]
    submitted_at = client.ask("submit", resources={"CPU": 1}, run_s=0.0)["submitted_at"]
    alive_at, started_at, node_id = _see(client, known)
    asked_at = cluster.launch_after(submitted_at).at
    client.ask("gone", node_id=node_id)
    cluster.until_no_workers()
    return Boot(alive_at - asked_at, started_at - asked_at)


def _by_hand(cluster: Ours, client: Driver, folder: Path) -> Boot:
    known = client.ask("nodes")["nodes"]
    client.ask("submit", resources={_BY_HAND: 1}, run_s=0.0)
    with _ray_start(cluster, folder) as asked_at:
        alive_at, started_at, node_id = _see(client, known)
    client.ask("gone", node_id=node_id)
    return Boot(alive_at - asked_at, started_at - asked_at)


def _see(client: Driver, known: list[str]) -> tuple[float, float, str]:
    alive: dict[str, Any] = client.ask("alive", known=known)
    return alive["alive_at"], client.ask("result")["started_at"], alive["node_id"]


@contextmanager
def _ray_start(cluster: Ours, folder: Path) -> Iterator[float]:
    """Have a node up that was started by hand; the value is when."""
    tag = f"by-hand:{secrets.token_hex(6)}"
    home = folder / tag[-6:]
    home.mkdir()
    command = [
        str(RAY),
        "start",
        "--block",
        f"--address={cluster.environment['RAY_ADDRESS']}",
        f"--temp-dir={home}",
        "--num-cpus=1",
        f'--resources={{"{_BY_HAND}": 1}}',
        "--object-store-memory=100000000",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--dashboard-agent-listen-port=0",
        "--disable-usage-stats",
    ]
    environment = {**cluster.environment, CLUSTER_TAG: tag, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    asked_at = time.time()
    with (home / "output").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield asked_at
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        end_tagged(tag)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
