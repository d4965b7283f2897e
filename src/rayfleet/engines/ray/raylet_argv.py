"""The raylet's command line as this version of Ray composes it, with placeholders for what differs from node to node.

Ray has a function that composes the command and starts it. Here it composes, and what it would start is taken from it:
that follows every version of Ray, where a command line of our own would have to be kept in step. `node_main` fills in
the placeholders on the machine, without importing Ray.
"""

from __future__ import annotations

import inspect
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray._private.ray_constants as constants
from ray._private import services
from ray._private.resource_isolation_config import ResourceIsolationConfig

NODE_ID, SHORT_NODE_ID, ADDRESS, TEMP_DIR = "@NODE_ID@", "@NODE@", "@IP@", "@TEMP_DIR@"
PORTS = ("@PORT0@", "@PORT1@", "@PORT2@", "@PORT3@")
_WORKERS = Path(services.__file__).parent / "workers"
_ROTATE_BYTES = 512 * 1024 * 1024
_ROTATE_FILES = 5


class _Composed(Exception):  # no error: it carries the command out of Ray's function
    def __init__(self, argv: list[str]) -> None:
        super().__init__()
        self.argv = argv


@dataclass(frozen=True, slots=True)
class _NoResources:
    """What Ray's function wants to know of resources and labels; `node_main` sets the real ones."""

    labels: dict[str, str]
    num_cpus: int = 0

    def to_resource_dict(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a raylet must be told of the cluster that it joins. `dashboard`: host:port."""

    gcs_address: str
    cluster_id: str
    session_name: str
    dashboard: str


def compose(cluster: Cluster) -> list[str]:
    """Return the command line of a worker's raylet, with placeholders."""
    known = inspect.signature(services.start_raylet).parameters
    arguments = {**_places(cluster), **_log_files(cluster.session_name), **_fixed(cluster)}
    with _starting_nothing():
        try:
            services.start_raylet(**{name: value for name, value in arguments.items() if name in known})
        except _Composed as composed:
            argv = composed.argv
        else:
            raise RuntimeError(
                "Ray's start_raylet returned without starting a process: this version of Ray is not known"
            )
    return [*argv, *listen_port_flags(PORTS[2])]


def listen_port_flags(port: str) -> list[str]:
    """Return what Ray's function leaves out: without it newer raylets wait for the agent's file with its port.

    Older ones do not know the flag, and would refuse it but for `undefok`.
    """
    return [f"--dashboard_agent_listen_port={port}", "--undefok=dashboard_agent_listen_port"]


@contextmanager
def _starting_nothing() -> Iterator[None]:
    """Have Ray's `start_ray_process` hand over the command instead of running it."""

    def take(command: list[str], *_args: Any, **_kwargs: Any) -> None:
        raise _Composed(list(command))

    original = services.start_ray_process
    services.start_ray_process = take
    try:
        yield
    finally:
        services.start_ray_process = original


def _places(cluster: Cluster) -> dict[str, Any]:
    session = f"{TEMP_DIR}/{cluster.session_name}"
    return {
        "node_id": NODE_ID,
        "node_ip_address": ADDRESS,
        "temp_dir": TEMP_DIR,
        "session_dir": session,
        "resource_dir": f"{session}/runtime_resources",
        "log_dir": f"{session}/logs",
        "raylet_name": f"{session}/sockets/raylet",
        "plasma_store_name": f"{session}/sockets/plasma_store",
        "plasma_directory": "",
        "fallback_directory": session,
        "metrics_agent_port": PORTS[0],
        "metrics_export_port": PORTS[1],
        "dashboard_agent_listen_port": PORTS[2],
        "runtime_env_agent_port": PORTS[3],
    }


def _log_files(session_name: str) -> dict[str, str]:
    """Name the log files after the node, since the nodes of one machine share a folder."""
    named = {"raylet": "raylet", "dashboard_agent": "dashboard_agent", "runtime_env_agent": "runtime_env_agent"}
    logs = f"{TEMP_DIR}/{session_name}/logs"
    found = {}
    for prefix, name in named.items():
        found[f"{prefix}_stdout_filepath"] = f"{logs}/{name}-{SHORT_NODE_ID}.out"
        found[f"{prefix}_stderr_filepath"] = f"{logs}/{name}-{SHORT_NODE_ID}.err"
        found[f"{prefix}_log_filepath"] = f"{logs}/{name}-{SHORT_NODE_ID}.log"
    return found


def _fixed(cluster: Cluster) -> dict[str, Any]:
    return {
        "redis_address": None,
        "gcs_address": cluster.gcs_address,
        "cluster_id": cluster.cluster_id,
        "session_name": cluster.session_name,
        "webui": cluster.dashboard,
        "node_manager_port": 0,
        "min_worker_port": 0,
        "max_worker_port": 0,
        "worker_path": str(_WORKERS / "default_worker.py"),
        "setup_worker_path": str(_WORKERS / constants.SETUP_WORKER_FILENAME),
        "resource_and_label_spec": _NoResources({"ray.io/placeholder": ""}),
        "object_store_memory": 0,
        "is_head_node": False,
        "resource_isolation_config": ResourceIsolationConfig(enable_resource_isolation=False),
        "max_bytes": int(os.environ.get("RAY_ROTATION_MAX_BYTES", _ROTATE_BYTES)),
        "backup_count": int(os.environ.get("RAY_ROTATION_BACKUP_COUNT", _ROTATE_FILES)),
        "node_name": "@NAME@",
        "fate_share": False,
    }


def knows(program: Path, word: bytes) -> bool:
    """Say whether the program has a flag or setting of that name. An unknown flag would end it."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0
