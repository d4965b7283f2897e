"""Machines as the cloud describes them -> machines of the contract. All that we know of one is in its tags. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rayfleet.contracts import Denied, LaunchRequest, Machine, MachineState
from rayfleet.model import Market, OfferKey

CLUSTER_TAG: Final = "rayfleet-cluster"
BATCH_TAG: Final = "rayfleet-batch"
POOL_TAG: Final = "rayfleet-pool"
OFFER_TAG: Final = "rayfleet-offer"
HEAD_TAG: Final = "rayfleet-head"
WISH_TAG: Final = "rayfleet-wish"
"""What is wanted of a machine that could not be had at once: REST (be stopped), GO (be released), "" (run)."""
STARTS_TAG: Final = "rayfleet-starts"
"""The batches that started it again lately, as short hashes: a late repetition of one starts nothing."""
REST: Final = "rest"
GO: Final = "go"

TAG_CHARACTERS_MAX: Final = 128
STARTS_KEPT: Final = 12
RECYCLING: Final = "Recycling"
SETTLING_S: Final = 600.0
"""A machine that was just made may be Stopped for a moment before it starts."""


@dataclass(frozen=True, slots=True)
class Described:
    """What is used of one row of DescribeInstances. `created`: seconds since the epoch, to the minute."""

    id: str
    status: str
    tags: Mapping[str, str]
    internal: str
    public: str
    created: float
    recycled: bool

    @property
    def batch(self) -> str:
        """Return the launch that made it."""
        return self.tags.get(BATCH_TAG, "")

    @property
    def wish(self) -> str:
        """Return what is wanted of it."""
        return self.tags.get(WISH_TAG, "")

    @property
    def starts(self) -> tuple[str, ...]:
        """Return the hashes of the batches that started it again, oldest first."""
        return tuple(self.tags.get(STARTS_TAG, "").split())


def described(row: Mapping[str, Any]) -> Described:
    """Return what matters of a row."""
    tags = {tag["TagKey"]: tag.get("TagValue") or "" for tag in _inner(row, "Tags", "Tag")}
    network = row.get("VpcAttributes") or {}
    internal = _inner(network, "PrivateIpAddress", "IpAddress")
    elastic = (row.get("EipAddress") or {}).get("IpAddress")
    public = [*_inner(row, "PublicIpAddress", "IpAddress"), *([elastic] if elastic else [])]
    locks = {lock.get("LockReason") for lock in _inner(row, "OperationLocks", "LockReason")}
    return Described(
        id=row["InstanceId"],
        status=row.get("Status") or "",
        tags=tags,
        internal=internal[0] if internal else "",
        public=public[0] if public else "",
        created=_seconds(row.get("CreationTime") or ""),
        recycled=RECYCLING in locks,
    )


def machine(seen: Described, now: float, interrupt_at: float | None) -> Machine:
    """Return the contract's machine. `interrupt_at`: when it will be taken away, as far as can be said."""
    state, message = _state(seen, now)
    return Machine(
        id=seen.id,
        offer=offer_of(seen.tags),
        batch=seen.batch,
        state=state,
        head=bool(seen.tags.get(HEAD_TAG)),
        launched_at=seen.created,
        address=seen.internal,
        interrupt_at=interrupt_at,
        message=message,
        public_address=seen.public,
    )


def tags_of(request: LaunchRequest, cluster: str, wish: str = "") -> list[dict[str, str]]:
    """Return the tags of a new machine.

    Raises:
        Denied: a value is longer than the cloud takes.
    """
    offer = request.offer
    parts = (offer.provider, offer.region, offer.zone, offer.market.value if offer.market else None)
    tags = {
        CLUSTER_TAG: cluster,
        BATCH_TAG: request.batch,
        POOL_TAG: offer.pool,
        OFFER_TAG: "/".join(part or "" for part in parts),
        HEAD_TAG: "yes" if request.head else "",
        WISH_TAG: wish,
        "Name": f"{cluster}-{'head' if request.head else offer.pool}"[:TAG_CHARACTERS_MAX],
    }
    for name, value in tags.items():
        if len(value) > TAG_CHARACTERS_MAX:
            raise Denied(f"{name} {value} is too long: a tag has {TAG_CHARACTERS_MAX} characters at most here")
    return tag_list(tags)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as the API takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def offer_of(tags: Mapping[str, str]) -> OfferKey:
    """Return the offer that a machine was made from."""
    provider, region, zone, market = (*tags.get(OFFER_TAG, "").split("/"), "", "", "", "")[:4]
    known = Market(market) if market in set(Market) else None
    return OfferKey(tags.get(POOL_TAG, ""), provider or None, region or None, zone or None, known)


def short(batch: str) -> str:
    """Return a batch as it stands among a machine's starts."""
    return hashlib.sha256(batch.encode()).hexdigest()[:8]


def started_by(seen: Described, batch: str) -> str:
    """Return the tag that says that this batch started it too."""
    kept = [start for start in seen.starts if start != short(batch)]
    return " ".join([*kept, short(batch)][-STARTS_KEPT:])


def _state(seen: Described, now: float) -> tuple[MachineState, str]:
    if seen.wish == GO or seen.status == "Stopping":
        return MachineState.STOPPING, ""
    if seen.status == "Running":
        return (MachineState.STOPPING if seen.wish == REST else MachineState.RUNNING), ""
    if seen.status == "Stopped":
        return _stopped(seen, now)
    return MachineState.STARTING, "" if seen.status in ("Pending", "Starting") else seen.status


def _stopped(seen: Described, now: float) -> tuple[MachineState, str]:
    if seen.wish == REST:
        return MachineState.STANDBY, ""
    if seen.starts or now < seen.created + SETTLING_S:
        return MachineState.STARTING, ""
    return MachineState.FAILED, "it is Stopped, and not by rayfleet"


def _seconds(text: str) -> float:
    """Read a time such as 2026-11-23T01:00Z; 0.0 when it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError:
        return 0.0


def _inner(row: Mapping[str, Any], outer: str, inner: str) -> list[Any]:
    return list((row.get(outer) or {}).get(inner) or ())
