"""From a row of DescribeInstances to a Machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rayfleet.contracts import Machine, MachineState
from rayfleet.model import OfferKey
from rayfleet.providers.aws.errors import trouble_of
from rayfleet.providers.aws.order import BATCH_TAG, HEAD_TAG, OFFER_TAG, POOL_TAG, WAITS_TAG, offer_from_tag

SPOT_NOTICE_S: Final = 120.0
"""So long after its notice the cloud takes a spot instance."""

_STATES: Final = {
    "pending": MachineState.STARTING,
    "running": MachineState.RUNNING,
    "shutting-down": MachineState.STOPPING,
    "stopping": MachineState.STOPPING,
    "stopped": MachineState.STANDBY,
}
_NEVER_STARTED: Final = frozenset({
    "Server.InsufficientInstanceCapacity", "Server.InternalError", "Client.InternalError",
    "Client.InvalidSnapshot.NotFound", "Client.VolumeLimitExceeded",
})  # fmt: skip
"""Reasons of the cloud's own. An instance that ends so right after its launch has never worked."""


def tags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return an instance's tags."""
    return {tag["Key"]: tag.get("Value", "") for tag in row.get("Tags", ())}


def machine_of(row: Mapping[str, Any], *, needs_public: bool, notices: Mapping[str, float]) -> Machine | None:
    """Return an instance as the contract has it; None when it is gone.

    `needs_public`: a head is not ready without a public address, for it is reached from elsewhere. `notices`: when
    spot instances are taken away, by id.
    """
    state, tags = row["State"]["Name"], tags_of(row)
    reason = row.get("StateReason", {}).get("Code", "")
    failed = reason in _NEVER_STARTED
    if state == "terminated" and not failed:
        return None
    address, public = row.get("PrivateIpAddress", ""), row.get("PublicIpAddress", "")
    found = MachineState.FAILED if failed else _STATES.get(state, MachineState.STARTING)
    head = bool(tags.get(HEAD_TAG))
    if found is MachineState.RUNNING and not (address and (public or not (needs_public and head))):
        found = MachineState.STARTING  # a running instance without an address cannot be used yet
    launched = row.get("LaunchTime")
    return Machine(
        id=row["InstanceId"],
        offer=offer_from_tag(tags[OFFER_TAG]) if OFFER_TAG in tags else OfferKey(tags.get(POOL_TAG, "")),
        batch=tags.get(BATCH_TAG, ""),
        state=found,
        head=head,
        launched_at=launched.timestamp() if launched else 0.0,
        address=address,
        interrupt_at=notices.get(row["InstanceId"]),
        message=row["StateReason"].get("Message", reason) if failed else "",
        trouble=trouble_of(reason) if failed else None,
        public_address=public,
    )


def waits(row: Mapping[str, Any]) -> bool:
    """Say whether an instance is to be stopped as soon as it can be."""
    return row["State"]["Name"] == "running" and tags_of(row).get(WAITS_TAG) == "yes"
