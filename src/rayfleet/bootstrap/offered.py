"""A provider that is told exactly which offer of a pool a launch is of.

Nodes say where they are and how they were bought by labels. A machine that carries its set-up out itself has to be told
by its user-data, which is made from the request's pool.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from rayfleet.contracts import KeepsStandby, LaunchRequest, Machine, Provider
from rayfleet.model import Market, Offer, OfferKey, Pool, StandbyMode


def narrowed(pool: Pool, key: OfferKey) -> Pool:
    """Return the pool with that one offer, or those of its offers that the key may mean."""
    fitting = tuple(offer for offer in pool.offers if key.covers(offer.key(pool.name)))
    unknown = Offer(market=key.market or Market.ON_DEMAND, zone=key.zone, region=key.region, provider=key.provider)
    return replace(pool, offers=fitting or (unknown,))


class Offered:
    """The contract over another provider; only the requests' pools are changed."""

    def __init__(self, provider: Provider) -> None:
        """Take the provider."""
        self._provider = provider

    @property
    def name(self) -> str:
        """Return the provider's own name."""
        return self._provider.name

    @property
    def list_interval_s(self) -> float:
        """Return the provider's own interval, in seconds."""
        return self._provider.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Pass on."""
        return await self._provider.list()

    async def launch(self, request: LaunchRequest) -> None:
        """Pass on, with the pool of the offer."""
        await self._provider.launch(_exact(request))

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Pass on."""
        await self._provider.release(machine_ids)

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Pass on, with the pool of the offer."""
        await cast("KeepsStandby", self._provider).prepare(_exact(request), mode)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        """Pass on."""
        await cast("KeepsStandby", self._provider).stop(machine_ids, mode)

    async def start(self, request: LaunchRequest) -> None:
        """Pass on, with the pool of the offer."""
        await cast("KeepsStandby", self._provider).start(_exact(request))

    async def close(self) -> None:
        """Pass on."""
        await self._provider.close()


def _exact(request: LaunchRequest) -> LaunchRequest:
    return replace(request, pool=narrowed(request.pool, request.offer))
