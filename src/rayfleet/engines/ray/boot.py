"""How a machine starts its Ray node: a pure value, delivered by whatever provider makes the machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rayfleet.contracts import StartScript
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.model import FrozenMap, Pool, offer_labels

_NODE_MAIN = Path(__file__).with_name("node_main.py")


def start_script(settings: RaySettings, pool: Pool, *, head: bool) -> StartScript:
    """Return the command and environment that start a node of `pool` on a machine of this cluster.

    The machine adds RAYFLEET_MACHINE_ID and RAYFLEET_MACHINE_DIR. The token is in neither: only the path of its file.
    """
    spec = json.dumps(_spec(settings, pool, head=head), separators=(",", ":"))
    if head:
        argv: tuple[str, ...] = (settings.python, "-m", "rayfleet.engines.ray.head_boot", spec)
    else:
        # Without site-packages Python is up in half the time, and the node's start is what everybody waits for.
        argv = (settings.python, "-I", "-S", str(_NODE_MAIN), "worker", spec)
    return StartScript(argv, FrozenMap(node_environment(settings, head=head)))


def node_environment(settings: RaySettings, *, head: bool) -> dict[str, str]:
    """Return what a node of the cluster has in its environment, apart from its own identity."""
    shapes = str(settings.max_shapes_per_report)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(settings.token_path)} if settings.token_auth else {}
    # Ray's server for `ray://` forks once for each client, while its threads use gRPC. What gRPC then does in the child
    # kills it now and then, above all the first: "Starting Ray client server failed". Nothing on a head needs that.
    forks = {"GRPC_ENABLE_FORK_SUPPORT": "0"} if head else {}
    return {
        **auth,
        **forks,
        "RAY_enable_autoscaler_v2": "1",
        # A raylet and the GCS would otherwise report 100 shapes and hide the rest.
        "RAY_max_resource_shapes_per_load_report": shapes,
        "RAY_max_placement_group_load_report_size": shapes,
        "RAY_gcs_pull_resource_loads_period_milliseconds": str(settings.pull_period_ms),
        # A raylet's first connection to its own object store comes too early and then sleeps for a whole step: the same
        # ten seconds in finer steps.
        "RAY_raylet_client_connect_timeout_milliseconds": "20",
        "RAY_raylet_client_num_connect_attempts": "500",
        # On a busy machine agents need long to import; that must not end their raylet.
        "RAY_agent_register_timeout_ms": "180000",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "120",
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "180",
        "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "180",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The watcher of a node ends it at once when told to; whoever wants a drain asks for one first.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def pool_labels(pool: Pool) -> dict[str, str]:
    """Return the labels that every node of a pool has, whichever of its offers it comes from: plans count on them."""
    first, *others = (offer_labels(pool, offer.key(pool.name)) for offer in pool.offers)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _spec(settings: RaySettings, pool: Pool, *, head: bool) -> dict[str, Any]:
    spec = {
        "pool": pool.name,
        "resources": pool.resources.amounts(),
        "labels": pool_labels(pool),
        "object_store_bytes": settings.object_store_bytes,
        "python": settings.python,
        "head_path": str(settings.head_path),
        "gcs_address": settings.gcs_address,
        "own_addresses": settings.own_addresses,
        "farewell": [settings.python, "-m", "rayfleet.engines.ray.farewell", settings.gcs_address],
    }
    if head:
        ports = settings.ports
        spec |= {
            "host": settings.host,
            "gcs_port": ports.gcs_port,
            "client_port": ports.client_port,
            "dashboard_host": settings.dashboard_host,
            "dashboard_port": ports.dashboard_port,
            "temp_dir": settings.temp_dir,
            "persistent": settings.persistent,
        }
    return spec
