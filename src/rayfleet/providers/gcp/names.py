"""Names and tokens that follow from what is asked for, so that asking again makes nothing twice."""

from __future__ import annotations

import uuid
from typing import Final

from rayfleet.contracts import LaunchRequest
from rayfleet.providers.gcp.labels import digest, slug

_SPACE: Final = uuid.UUID("6c9ed3f5-2f1c-5d0e-9a54-5a5cf7e3c1d8")
_CLUSTER_CHARACTERS: Final = 20
_POOL_CHARACTERS: Final = 18


def machine_names(cluster: str, request: LaunchRequest) -> tuple[str, ...]:
    """Return the names of all machines of a launch: at most 63 characters, as Google wants them.

    The batch's digest makes them its own: no other batch ever uses them, so that no name returns.
    """
    pool = slug(request.offer.pool)[:_POOL_CHARACTERS].rstrip("-")
    start = f"{slug(cluster)[:_CLUSTER_CHARACTERS].rstrip('-')}-{pool}-{digest(cluster, request.batch)}"
    return tuple(f"{start}-{number:04d}" for number in range(len(request.claims) * request.hosts))


def token(*parts: str) -> str:
    """Return the `requestId` of a call that is to be done once."""
    return str(uuid.uuid5(_SPACE, "\0".join(parts)))
