"""What the resource group has, now: one list each of machines, states, interfaces and addresses, all pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from rayfleet.contracts import Denied, Gone, Machine, ProviderError
from rayfleet.providers.azure.clients import Clients, Sdk
from rayfleet.providers.azure.listing import (
    Leftover,
    Status,
    Sweep,
    is_made,
    is_ours,
    leftovers,
    loose_disks,
    machines,
    status,
)
from rayfleet.providers.azure.settings import Settings

GRACE_S: Final = 900.0
"""So long may somebody else be at work on a machine that is not there yet; then its parts are leftovers."""
_DISKS_EVERY_S: Final = 600.0
_SWEPT_AT_ONCE: Final = 20
_NO_STATUS_FOR_S: Final = 3600.0


class View:
    """Looks at the resource group, and tidies it."""

    def __init__(self, settings: Settings, cluster: str, clients: Clients, clock: Callable[[], float]) -> None:
        """Take what to look at. `clock`: seconds since the epoch."""
        self._settings = settings
        self._cluster = cluster
        self._clients = clients
        self._clock = clock
        self._next_disks_at = 0.0
        self._next_status_at = 0.0
        self._made: set[str] = set()

    async def machines(self, making: frozenset[str], failed: frozenset[str]) -> tuple[Machine, ...]:
        """Return the cluster's machines in id order; delete what has none any more.

        `making`: machines whose parts may be without them for now; `failed`: those whose parts are left over for sure.

        Raises:
            Flaky, Denied.
        """
        group = self._settings.resource_group
        vms, states, nics, addresses = (
            asyncio.ensure_future(self._all(lambda sdk: sdk.compute.virtual_machines.list(group))),
            asyncio.ensure_future(self._states()),
            asyncio.ensure_future(self._all(lambda sdk: sdk.network.network_interfaces.list(group))),
            asyncio.ensure_future(self._all(lambda sdk: sdk.network.public_ip_addresses.list(group))),
        )
        # All of them end, whatever one of them says: a call left under way would still answer in the next listing.
        await asyncio.gather(vms, states, nics, addresses, return_exceptions=True)
        mine, interfaces, ips = (
            [one for one in some.result() if is_ours(one, self._cluster)] for some in (vms, nics, addresses)
        )
        power, now = states.result(), self._clock()
        found = [*leftovers(Sweep(now, GRACE_S, making, failed), interfaces, ips), *await self._disks(mine, now)]
        await asyncio.gather(*map(self._remove, found[:_SWEPT_AT_ONCE]))
        known = {one["id"].lower(): one["properties"].get("ipAddress") or "" for one in ips}
        self._made = {one["id"].lower() for one in mine if is_made(one) or one["id"].lower() in self._made}
        return machines(mine, power, interfaces, known, self._made)

    async def priorities(self) -> dict[str, str]:
        """Return the priority (Regular, Spot) of each of the cluster's machines, by name."""
        vms = await self._all(lambda sdk: sdk.compute.virtual_machines.list(self._settings.resource_group))
        return {
            vm["name"]: str(vm["properties"].get("priority") or "Regular") for vm in vms if is_ours(vm, self._cluster)
        }

    @property
    def sees_states(self) -> bool:
        """Say whether states could be listed when that was last tried."""
        return self._clock() >= self._next_status_at

    async def _all(self, ask: Callable[[Sdk], Iterable[Any]]) -> list[Any]:
        """Return everything of a list, all its pages; nothing where the group does not exist."""
        try:
            return await self._clients.run(lambda sdk: list(ask(sdk)))
        except Gone:
            return []

    async def _states(self) -> dict[str, Status]:
        """Return how machines stand, by id. Nothing where we may not list the subscription's: it is not vital."""
        now = self._clock()
        if now < self._next_status_at:
            return {}
        try:
            found = await self._all(lambda sdk: sdk.compute.virtual_machines.list_all(status_only="true"))
        except Denied:
            self._next_status_at = now + _NO_STATUS_FOR_S
            return {}
        return {vm["id"].lower(): status(vm) for vm in found}

    async def _disks(self, vms: Sequence[Any], now: float) -> tuple[Leftover, ...]:
        """Return disks without a machine. A machine that could not be made still has its own: rarely looked for."""
        if now < self._next_disks_at:
            return ()
        self._next_disks_at = now + _DISKS_EVERY_S
        group = self._settings.resource_group
        disks = await self._all(lambda sdk: sdk.compute.disks.list_by_resource_group(group))
        return loose_disks([disk for disk in disks if is_ours(disk, self._cluster)], vms, now, GRACE_S)

    async def _remove(self, leftover: Leftover) -> None:
        group = self._settings.resource_group

        def call(sdk: Sdk) -> None:
            calls = {
                "nic": sdk.network.network_interfaces,
                "address": sdk.network.public_ip_addresses,
                "disk": sdk.compute.disks,
            }
            calls[leftover.kind].begin_delete(group, leftover.name, polling=False)

        with suppress(ProviderError):  # it is found again at the next listing
            await self._clients.run(call)
