"""What Azure's lists say of a cluster: its machines, and what has none any more. Pure.

The clients' values are read by the names that they have on the wire, which is several times as fast as by attributes.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rayfleet.contracts import Machine, MachineState
from rayfleet.model import Trouble
from rayfleet.providers.azure.errors import trouble_of
from rayfleet.providers.azure.names import BATCH, CLUSTER, HEAD, MACHINE, MADE, nic_name, offer_of

_POWER: Final = {
    "starting": MachineState.STARTING,
    "running": MachineState.RUNNING,
    "stopping": MachineState.STOPPING,
    "deallocating": MachineState.STOPPING,
    "stopped": MachineState.FAILED,
    "deallocated": MachineState.FAILED,
}
_PROVISIONING: Final = {
    "Creating": MachineState.STARTING,
    "Updating": MachineState.RUNNING,
    "Succeeded": MachineState.RUNNING,
    "Deleting": MachineState.STOPPING,
    "Failed": MachineState.FAILED,
    "Canceled": MachineState.FAILED,
}
"""`Failed` is said of a machine that was never made, and of one that runs and whose latest change has failed: it is on
(or off) then, which the other has never been."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a machine stands: `power` (running, deallocated, ...), and why its making failed."""

    power: str = ""
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something without a machine. `kind`: nic, address or disk."""

    kind: str
    name: str


def is_ours(resource: Any, cluster: str) -> bool:
    """Say whether a resource carries the cluster's tag."""
    return bool((resource.get("tags") or {}).get(CLUSTER) == cluster)


def status(vm: Any) -> Status:
    """Read the instance view of one machine of a list with statuses."""
    power, code, message = "", "", ""
    view = (vm.get("properties") or {}).get("instanceView") or {}
    for one in view.get("statuses") or ():
        kind, _, rest = str(one["code"]).partition("/")
        if kind == "PowerState":
            power = rest
        elif kind == "ProvisioningState" and rest.startswith("failed"):
            code, message = rest.partition("/")[2], str(one.get("message") or "")
    return Status(power, code, message)


def machines(
    vms: Iterable[Any],
    statuses: Mapping[str, Status],
    nics: Iterable[Any],
    addresses: Mapping[str, str],
    made: Container[str] = (),
) -> tuple[Machine, ...]:
    """Return the machines in id order.

    `statuses` by lower-case id; `addresses`: public ones by lower-case id; `made`: lower-case ids of machines that were
    seen as made before, whatever has failed with them since.
    """
    where = dict(_places(nics, addresses))
    found = []
    for vm in vms:
        key = vm["id"].lower()
        at = statuses.get(key, Status())
        state = _state(vm["properties"].get("provisioningState"), at, made=key in made)
        found.append(_machine(vm, state, at, *where.get(key, ("", ""))))
    return tuple(sorted(found, key=lambda machine: machine.id))


def is_made(vm: Any) -> bool:
    """Say whether a machine is seen as made."""
    return vm["properties"].get("provisioningState") in ("Succeeded", "Updating")


def _state(provisioning: str | None, at: Status, *, made: bool) -> MachineState:
    state = _PROVISIONING.get(provisioning or "", MachineState.STARTING)
    if state is MachineState.FAILED and (at.power or made):
        state = MachineState.RUNNING
    return _POWER.get(at.power, state) if state is MachineState.RUNNING else state


def _places(nics: Iterable[Any], addresses: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield a machine's id and its addresses, private and public."""
    for nic in nics:
        owner, parts = nic["properties"].get("virtualMachine"), nic["properties"].get("ipConfigurations")
        if not owner or not parts:
            continue
        inner = parts[0]["properties"]
        public = (inner.get("publicIPAddress") or {"id": ""})["id"].lower()
        yield owner["id"].lower(), (inner.get("privateIPAddress") or "", addresses.get(public, ""))


def _machine(vm: Any, state: MachineState, at: Status, private: str, public: str) -> Machine:
    tags, properties = vm.get("tags") or {}, vm["properties"]
    message, trouble = "", None
    if at.power == "deallocated" and state is MachineState.FAILED and properties.get("priority") != "Spot":
        state = MachineState.STANDBY
    if state is MachineState.FAILED:
        message, trouble = _why(at)
    return Machine(
        id=vm["name"],
        offer=offer_of(tags),
        batch=tags.get(BATCH, ""),
        state=state,
        head=bool(tags.get(HEAD)),
        launched_at=_seconds(properties.get("timeCreated")),
        address=private,
        message=message,
        trouble=trouble,
        public_address=public,
    )


def _seconds(time: str | None) -> float:
    """Return a time of Azure's as seconds since the epoch, 0 when there is none."""
    return datetime.fromisoformat(time).timestamp() if time else 0.0


def _why(at: Status) -> tuple[str, Trouble | None]:
    if at.code and not at.power:
        return f"{at.code}: {at.message}", trouble_of(at.code, at.message)
    if at.power:
        return f"{at.power}: evicted, or stopped by somebody", None
    return "Azure could not make it", None


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is a leftover by now.

    Not so: what was made less than `grace_s` before `now`, unless its machine is in `failed`; and all in `making`.
    """

    now: float
    grace_s: float
    making: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    def due(self, resource: Any) -> bool:
        """Say whether a resource is old enough."""
        tags = resource.get("tags") or {}
        owner = tags.get(MACHINE, "")
        if not owner or owner in self.making:
            return False
        made = tags.get(MADE, "")
        return owner in self.failed or (made.isdecimal() and float(made) + self.grace_s < self.now)


def leftovers(sweep: Sweep, nics: Iterable[Any], addresses: Iterable[Any]) -> tuple[Leftover, ...]:
    """Return network interfaces without a machine, and addresses without an interface (those in use are for later)."""
    interfaces = list(nics)
    present = {nic["name"] for nic in interfaces}
    loose = [nic for nic in interfaces if not nic["properties"].get("virtualMachine") and sweep.due(nic)]
    free = [one for one in addresses if sweep.due(one) and nic_name(one["tags"][MACHINE]) not in present]
    return (*(Leftover("nic", nic["name"]) for nic in loose), *(Leftover("address", one["name"]) for one in free))


def loose_disks(disks: Iterable[Any], vms: Iterable[Any], now: float, grace_s: float) -> tuple[Leftover, ...]:
    """Return disks that no machine has any more; Azure gives a machine's tags to its disks."""
    present = {vm["name"] for vm in vms}
    found = []
    for disk in disks:
        made = _seconds((disk.get("properties") or {}).get("timeCreated"))
        if not disk.get("managedBy") and 0 < made < now - grace_s and disk["name"].rpartition("-")[0] not in present:
            found.append(Leftover("disk", disk["name"]))
    return tuple(found)
