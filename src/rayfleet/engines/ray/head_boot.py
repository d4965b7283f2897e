"""Starts a head on this machine, writes down how to join it, and becomes the process that watches it.

    python -m rayfleet.engines.ray.head_boot SPEC

Ray's own `ray start --head` does the starting, inside this process: Ray is then imported once, for the start and for
composing the command line of the worker nodes. At the end the process replaces itself by `node_main watch`, which needs
a tenth of the memory and keeps the children.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rayfleet.engines.ray import node_main
from rayfleet.engines.ray.head_traces import Traces
from rayfleet.engines.ray.settings import DEFAULT_TEMP_DIR

_LONGEST_SESSION = "session_2000-01-01_00-00-00_000000_4194304"  # as Ray names sessions; the last number is a pid
_CURRENT_CLUSTER = "ray_current_cluster"  # Ray's note of the newest cluster in a temporary directory


def start_arguments(spec: dict[str, Any], temp_dir: str, ports: list[int]) -> list[str]:
    """Return the arguments for Ray's command line. Fixed agent ports (`ports`) spare the raylet waiting for them."""
    resources = dict(spec["resources"])
    known = {
        "--num-cpus": _whole(resources.pop("CPU", 0)),
        "--num-gpus": _whole(resources.pop("GPU", 0)),
        "--memory": _whole(resources.pop("memory", 0)) or None,
        "--object-store-memory": _whole(resources.pop("object_store_memory", spec["object_store_bytes"])),
        "--resources": json.dumps(resources) if resources else None,
        "--labels": ",".join(f"{key}={value}" for key, value in spec["labels"].items()) or None,
        "--port": spec["gcs_port"],
        "--node-ip-address": spec["host"],
        "--node-name": os.environ["RAYFLEET_MACHINE_ID"],
        "--temp-dir": temp_dir,
        "--ray-client-server-port": spec["client_port"],
        "--include-dashboard": "true",
        "--dashboard-host": spec["dashboard_host"],
        "--dashboard-port": spec["dashboard_port"],
        "--dashboard-agent-grpc-port": ports[0],
        "--metrics-export-port": ports[1],
        "--dashboard-agent-listen-port": ports[2],
        "--runtime-env-agent-port": ports[3],
        "--min-worker-port": 0,
        "--max-worker-port": 0,
    }
    flags = [f"{name}={value}" for name, value in known.items() if value is not None]
    return ["start", "--head", "--no-monitor", "--disable-usage-stats", *flags]


def prepare_temp_dir(spec: dict[str, Any]) -> str:
    """Return the head's temporary directory, made and without the trace of a head that died.

    Ray refuses to start where `ray_current_cluster` names our address while workers of the old head still run.
    """
    machine_dir = os.environ["RAYFLEET_MACHINE_DIR"]
    temp_dir = spec["temp_dir"] or node_main.socket_safe(machine_dir, _LONGEST_SESSION)
    Path(temp_dir).mkdir(parents=True, exist_ok=True)
    if temp_dir == DEFAULT_TEMP_DIR:
        with suppress(PermissionError):  # somebody else's, and we may write there all the same
            Path(temp_dir).chmod(0o1777)  # as /tmp itself: other people on this machine use it too
    node_main.remove_note(f"{temp_dir}/{_CURRENT_CLUSTER}", f"{spec['host']}:{spec['gcs_port']}")
    return temp_dir


def start_head(spec: dict[str, Any], temp_dir: str) -> Dashboard:
    """Run Ray's own start command in this process and return its dashboard, which may still be starting.

    SystemExit or an error of Ray's when it fails, after Ray has said why.
    """
    from ray.scripts.scripts import cli

    ports = node_main.reserve_ports(4)
    dashboard = Dashboard(f"{spec['dashboard_host']}:{spec['dashboard_port']}")
    with told_listen_port(ports[2]), dashboard.started_aside():
        cli.main(start_arguments(spec, temp_dir, ports), standalone_mode=False)
    return dashboard


class Dashboard:
    """Ray's dashboard, started in a thread: it takes four seconds, and the node need not wait for it."""

    def __init__(self, address: str) -> None:
        """Take host:port where it will be."""
        self._address = address
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    @contextmanager
    def started_aside(self) -> Iterator[None]:
        """Have Ray's Node start its dashboard in a thread of ours."""
        from ray._private.node import Node

        original = Node.start_api_server

        def start(node: Any, **arguments: Any) -> None:
            node._webui_url = self._address  # what it will be, since a given port is the only one tried
            # When the rest of the start fails, nobody waits for a dashboard that will never answer.
            thread = threading.Thread(target=self._start, args=(original, node, arguments), daemon=True)
            self._threads.append(thread)
            thread.start()

        Node.start_api_server = start
        try:
            yield
        finally:
            Node.start_api_server = original

    def _start(self, original: Callable[..., None], node: Any, arguments: dict[str, Any]) -> None:
        try:
            original(node, **arguments)
        except BaseException as error:  # noqa: BLE001 - raised where the thread is waited for
            self._failures.append(error)

    def wait(self) -> None:
        """Wait until it answers; raises what went wrong."""
        for thread in self._threads:
            thread.join()
        for failure in self._failures:
            raise failure


