"""A cluster under Ray's own autoscaler (v2, at its defaults, with its fake_multinode provider) to measure against.

`ray start --head --autoscaling-config` starts it, with ports and a temporary directory of its own. Ray's
`AutoscalingCluster` would be shorter to use, but it begins and ends with `ray stop --force`, which ends every Ray
process of the machine. Whatever is started here carries a tag in its environment; at the end exactly those processes
are ended.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.ours import clean_environment, until
from rayfleet.engines.ray.settings import Ports, choose_ports, own_address
from rayfleet.providers.process import leftovers, procfs
from rayfleet.providers.process.identity import CLUSTER_TAG

RAY = Path(sys.executable).parent / "ray"
NODE_TYPE = "cpu1"
HEAD_TYPE = "ray.head.default"
HEAD_ID = "f" * 51 + "00000"
"""The id under which Ray's pretend provider knows the head."""
PROVIDER: Mapping[str, str] = {
    # By its class: the name `fake_multinode` looks for a file of defaults that Ray 2.60's wheel does not contain.
    "type": "external",
    "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
}
NOTHING_TO_SET_UP: Mapping[str, Any] = {
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "initialization_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
    "file_mounts": {},
    "cluster_synced_files": [],
}
"""What that file of defaults would have said."""

# Ray would want a token where the user's home happens to hold one, and its own drivers would not bring it.
_NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
_START_S = 120.0
_MONITOR = b"autoscaler/v2/monitor.py"
_LAUNCHING = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}).*Launching \d+ nodes of type", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stock:
    """A cluster that is up. `environment`: of processes that are its clients; `monitor_pid`: Ray's autoscaler."""

    environment: Mapping[str, str]
    monitor_pid: int
    monitor_log: Path

    def launch_after(self, moment: float, patience_s: float = 60.0) -> float:
        """Return when the autoscaler first asked its provider for nodes after `moment`. TimeoutError."""
        return until(lambda: next((at for at in self._launches() if at >= moment), None), patience_s)

    def _launches(self) -> list[float]:
        return launch_times(self.monitor_log.read_text(encoding="utf-8", errors="replace"))


def launch_times(log: str) -> list[float]:
    """Return when the log of Ray's monitor says that nodes were asked for, in seconds since the epoch. Pure."""
    stamps = _LAUNCHING.findall(log)
    return [datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f").timestamp() for stamp in stamps]  # noqa: DTZ007 - local


def config(gcs_address: str, idle_timeout_s: float, min_workers: int) -> dict[str, Any]:
    """Return the cluster file of the stock side: one node type, as `ours.CPU1`. Pure."""
    return {
        "cluster_name": "stock",
        "max_workers": 4,
        "idle_timeout_minutes": idle_timeout_s / 60,
        "upscaling_speed": 1.0,
        "provider": {
            **PROVIDER,
            "gcs_address": gcs_address,
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        **NOTHING_TO_SET_UP,
        "head_node_type": HEAD_TYPE,
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            NODE_TYPE: {
                "resources": {"CPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": min_workers,
                "max_workers": 4,
            },
        },
    }


@contextmanager
def stock(folder: Path, *, idle_timeout_s: float, min_workers: int = 0) -> Iterator[Stock]:
    """Have a cluster up while inside. RuntimeError when it does not start, with what Ray says."""
    tag = f"stock:{secrets.token_hex(6)}"
    home = folder / tag[-6:]  # short: Ray puts sockets far below
    home.mkdir()
    try:
        yield _start(home, tag, idle_timeout_s, min_workers)
    finally:
        end_tagged(tag)
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, tag: str, idle_timeout_s: float, min_workers: int) -> Stock:
    ports, host = choose_ports(preferred_default=False), own_address()
    address = f"{host}:{ports.gcs_port}"
    file, output = home / "cluster.json", home / "output"
    file.write_text(json.dumps(config(address, idle_timeout_s, min_workers)), encoding="utf-8")
    with output.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            [str(RAY), *_arguments(ports, host, home, file)],
            env={**clean_environment(), **_NO_TOKEN, **_head_environment(), CLUSTER_TAG: tag},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def started() -> bool | None:
        if process.poll() is not None:
            raise RuntimeError(f"ray start ended: {output.read_text(encoding='utf-8')[-2000:]}")
        return "Ray runtime started" in output.read_text(encoding="utf-8") or None

    until(started, _START_S)
    log = home / "session_latest" / "logs" / "monitor.log"
    until(lambda: (log.exists() and "Using Autoscaling Config" in log.read_text(encoding="utf-8")) or None, _START_S)
    environment = {**clean_environment(), **_NO_TOKEN, "RAY_ADDRESS": address, CLUSTER_TAG: tag}
    return Stock(environment, _monitor_pid(tag), log.resolve())


def _arguments(ports: Ports, host: str, home: Path, file: Path) -> list[str]:
    return [
        "start",
        "--head",
        "--block",
        f"--port={ports.gcs_port}",
        f"--node-ip-address={host}",
        f"--ray-client-server-port={ports.client_port}",
        f"--temp-dir={home}",
        f"--autoscaling-config={file}",
        "--num-cpus=0",
        "--object-store-memory=100000000",
        "--include-dashboard=false",
        f"--dashboard-port={ports.dashboard_port}",
        "--dashboard-agent-listen-port=0",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--disable-usage-stats",
    ]


def _head_environment() -> dict[str, str]:
    """Return what Ray's pretend provider wants of its head, and patience; nothing else differs from Ray's defaults."""
    return {
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "RAY_NODE_TYPE_NAME": HEAD_TYPE,
    }


def _monitor_pid(tag: str) -> int:
    for each in leftovers.find(tag):
        if _MONITOR in (procfs.PROC / str(each.key.pid) / "cmdline").read_bytes():
            return each.key.pid
    raise RuntimeError("Ray's monitor does not run")


def end_tagged(tag: str, patience_s: float = 8.0) -> None:
    """End every process that carries the tag, politely first. RuntimeError when one would not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience_s
        for each in leftovers.find(tag):
            procfs.send_signal(each.key, number)
        while leftovers.find(tag):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"still there: {[each.command for each in leftovers.find(tag)]}")
