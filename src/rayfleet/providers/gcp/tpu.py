"""TPU VMs: one request makes a slice of one or more hosts, which live and die together. Pure.

A slice is a replica, and each of its hosts is a machine: `NAME-w0`, `NAME-w1` and so on.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from rayfleet.contracts import Denied, Machine, MachineState, TypeConfig
from rayfleet.model import Market
from rayfleet.providers.gcp.bodies import NETWORK_TAG, Wanted
from rayfleet.providers.gcp.client import Slice
from rayfleet.providers.gcp.labels import BATCH, offer_of, read
from rayfleet.providers.gcp.listing import seconds

HOSTS: Final = "rayfleet-hosts"
"""The label that says how many hosts a slice has: Google lists their addresses only once they are there."""

_CHIPS_PER_HOST: Final = 4
_CHIPS_ALONE: Final = 8
"""A single host of v5e or v6e may have as many chips; those of larger slices have four."""
_CORES_PER_CHIP: Final = 2
_COUNTS_CORES: Final = ("v2", "v3", "v4", "v5p")
_TYPE: Final = re.compile(r"(v\d+[a-z]*)-(\d+)")
_GONE: Final = ("PREEMPTED", "TERMINATED", "HIDDEN", "HIDING")
_STATES: Final = {
    "READY": MachineState.RUNNING,
    "DELETING": MachineState.STOPPING,
    "STOPPING": MachineState.STOPPING,
    "STOPPED": MachineState.FAILED,
}
_NOT_FOR_TPU: Final = (
    "machineType", "disks", "networkInterfaces", "serviceAccounts", "scheduling", "guestAccelerators", "metadata",
    "tags",
)  # fmt: skip


def hosts(config: TypeConfig) -> int:
    """Return how many hosts a slice has.

    Raises:
        Denied: nothing says what it is.
    """
    node = config.node_config
    if topology := node.get("acceleratorConfig"):
        sizes = str(topology.get("topology", "")).split("x")
        if not all(size.isdigit() for size in sizes):
            raise Denied(f"node_config.acceleratorConfig.topology must be such as 2x2x1; it is {topology!r}")
        chips, kind = 1, str(topology.get("type", "")).lower()
        for size in sizes:
            chips *= int(size)
    else:
        found = _TYPE.fullmatch(str(node.get("acceleratorType", "")))
        if found is None:
            raise Denied(f"node_config.acceleratorType must be such as v4-8; it is {node.get('acceleratorType')!r}")
        kind, count = found[1], int(found[2])
        chips = count // _CORES_PER_CHIP if kind in _COUNTS_CORES else count
    if kind not in _COUNTS_CORES and chips <= _CHIPS_ALONE:
        return 1
    return max(1, -(-chips // _CHIPS_PER_HOST))


def node(config: TypeConfig, wanted: Wanted, count: int) -> dict[str, Any]:
    """Return the body of a `create`. `count`: hosts."""
    body = {key: copy.deepcopy(value) for key, value in config.node_config.items() if key not in _NOT_FOR_TPU}
    body["labels"] = {**(body.get("labels") or {}), **wanted.labels, HOSTS: str(count)}
    body["metadata"] = {**_flat(config.node_config.get("metadata") or {}), **wanted.metadata}
    theirs = config.node_config.get("tags") or []
    items = theirs.get("items", []) if isinstance(theirs, Mapping) else theirs
    body["tags"] = sorted({*items, *((NETWORK_TAG,) if wanted.subnetwork else ())})
    network = {"subnetwork": wanted.subnetwork} if wanted.subnetwork else {}
    body["networkConfig"] = {"enableExternalIps": True, **network, **(body.get("networkConfig") or {})}
    for account in (config.node_config.get("serviceAccounts") or [])[:1]:
        body["serviceAccount"] = {"email": account.get("email", ""), "scope": list(account.get("scopes", ()))}
    scheduling = body.get("schedulingConfig") or {}
    spot = scheduling.get("preemptible") or scheduling.get("spot")
    if wanted.market is Market.SPOT and not spot:
        body["schedulingConfig"] = {**scheduling, "spot": True}
    elif wanted.market is Market.ON_DEMAND and spot:
        body["schedulingConfig"] = {key: on for key, on in scheduling.items() if key not in {"preemptible", "spot"}}
    return body


def is_leftover(seen: Slice) -> bool:
    """Say whether this is what remains of a slice that Google took away."""
    return seen.state in _GONE


def machine_ids(name: str, count: int) -> tuple[str, ...]:
    """Return the ids of a slice's hosts."""
    return tuple(f"{name}-w{number}" for number in range(count))


def machines(seen: Slice) -> tuple[Machine, ...]:
    """Return the hosts of a slice."""
    count = int(seen.labels.get(HOSTS) or len(seen.addresses) or 1)
    addresses = [*seen.addresses, *([("", "")] * count)]
    return tuple(
        Machine(
            id=name,
            offer=offer_of(seen.labels),
            batch=read(seen.labels, BATCH),
            state=_STATES.get(seen.state, MachineState.STARTING),
            launched_at=seconds(seen.created),
            address=inner,
            message=seen.message,
            replica=seen.name,
            public_address=outer,
        )
        for name, (inner, outer) in zip(machine_ids(seen.name, count), addresses, strict=False)
    )


def _flat(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return metadata as TPUs have it, a mapping; machines have a list of items."""
    if "items" in metadata:
        return {str(item.get("key")): str(item.get("value", "")) for item in metadata["items"]}
    return {str(key): str(value) for key, value in metadata.items()}
