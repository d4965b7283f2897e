"""What people ask a running coordinator: who has which host, and to take one back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from rayfleet.launcher.coordinator.running import token_here
from rayfleet.launcher.coordinator.store import Store, default_folder
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.providers.local.lease import PATH
from rayfleet.wire.coordinator.client import Coordinator, CoordinatorError, CoordinatorRefuses, HttpCoordinator
from rayfleet.wire.coordinator.terms import PORT, PoolHost

ADDRESS_VARIABLE: Final = "RAYFLEET_COORDINATOR"
"""The environment variable that has the address of the coordinator which people's commands ask."""


def reached(address: str, token_file: Path | None) -> Coordinator:
    """Return the coordinator at an address; "": the one that the environment names, else one on this machine.

    Raises:
        LauncherError: its token cannot be read.
    """
    named = address or os.environ.get(ADDRESS_VARIABLE, "") or f"127.0.0.1:{PORT}"
    return HttpCoordinator(named, token_here(Store(default_folder()), token_file), time.time)


async def hosts(coordinator: Coordinator) -> tuple[PoolHost, ...]:
    """Return the pool.

    Raises:
        LauncherError: it does not answer, or does not let us in.
    """
    try:
        return await coordinator.hosts()
    except CoordinatorError as error:
        raise _told(error) from error


async def held(coordinator: Coordinator, address: str) -> PoolHost:
    """Return a host of the pool.

    Raises:
        LauncherError: there is none of that name; or as `hosts`.
    """
    pool = {host.address: host for host in await hosts(coordinator)}
    if address not in pool:
        raise LauncherError(f"there is no host {address} in the pool", f"there are {', '.join(pool)}")
    return pool[address]


async def free(coordinator: Coordinator, address: str) -> None:
    """Take a host back from whoever has it.

    Raises:
        LauncherError: as `hosts`.
    """
    try:
        await coordinator.free(address)
    except CoordinatorError as error:
        raise _told(error) from error


def consequences(host: PoolHost) -> str:
    """Return what it means to take a host back, for people."""
    if host.grant is None:
        return f"{host.address} is free already"
    return (
        f"{host.address} is held by cluster {host.grant.cluster}. Only the coordinator's books are changed: what runs "
        f"on the host goes on, and its lease stays. When that cluster is gone, end its processes there and remove "
        f"{PATH}; until then no other cluster can take the host."
    )


def as_json(host: PoolHost, now: float) -> dict[str, Any]:
    """Return a host for programs: its form, who has it and since when (seconds since the epoch; and for how long)."""
    grant = host.grant
    return {
        **host.form,
        "cluster": grant.cluster if grant else None,
        "since": grant.since if grant else None,
        "held_s": round(max(0.0, now - grant.since), 1) if grant else None,
        "machine": f"{host.address}-{grant.sign}" if grant else None,
        "listed": host.listed,
        "note": host.note,
    }


def _told(error: CoordinatorError) -> LauncherError:
    if isinstance(error, CoordinatorRefuses):
        return LauncherError(str(error))
    return NotRunning(str(error), "is it running? --address names another; rayfleet coordinator --help")
