"""The commands that start Ray on a machine elsewhere: rayfleet's own, or the user's with what rayfleet needs. Pure.

Nothing of rayfleet is needed on the machine but Ray. What is known only there is in variables when a command runs:
RAYFLEET_MACHINE_ID, RAYFLEET_ADDRESS (how others reach it, "" when not known) and HOME.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Final

from rayfleet.contracts import StartScript
from rayfleet.engines.ray.boot import node_environment, pool_labels
from rayfleet.engines.ray.installing import FIRST
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.engines.ray.users_commands import Wishes, flags_of, with_wishes
from rayfleet.model import Pool
from rayfleet.wire.node_end import mark_node

_OPEN_FILES: Final = "ulimit -n 65536 2>/dev/null || ulimit -n $(ulimit -Hn)"
_UNWANTED: Final = frozenset({"autoscaling-config", "block"})
"""The first starts Ray's autoscaler; with the second nobody ever hears that the node has started."""
_OUR_PLACE: Final = {"RAY_AUTH_TOKEN_PATH"}
"""Variables whose value is a path on the controller's machine."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What the engine must know to start Ray elsewhere.

    `head_start`, `worker_start`: the user's own commands; empty: rayfleet's. `sized_head`: the head offers what its
    pool says even where that is nothing; else Ray counts what it finds there, as it does for workers.
    """

    head_start: tuple[str, ...] = ()
    worker_start: tuple[str, ...] = ()
    sized_head: bool = True


def node_folder(cluster: str) -> str:
    """Return the folder of a node's own files, from its user's home on."""
    return f".rayfleet/{cluster}"


def token_file(cluster: str) -> str:
    """Return the file that holds the cluster's token on each of its machines."""
    return f"~/{node_folder(cluster)}/ray-token"


def exports(settings: RaySettings, pool: Pool, *, head: bool) -> tuple[str, ...]:
    """Return lines of shell that make the environment of everything that runs on a node."""
    plain = {name: value for name, value in node_environment(settings, head=head).items() if name not in _OUR_PLACE}
    plain |= {"RAY_NODE_TYPE_NAME": pool.name, "RAYFLEET_CLUSTER": settings.cluster}
    if not head:
        plain["RAY_HEAD_IP"] = settings.host
    late = {"RAY_CLOUD_INSTANCE_ID": "$RAYFLEET_MACHINE_ID"}
    if head:
        late["RAY_HEAD_IP"] = f"${{RAYFLEET_ADDRESS:-{settings.host}}}"
    if settings.token_auth:
        late["RAY_AUTH_TOKEN_PATH"] = f"$HOME/{node_folder(settings.cluster)}/ray-token"
    return (
        FIRST,
        *(f"export {name}={shlex.quote(value)}" for name, value in plain.items()),
        *(f'export {name}="{value}"' for name, value in late.items()),
    )


def client_exports(settings: RaySettings) -> tuple[str, ...]:
    """Return lines of shell under which Ray's own commands and clients find the cluster, on any of its machines."""
    lines = [FIRST, f"export RAY_ADDRESS={settings.gcs_address}"]
    if settings.token_auth:
        path = f"$HOME/{node_folder(settings.cluster)}/ray-token"
        lines += ["export RAY_AUTH_MODE=token", f'export RAY_AUTH_TOKEN_PATH="{path}"']
    return tuple(lines)


def start_commands(settings: RaySettings, pool: Pool, remote: Remote, *, head: bool) -> tuple[str, ...]:
    """Return the command lines that start a node, in order. They return when it runs."""
    own = remote.head_start if head else remote.worker_start
    sizes = _sizes(pool, sized=head and remote.sized_head)
    mark = f"{mark_node(settings.cluster)}; "
    if own:
        fixed = {"no-monitor": ""} if head else {}
        wishes = Wishes({**fixed, **sizes}, pool_labels(pool), _UNWANTED)
        return tuple(mark + with_wishes(line, wishes) for line in own)
    where = _head_flags(settings) if head else {"address": settings.gcs_address}
    wishes = Wishes({**where, **sizes}, pool_labels(pool))
    start = with_wishes("ray start" + (" --head" if head else ""), wishes)
    late = '--node-name="$RAYFLEET_MACHINE_ID" ${RAYFLEET_ADDRESS:+--node-ip-address=$RAYFLEET_ADDRESS}'
    return (f"{mark}{_OPEN_FILES}; {start} {late}",)


def start_script(settings: RaySettings, pool: Pool, remote: Remote, *, head: bool) -> StartScript:
    """Return the same as one script, for whoever needs nothing else done."""
    lines = (*exports(settings, pool, head=head), *start_commands(settings, pool, remote, head=head))
    return StartScript(("/bin/bash", "-lc", "\n".join(("set -e", *lines))))


def ports(remote: Remote) -> Ports:
    """Return the ports of a head that the user's own commands start; Ray's defaults where they do not say."""
    written = flags_of(remote.head_start)
    names = {"port": 6379, "ray-client-server-port": 10001, "dashboard-port": 8265}
    return Ports(*(int(text) if (text := written.get(name, "")).isdigit() else usual for name, usual in names.items()))


def _head_flags(settings: RaySettings) -> dict[str, str]:
    return {
        "no-monitor": "",
        "port": str(settings.ports.gcs_port),
        "ray-client-server-port": str(settings.ports.client_port),
        "include-dashboard": "true",
        "dashboard-host": settings.dashboard_host,
        "dashboard-port": str(settings.ports.dashboard_port),
    }


def _sizes(pool: Pool, *, sized: bool) -> dict[str, str]:
    """Return what the node offers, as flags. A pool that says nothing has what Ray finds, unless it is `sized`."""
    resources = pool.resources.amounts()
    if not resources and not sized:
        return {}
    found = {"num-cpus": _whole(resources.pop("CPU", 0)), "num-gpus": _whole(resources.pop("GPU", 0))}
    for name, flag in (("memory", "memory"), ("object_store_memory", "object-store-memory")):
        if name in resources:
            found[flag] = _whole(resources.pop(name))
    if resources:
        found["resources"] = json.dumps(resources, separators=(",", ":"))
    return found


def _whole(amount: float) -> str:
    """Round up: Ray's command line takes whole numbers."""
    return str(-int(-amount // 1))
