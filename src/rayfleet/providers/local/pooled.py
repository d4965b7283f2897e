"""Hosts of a shared pool, which a coordinator hands out.

    take --> promised to us --> lease on the host --> a machine that runs
                  |                    |
                  '----- give back <---'       (the lease first, then the promise)

So nothing has a lease of ours that was not promised before, and what was promised and never leased is listed and
given back like any machine: a launcher that dies between the two leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable
from typing import Any

from pydantic import ValidationError

from rayfleet.contracts import Denied, Flaky, LaunchRequest
from rayfleet.model import Market, OfferKey
from rayfleet.providers.local.hosts import Promised, Reserved, new_sign
from rayfleet.providers.local.lease import Lease
from rayfleet.providers.local.settings import HostForm
from rayfleet.wire.coordinator.client import Coordinator, CoordinatorError, CoordinatorRefuses
from rayfleet.wire.coordinator.terms import Adopt, Grant, PoolHost, Return, Take, holders


class PooledHosts:
    """The hosts that a coordinator has; the newest answer is kept.

    While it does not answer, who has heard from it goes on with that: nobody else launches for this cluster. Who has
    not yet concludes nothing.
    """

    def __init__(self, cluster: str, coordinator: Coordinator) -> None:
        """Take who asks, and whom. Nothing is asked yet."""
        self._cluster = cluster
        self._coordinator = coordinator
        self._pool: dict[str, PoolHost] | None = None

    @property
    def place(self) -> str:
        """Return whose hosts they are."""
        return f"the coordinator at {self._coordinator.name}"

    async def ours(self, known: Iterable[str]) -> tuple[HostForm, ...]:
        """Return those that are promised to us, and those that had a lease of ours."""
        try:
            pool = await self._asked(self._coordinator.hosts())
        except Flaky:
            if self._pool is None:
                raise
            pool = self._pool
        forms = [_form(host) for host in pool.values() if host.is_of(self._cluster) or host.address in known]
        return (*forms, *(HostForm(address=address) for address in known if address not in pool))

    async def all(self) -> tuple[HostForm, ...]:
        """Return the pool."""
        return tuple(_form(host) for host in (await self._asked(self._coordinator.hosts())).values())

    def promised(self, address: str) -> Promised | None:
        """Return what is promised to us at an address."""
        host = (self._pool or {}).get(address)
        if host is None or host.grant is None or not host.is_of(self._cluster):
            return None
        return _promised(address, host.grant)

    async def reserve(
        self, request: LaunchRequest, count: int, order: tuple[HostForm, ...]
    ) -> tuple[tuple[Reserved, ...], str]:
        """Have hosts promised to us, beside those that were under the same batch."""
        addresses = tuple(host.address for host in order)
        before = [host for host in (self._pool or {}).values() if self._of(host, request.batch)]
        others = sum(host.address not in addresses for host in before)
        wish = Take(self._cluster, request.batch, others + count, addresses, new_sign(), _about(request))
        pool = await self._asked(self._coordinator.take(wish))
        found = [
            Reserved(_form(host), _machine_id(host.address, host.grant))
            for host in pool.values()
            if host.grant is not None and host.address in addresses and self._of(host, request.batch)
        ]
        return tuple(found[:count]), holders(pool.values())

    async def drop(self, address: str, machine_id: str, note: str = "") -> None:
        """Give a host back."""
        sign = machine_id.rpartition("-")[2]
        await self._asked(self._coordinator.give_back(Return(self._cluster, address, sign, note)))

    async def confirm(self, address: str, lease: Lease) -> None:
        """Tell the coordinator of a lease of ours that it does not know; it may have lost its file."""
        if self.promised(address) is not None or address not in (self._pool or {}):
            return
        about = _about_of(lease.offer, head=lease.head)
        sign = lease.id.rpartition("-")[2]
        own = Adopt(self._cluster, address, lease.batch, sign, about, lease.since)
        await self._asked(self._coordinator.adopt(own))

    async def close(self) -> None:
        """Let go of connections."""
        await self._coordinator.close()

    def _of(self, host: PoolHost, batch: str) -> bool:
        return host.is_of(self._cluster) and host.grant is not None and host.grant.token == batch

    async def _asked(self, call: Awaitable[tuple[PoolHost, ...]]) -> dict[str, PoolHost]:
        try:
            self._pool = {host.address: host for host in await call}
        except CoordinatorRefuses as error:
            raise Denied(str(error)) from error
        except CoordinatorError as error:
            raise Flaky(str(error)) from error
        return self._pool


def _form(host: PoolHost) -> HostForm:
    """Return a host as the coordinator has it; of what only a newer one says, the address is enough."""
    try:
        return HostForm.model_validate(host.form)
    except ValidationError:
        return HostForm(address=host.address)


def _machine_id(address: str, grant: Grant) -> str:
    return f"{address}-{grant.sign}"


def _about(request: LaunchRequest) -> str:
    return _about_of(request.offer, head=request.head)


def _about_of(offer: OfferKey, *, head: bool) -> str:
    market = str(offer.market) if offer.market else None
    return json.dumps({"offer": [offer.pool, offer.provider, offer.region, offer.zone, market], "head": head})


def _promised(address: str, grant: Grant) -> Promised:
    try:
        told: dict[str, Any] = json.loads(grant.about)
        pool, provider, region, zone, market = told["offer"]
        offer, head = OfferKey(pool, provider, region, zone, Market(market) if market else None), bool(told["head"])
    except (ValueError, KeyError, TypeError):
        offer, head = OfferKey(""), False  # of another rayfleet: it can still be given back
    return Promised(_machine_id(address, grant), grant.token, offer, head, grant.since, grant.sign)