@contextmanager
def told_listen_port(port: int) -> Iterator[None]:
    """Have the head's raylet told of the port that Ray's start leaves out, or it waits two seconds for its agent."""
    from ray._private import services

    from rayfleet.engines.ray.raylet_argv import listen_port_flags

    original = services.start_ray_process

    def start(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        more = listen_port_flags(str(port)) if process_type == "raylet" else []
        return original([*command, *more], process_type, *args, **kwargs)

    services.start_ray_process = start
    try:
        yield
    finally:
        services.start_ray_process = original


def describe_head(spec: dict[str, Any], temp_dir: str) -> Path:
    """Write the file from which worker nodes start and the engine learns of the session; return the logs' folder."""
    from ray._raylet import GcsClient

    from rayfleet.engines.ray import raylet_argv

    address = f"{spec['host']}:{spec['gcs_port']}"
    client = GcsClient(address=address)
    session_name: str = client.internal_kv_get(b"session_name", b"session").decode()
    cluster = raylet_argv.Cluster(
        address, client.cluster_id.hex(), session_name, f"{spec['dashboard_host']}:{spec['dashboard_port']}"
    )
    session_dir = Path(temp_dir) / session_name
    content = {
        "session_name": session_name,
        "session_dir": str(session_dir),
        "logs_dir": str(session_dir / "logs"),
        "cluster_id": cluster.cluster_id,
        "raylet_argv": raylet_argv.compose(cluster),
    }
    draft = Path(f"{spec['head_path']}.new")
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    draft.replace(spec["head_path"])
    return session_dir / "logs"


def watch(spec: dict[str, Any], logs_dir: Path) -> NoReturn:
    """Become the process that watches the head's processes. A signal that comes meanwhile waits for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    handover = {
        "pids": [pid for pid, parent in node_main.parents().items() if parent == os.getpid()],
        "persistent": persistent(spec),
        "log": f"{logs_dir}/raylet",
        "note": str(logs_dir.parents[1] / _CURRENT_CLUSTER),
        "address": f"{spec['host']}:{spec['gcs_port']}",
    }
    sys.stdout.flush()
    os.execv(  # noqa: S606 - an argument list, so no shell is wanted
        sys.executable, [sys.executable, "-I", "-S", node_main.__file__, "watch", json.dumps(handover)]
    )


def persistent(spec: dict[str, Any]) -> bool:
    """Say whether the GCS is to keep its tables on disk: wanted, and this Ray (not yet 2.52) can do it."""
    from ray._private import services

    from rayfleet.engines.ray import raylet_argv

    return bool(spec["persistent"]) and raylet_argv.knows(Path(services.GCS_SERVER_EXECUTABLE), b"gcs_storage_path")


def use_persistent_tables(spec: dict[str, Any]) -> None:
    """Have the GCS keep its tables in the cluster's folder."""
    if persistent(spec):
        tables = tables_dir(spec)
        tables.mkdir(exist_ok=True)
        os.environ.update(RAY_gcs_storage="rocksdb", RAY_gcs_storage_path=str(tables))


def tables_dir(spec: dict[str, Any]) -> Path:
    """Return where the GCS keeps its tables, if it does."""
    return Path(spec["head_path"]).with_name("gcs")


def end_on_signals(traces: Traces | None = None) -> None:
    """Have a signal end what has been started so far. `traces`: they go too, as long as the node is not up."""

    def give_up(_signal: int, _frame: FrameType | None) -> NoReturn:
        node_main.end_descendants()
        if traces is not None:
            traces.take_back()
        os._exit(0)

    signal.signal(signal.SIGTERM, give_up)
    signal.signal(signal.SIGINT, give_up)


def clear_away(spec: dict[str, Any], traces: Traces) -> None:
    """End what a start that failed has started, tell what its logs say, and remove what it has made."""
    node_main.end_descendants()
    for line in traces.last_words():
        node_main.say(line)
    traces.take_back()
    node_main.remove_note(str(traces.temp_dir / _CURRENT_CLUSTER), f"{spec['host']}:{spec['gcs_port']}")


def main(argv: list[str]) -> None:
    """Start the head that SPEC (JSON) describes; see `boot.start_script` for its content."""
    spec = json.loads(argv[1])
    node_main.adopt_orphans()
    end_on_signals()
    os.environ.update(node_main.node_environment(spec, dict(os.environ)))
    # All heads of a machine would otherwise want the same port for their dashboard's own metrics.
    os.environ["DASHBOARD_METRIC_PORT"] = str(node_main.reserve_ports(1)[0])
    Path(spec["head_path"]).unlink(missing_ok=True)
    temp_dir = prepare_temp_dir(spec)
    traces = Traces.before(Path(temp_dir), tables_dir(spec))
    end_on_signals(traces)
    try:
        use_persistent_tables(spec)
        dashboard = start_head(spec, temp_dir)
        logs_dir = describe_head(spec, temp_dir)
        end_on_signals()
        node_main.mark_started()
        dashboard.wait()
    except BaseException:
        clear_away(spec, traces)
        raise
    watch(spec, logs_dir)


def _whole(amount: float) -> int:
    """Round up: Ray's command line takes whole numbers."""
    return -int(-amount // 1)


if __name__ == "__main__":
    main(sys.argv)
