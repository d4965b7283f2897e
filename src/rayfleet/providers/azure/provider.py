"""The calls of the contract over Azure's clients: machines are virtual machines of the resource group with our tag."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from azure.core.exceptions import HttpResponseError

from rayfleet.contracts import (
    Denied,
    Flaky,
    Gone,
    LaunchRequest,
    Machine,
    ProviderContext,
    ProviderError,
    StartScript,
    TypeConfig,
)
from rayfleet.model import Market, StandbyMode, Trouble
from rayfleet.providers.azure.catalogue import zones_for
from rayfleet.providers.azure.clients import Clients, Sdk
from rayfleet.providers.azure.keys import throwaway_key
from rayfleet.providers.azure.machines import HalfMade, Order, create
from rayfleet.providers.azure.made import Made
from rayfleet.providers.azure.names import machine_names, machine_tags, part_tags
from rayfleet.providers.azure.network import Setup, Shared
from rayfleet.providers.azure.node_config import arm_parameters
from rayfleet.providers.azure.node_config import tags as own_tags
from rayfleet.providers.azure.resting import OWN_NAME, Resting, first_boot, raise_unexpected
from rayfleet.providers.azure.settings import Settings
from rayfleet.providers.azure.view import View
from rayfleet.providers.azure.virtual_machine import own_words
from rayfleet.wire.user_data import user_data

_STOPS: Final = (Trouble.DENIED, Trouble.QUOTA_REACHED, Trouble.OUT_OF_STOCK)
"""Worst first. After one of them no more of the same batch is asked for."""


class AzureProvider:
    """Machines in one resource group that carry this cluster's tag."""

    def __init__(self, context: ProviderContext, clock: Callable[[], float] = time.time) -> None:
        """Take what the cluster is. No call is made yet. `clock`: seconds since the epoch."""
        self._context = context
        self._settings: Settings = context.settings
        self._clock = clock
        self._clients = Clients(self._settings)
        self._made = Made(context.state_dir)
        self._view = View(self._settings, context.cluster, self._clients, clock)
        self._resting = Resting(self._settings, self._clients, self._view, self._made)
        self._setup = Setup(self._settings, context.cluster)
        self._shared: Shared | None = None
        self._shared_lock = asyncio.Lock()
        self._batches: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._making: set[str] = set()
        self._failed: set[str] = set()

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "azure"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return self._settings.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Return the group's machines with our tag. What has no machine any more is taken away by the way."""
        return await self._view.machines(frozenset(self._making), frozenset(self._failed))

    async def launch(self, request: LaunchRequest) -> None:
        """Make a machine for each claim and host, under names that follow from the batch."""
        await self._launch(request, self._context.start_script(request.pool, request.head))

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make machines that start nothing, and stop each of them once. What is cut off in between runs idle."""
        if self._spot(request):
            raise Denied("spot machines cannot wait on standby: Azure takes them away")
        await self._launch(request, StartScript(()))
        marks = {f"prepared/{name}": name for name in machine_names(self._context.cluster, request)}
        new = await asyncio.to_thread(self._made.missing, marks)
        await self.stop(tuple(marks[mark] for mark in new), mode)
        await asyncio.to_thread(self._made.add, new)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Deallocate machines: their disks stay."""
        await self._resting.stop(machine_ids)

    async def start(self, request: LaunchRequest) -> None:
        """Start machines that wait, with the script of now; the same batch does it once."""
        script = self._context.start_script(request.pool, request.head)
        async with self._batches.setdefault(f"start/{request.batch}", asyncio.Lock()):
            # Their names are their ids, and each finds its own with the metadata service.
            await self._resting.start(request, self._user_data(script, OWN_NAME, self._user(request)))

    async def _launch(self, request: LaunchRequest, script: StartScript) -> None:
        lock = self._batches.setdefault(request.batch, asyncio.Lock())
        async with lock:
            wanted = machine_names(self._context.cluster, request)
            missing = await asyncio.to_thread(self._made.missing, wanted)
            if not missing:
                return
            orders = await self._orders(request, script, {name: wanted.index(name) for name in missing})
            errors = await self._create_all(orders, request)
            if len(errors) == len(wanted):  # a part is a success: what is missing is seen in the listing
                raise _worst(errors)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Delete machines, and with each what belongs to it; what is away already is what was asked for."""
        await asyncio.to_thread(self._made.add, machine_ids)
        group = self._settings.resource_group

        async def delete(name: str) -> None:
            def call(sdk: Sdk) -> None:
                sdk.compute.virtual_machines.begin_delete(group, name, polling=False)

            with suppress(Gone):
                await self._clients.run(call)

        outcomes: Sequence[object] = await asyncio.gather(*map(delete, machine_ids), return_exceptions=True)
        raise_unexpected(outcomes)
        errors = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
        if errors:
            worst = _worst(errors)
            raise worst if isinstance(worst, Denied) else Flaky(str(worst))

    async def close(self) -> None:
        """Let go of connections; machines stay."""
        await self._clients.close()

    def _spot(self, request: LaunchRequest) -> bool:
        if request.offer.market is not None:
            return request.offer.market is Market.SPOT
        return arm_parameters(self._context.types.get(request.pool.name, TypeConfig())).spot

    def _user(self, request: LaunchRequest) -> str:
        parameters = arm_parameters(self._context.types.get(request.pool.name, TypeConfig()))
        return self._context.login.user or parameters.adminUsername or "ubuntu"

    def _user_data(self, script: StartScript, own_id: str, user: str) -> str:
        return user_data(script, cluster=self._context.cluster, own_id=own_id, user=user)

    # ---- making ---------------------------------------------------------------------------------------------------

    async def _orders(
        self, request: LaunchRequest, script: StartScript, missing: Mapping[str, int]
    ) -> tuple[Order, ...]:
        """Return what is to be made: `missing` by name, with its number within the batch."""
        config = self._context.types.get(request.pool.name, TypeConfig())
        parameters, words = arm_parameters(config), own_words(config)
        offer, settings, cluster = request.offer, self._settings, self._context.cluster
        if offer.region not in (None, settings.location):
            raise Denied(f"this cluster is in {settings.location}, its machines cannot be in {offer.region}")
        zones = (offer.zone.rpartition("-")[2],) if offer.zone else zones_for(settings, parameters)
        spot = self._spot(request)
        limit = config.spot_max_usd_per_hour
        login = self._context.login
        user = self._user(request)
        key = login.public_key or parameters.publicKey or await asyncio.to_thread(throwaway_key)
        shared, now = await self._shared_ids(request), self._clock()
        return tuple(
            Order(
                name=name,
                group=settings.resource_group,
                location=settings.location,
                shared=shared,
                parameters=parameters,
                zone=zones[number % len(zones)] if zones else "",
                spot=spot,
                spot_max_usd_per_hour=parameters.billingProfile.maxPrice if limit is None else limit,
                head=request.head,
                public=not settings.use_internal_ips or (request.head and settings.use_external_head_ip),
                user=user,
                key=key,
                # The name is what the metadata service would say: no call is needed at boot.
                custom_data=first_boot(self._user_data(script, f"echo {name}", user), may_rest=not spot),
                poll_interval_s=settings.poll_interval_s,
                own_words=words,
                tags={**settings.tags, **own_tags(config), **machine_tags(cluster, request)},
                part_tags={**settings.tags, **part_tags(cluster, name, now)},
            )
            for name, number in missing.items()
        )

    async def _shared_ids(self, request: LaunchRequest) -> Shared:
        """Return what machines share; it is looked for once, and again when something of it turns out to be missing."""
        async with self._shared_lock:
            if self._shared is None or (request.head and not self._shared.head_msi):
                try:
                    self._shared = await self._clients.run(lambda sdk: self._setup.ensure(sdk, head=request.head))
                except Gone as error:
                    raise Denied(str(error)) from error
            return self._shared

    async def _create_all(self, orders: tuple[Order, ...], request: LaunchRequest) -> Sequence[ProviderError]:
        """Make them at the same time; return the errors. After one that will not pass, no more is asked for."""
        errors: list[ProviderError] = []
        room = asyncio.Semaphore(self._settings.max_calls)

        async def one(order: Order) -> None:
            async with room:
                if stop := next((error for error in errors if error.trouble in _STOPS), None):
                    errors.append(stop)
                    return
                try:
                    await self._clients.run(lambda sdk: self._create(sdk, order), request.offer)
                except ProviderError as error:
                    errors.append(self._seen_by_user(error))

        names = {order.name for order in orders}
        self._making |= names
        self._failed -= names
        try:
            raise_unexpected(await asyncio.gather(*map(one, orders), return_exceptions=True))
        finally:
            self._making -= names
        if any(isinstance(error, Flaky) for error in errors):
            self._shared = None  # something of it may have been deleted
        return errors

    def _seen_by_user(self, error: ProviderError) -> ProviderError:
        """Return the error of a launch. What is missing is made by the next one, unless the user has named it."""
        if not isinstance(error, Gone | Flaky):
            return error
        named = [one.lower() for one in (self._settings.subnet, self._settings.nsg, self._settings.msi) if one]
        if any(one in str(error).lower() for one in named):
            return Denied(f"{error} (it is named in the provider section)", error.scope)
        return Flaky(str(error), error.scope)

    def _create(self, sdk: Sdk, order: Order) -> None:
        """Make one machine, in a thread, and remember that it was made."""
        try:
            create(sdk, order)
        except HalfMade as half:
            if isinstance(half.error, HttpResponseError):
                self._failed.add(order.name)
            raise half.error from half
        self._made.add([order.name])


def _worst(errors: Iterable[ProviderError]) -> ProviderError:
    """Return the error that says most about what to do."""
    order = (*_STOPS, *Trouble)
    return min(errors, key=lambda error: order.index(error.trouble))
