"""Google's machines in the contract's words. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rayfleet.contracts import Machine, MachineState
from rayfleet.providers.gcp.client import Seen
from rayfleet.providers.gcp.labels import BATCH, HEAD, offer_of, read

_STATES: Final = {
    "PROVISIONING": MachineState.STARTING,
    "STAGING": MachineState.STARTING,
    "PENDING": MachineState.STARTING,
    "PENDING_STOP": MachineState.STOPPING,
    "REPAIRING": MachineState.STARTING,
    "RUNNING": MachineState.RUNNING,
    "STOPPING": MachineState.STOPPING,
    "SUSPENDING": MachineState.STOPPING,
    "DEPROVISIONING": MachineState.STOPPING,
    "TERMINATED": MachineState.STANDBY,
    "SUSPENDED": MachineState.FAILED,
}


def is_leftover(seen: Seen) -> bool:
    """Say whether this is what remains of a spot machine that Google took away: stopped, and never to be started."""
    return seen.spot and seen.status == "TERMINATED"


def machine(seen: Seen) -> Machine:
    """Return the machine. One on demand that is stopped can be started, whoever stopped it."""
    state = _STATES.get(seen.status, MachineState.STARTING)
    unknown = seen.status if seen.status not in _STATES else ""
    return Machine(
        id=seen.name,
        offer=offer_of(seen.labels),
        batch=read(seen.labels, BATCH),
        state=state,
        head=bool(seen.labels.get(HEAD)),
        launched_at=seconds(seen.created),
        address=seen.internal,
        message=seen.message or ("suspended by somebody" if state is MachineState.FAILED else unknown),
        public_address=seen.external,
    )


def seconds(created: str) -> float:
    """Return a time of Google's in seconds since the epoch, 0 when it says none."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0
