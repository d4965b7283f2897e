"""Names and tags of what belongs to a cluster. A call repeated finds its own names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from rayfleet.contracts import LaunchRequest
from rayfleet.model import Market, OfferKey

CLUSTER: Final = "rayfleet-cluster"
BATCH: Final = "rayfleet-batch"
POOL: Final = "rayfleet-pool"
HEAD: Final = "rayfleet-head"
OFFER: Final = "rayfleet-offer"
MACHINE: Final = "rayfleet-machine"
"""On network interfaces and addresses: whose they are."""
MADE: Final = "rayfleet-made"
"""On those, too: when, seconds since the epoch."""

_SLUG_LETTERS: Final = 24


def slug(cluster: str) -> str:
    """Return the cluster's name as it may be part of a resource's."""
    return re.sub(r"[^a-z0-9]+", "-", cluster.lower()).strip("-")[:_SLUG_LETTERS].strip("-") or "cluster"


def digest(*parts: object, letters: int = 16) -> str:
    """Return letters and digits that follow from the parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:letters]


def machine_names(cluster: str, request: LaunchRequest) -> tuple[str, ...]:
    """Return a name for each claim and host of a request; the same ones for the same batch."""
    return tuple(
        f"ray-{slug(cluster)}-{digest(cluster, request.batch, claim, host)}"
        for claim in request.claims
        for host in range(request.hosts)
    )


def nic_name(machine: str) -> str:
    """Return the name of a machine's network interface."""
    return f"{machine}-nic"


def address_name(machine: str) -> str:
    """Return the name of a machine's public address."""
    return f"{machine}-ip"


def machine_tags(cluster: str, request: LaunchRequest) -> dict[str, str]:
    """Return our tags of a machine."""
    offer = request.offer
    key = [offer.pool, offer.provider, offer.region, offer.zone, offer.market]
    return {
        CLUSTER: cluster,
        BATCH: request.batch,
        POOL: request.pool.name,
        HEAD: "yes" if request.head else "",
        OFFER: json.dumps(key, separators=(",", ":")),
    }


def part_tags(cluster: str, machine: str, now: float) -> dict[str, str]:
    """Return our tags of what a machine consists of."""
    return {CLUSTER: cluster, MACHINE: machine, MADE: str(int(now))}


def offer_of(tags: Mapping[str, str]) -> OfferKey:
    """Return the offer that a machine was made for; only its pool where the tag cannot be read."""
    try:
        pool, provider, region, zone, market = json.loads(tags.get(OFFER, ""))
        return OfferKey(pool, provider, region, zone, Market(market) if market else None)
    except ValueError:
        return OfferKey(tags.get(POOL, ""))
