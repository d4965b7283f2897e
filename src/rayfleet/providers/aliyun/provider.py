"""The calls of the contract over ECS: words in, words out, no decisions.

What cannot be had at once is written on the machine as a wish, and `list` sees to it: a machine that is still being
made can neither be released nor stopped.
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from rayfleet.contracts import (
    Denied,
    Flaky,
    Gone,
    LaunchRequest,
    Machine,
    OutOfStock,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
    TypeConfig,
)
from rayfleet.model import OfferKey, StandbyMode
from rayfleet.providers.aliyun.client import EcsClient
from rayfleet.providers.aliyun.errors import INITIALIZING, MISMATCH, ApiError, contract_error, kind_of
from rayfleet.providers.aliyun.machine import (
    CLUSTER_TAG,
    GO,
    REST,
    STARTS_TAG,
    WISH_TAG,
    Described,
    described,
    machine,
    short,
    started_by,
    tag_list,
    tags_of,
)
from rayfleet.providers.aliyun.network import Network
from rayfleet.providers.aliyun.order import BATCH_MAX, has_template, parameters, tokens
from rayfleet.providers.aliyun.settings import METADATA, Settings
from rayfleet.providers.aliyun.start import encoded

PAGE: Final = 100
TAGGED_MAX: Final = 50
AT_ONCE: Final = 4
"""Calls for machines under way at the same time."""
NOTICE_S: Final = 300.0
"""A spot machine is taken away so long after it was announced."""
PAUSE_S: Final = 1.0

T = TypeVar("T")


class AliyunProvider:
    """Machines of the region that carry this cluster's tag."""

    def __init__(
        self,
        context: ProviderContext,
        client: EcsClient,
        *,
        now: Callable[[], float] = time.time,
        pause_s: float = PAUSE_S,
    ) -> None:
        """Take what the cluster is, and the cloud's client. No call is made yet."""
        settings: Settings = context.settings
        self._context = context
        self._settings = settings
        self._client = client
        self._now = now
        self._network = Network(client, settings, context.cluster, context.login, pause_s)
        self._metadata = settings.metadata_endpoint or os.environ.get("ALIYUN_METADATA_SERVICE_ENDPOINT") or METADATA
        self._answered: set[str] = set()
        self._announced: dict[str, float] = {}
        self._changing = asyncio.Lock()
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "aliyun"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return self._settings.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Ask for everything with our tag, page by page, and see to what could not be done before."""
        with _errors():
            seen = await self._described(Tag=tag_list({CLUSTER_TAG: self._context.cluster}))
        async with self._changing:
            gone = await self._see_to_wishes(seen)
        now = self._now()
        listed = [one for one in seen if one.id not in gone]
        self._announced = {one.id: self._announced.get(one.id, now + NOTICE_S) for one in listed if one.recycled}
        made = [machine(one, now, self._announced.get(one.id)) for one in listed]
        return tuple(sorted(made, key=lambda one: one.id))

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for all machines of the batch, a hundred in a call, each call under a token of its own."""
        await self._run(request, self._context.start_script(request.pool, request.head))

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Make machines that start nothing, with the wish to rest: they are stopped as soon as they run."""
        await self._run(request, StartScript(()), wish=REST)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Wish that machines rest, and stop those that run."""
        async with self._changing:
            with _errors():
                seen = await self._named(machine_ids)
                awake = [one for one in seen if one.wish not in (REST, GO)]
                await self._tag([one.id for one in awake], {WISH_TAG: REST})
                await self._together("StopInstances", (one.id for one in awake if one.status == "Running"), **_STOP)

    async def start(self, request: LaunchRequest) -> None:
        """Start machines that rest, with a new script. The batch is written on each, against late repetitions."""
        async with self._changing:
            with _errors(request.offer):
                seen = await self._named(request.reuse)
                if not any(one.wish != GO for one in seen):
                    raise Gone(f"none of {', '.join(request.reuse)} exists any more")
                script = self._context.start_script(request.pool, request.head)
                ready = [one for one in seen if await self._made_ready(one, request.batch, script)]
                await self._start_all(ready)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Delete machines; those that are still being made are deleted by the first listing that finds them made."""
        async with self._changing:
            with _errors():
                for some in _chunks(sorted(set(machine_ids)), BATCH_MAX):
                    await self._delete(some)

    async def close(self) -> None:
        """Keep nothing open: the library has no connection between calls."""

    async def _run(self, request: LaunchRequest, script: StartScript, wish: str = "") -> None:
        """Make all calls of a batch, the first alone: what it cannot get the others could not either."""
        offer, settings = request.offer, self._settings
        with _errors(offer):
            if offer.region not in (None, settings.region):
                raise Denied(f"offers of region {offer.region} need a provider section with that region")
            first, *others = tokens(self._context.cluster, settings.region, request)
            if all(token in self._answered for token, _ in (first, *others)):
                return
            asked = await self._asked(request, script, wish)
            await self._run_one(asked, *first)
        done = await asyncio.gather(*(self._run_one(asked, *other) for other in others), return_exceptions=True)
        unclear = [error for error in done if isinstance(error, BaseException) and not _is_clear(error)]
        if unclear:  # a part with a clear answer is a success: what is missing is seen in the listing
            with _errors(offer):
                raise unclear[0]

    async def _run_one(self, asked: dict[str, Any], token: str, count: int) -> None:
        if token in self._answered:
            return
        async with self._room:
            try:
                await self._client.call("RunInstances", **asked, Amount=count, MinAmount=1, ClientToken=token)
            except ApiError as error:
                if error.code != MISMATCH:
                    if kind_of(error.code) is Denied:
                        self._network.forget()
                    raise
                # The batch was asked for before, when the file said something else: its machines are those.
        self._answered.add(token)

    async def _asked(self, request: LaunchRequest, script: StartScript, wish: str) -> dict[str, Any]:
        """Return all parameters of RunInstances but the number and the token."""
        settings, context = self._settings, self._context
        config = context.types.get(request.pool.name, TypeConfig())
        asked = parameters(config, request.offer.market, settings.currency_per_usd, internal=settings.use_internal_ips)
        if not has_template(asked):
            await self._complete(asked, request.offer.zone or config.node_config.get("ZoneId"))
        key = asked.setdefault("KeyPairName", settings.key_name)
        if key:
            await self._network.key_pair(key)
        given = asked.pop("Tag", [])
        return asked | {
            "RegionId": settings.region,
            "Tag": [*given, *tags_of(request, context.cluster, wish)],
            "UserData": encoded(script, context.cluster, context.login, self._metadata, waits=bool(wish)),
        }

    async def _complete(self, asked: dict[str, Any], zone: str | None) -> None:
        """Add image and network where the file does not say them. A network interface has a network of its own."""
        if "ImageId" not in asked and "ImageFamily" not in asked:
            asked["ImageId"] = await self._network.image(asked["InstanceType"])
        if "NetworkInterface" in asked:
            return
        if "VSwitchId" not in asked:
            asked["VSwitchId"] = await self._network.switch(zone)
        if "SecurityGroupIds" not in asked:
            asked["SecurityGroupIds"] = builtins.list(await self._network.groups())

    async def _see_to_wishes(self, seen: Iterable[Described]) -> set[str]:
        """Do what could not be done when it was asked for. Return what was deleted."""
        seen = builtins.list(seen)
        to_go = [one.id for one in seen if one.wish == GO and one.status != "Pending"]
        to_rest = [one.id for one in seen if one.wish == REST and one.status == "Running"]
        gone: set[str] = set()
        try:
            for some in _chunks(to_go, BATCH_MAX):
                await self._client.call("DeleteInstances", InstanceId=some, Force=True, **self._region)
                gone |= set(some)
            await self._together("StopInstances", to_rest, **_STOP)
        except ApiError as error:
            if kind_of(error.code) is Denied:
                raise contract_error(error) from error
            # Anything else: the next listing tries again.
        return gone

    async def _delete(self, machine_ids: Sequence[str]) -> None:
        """Delete machines in one call; where it fails as a whole, find out which can be deleted."""
        try:
            await self._client.call("DeleteInstances", InstanceId=[*machine_ids], Force=True, **self._region)
        except ApiError as error:
            if kind_of(error.code) is not Gone and not error.code.startswith(INITIALIZING):
                raise
            seen = await self._named(machine_ids)
            await self._tag([one.id for one in seen if one.status == "Pending"], {WISH_TAG: GO})
            made = [one.id for one in seen if one.status != "Pending"]
            await self._together("DeleteInstances", made, Force=True)

    async def _made_ready(self, seen: Described, batch: str, script: StartScript) -> bool:
        """Write batch and script on a machine that rests; say whether it is to be started for this batch."""
        again = short(batch) in seen.starts
        if seen.status != "Stopped" or (seen.wish == REST) == again or seen.wish == GO:
            # It works or is on its way; or this batch has started it before, and it was stopped since.
            return False
        data = encoded(script, self._context.cluster, self._context.login, self._metadata, waits=True)
        await self._client.call("ModifyInstanceAttribute", InstanceId=seen.id, UserData=data)
        await self._tag([seen.id], {WISH_TAG: "", STARTS_TAG: started_by(seen, batch)})
        return True

    async def _start_all(self, ready: Sequence[Described]) -> None:
        """Start machines; where there is nothing to start them on, they rest as before."""
        try:
            await self._together("StartInstances", (one.id for one in ready))
        except ApiError as error:
            if _is_clear(error):
                for one in ready:
                    await self._tag([one.id], {WISH_TAG: REST, STARTS_TAG: one.tags.get(STARTS_TAG, "")})
            raise

    async def _together(self, action: str, machine_ids: Iterable[str], **more: Any) -> None:
        """Make a call for many machines; that one has gone or is in another state already is no error."""
        for some in _chunks(builtins.list(machine_ids), BATCH_MAX):
            try:
                await self._client.call(action, InstanceId=some, **self._region, **more)
            except ApiError as error:
                if not _is_about_one(error):
                    raise
                if len(some) > 1:  # halves, so that the one is found in few calls
                    await self._together(action, some[: len(some) // 2], **more)
                    await self._together(action, some[len(some) // 2 :], **more)

    async def _tag(self, machine_ids: Sequence[str], tags: dict[str, str]) -> None:
        for some in _chunks(machine_ids, TAGGED_MAX):
            await self._client.call(
                "TagResources", ResourceType="instance", ResourceId=some, Tag=tag_list(tags), **self._region
            )

    async def _named(self, machine_ids: Iterable[str]) -> builtins.list[Described]:
        """Return those of the named machines that exist and are this cluster's."""
        found: builtins.list[Described] = []
        for some in _chunks(sorted(set(machine_ids)), PAGE):
            found += await self._described(InstanceIds=json.dumps(some))
        return [one for one in found if one.tags.get(CLUSTER_TAG) == self._context.cluster]

    async def _described(self, **asked: Any) -> builtins.list[Described]:
        return [described(row) async for row in self._rows(asked)]

    async def _rows(self, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        token: str | None = None
        while True:
            body = await self._client.call(
                "DescribeInstances", **self._region, MaxResults=PAGE, NextToken=token, **asked
            )
            for row in (body.get("Instances") or {}).get("Instance") or ():
                yield row
            token = body.get("NextToken") or None
            if token is None:
                return

    @property
    def _region(self) -> dict[str, str]:
        return {"RegionId": self._settings.region}


_STOP: Final = {"StoppedMode": "StopCharging", "ForceStop": False}
"""Only its disk costs something then."""


@contextmanager
def _errors(offer: OfferKey | None = None) -> Iterator[None]:
    """Turn the cloud's errors into the contract's."""
    try:
        yield
    except ApiError as error:
        raise contract_error(error, offer) from error


def _is_clear(error: BaseException) -> bool:
    """Say whether an error means that nothing was made, and that repeating it at once would not help."""
    if isinstance(error, ApiError):
        return kind_of(error.code) not in (Flaky, Gone)
    return isinstance(error, ProviderError) and isinstance(error, (OutOfStock, QuotaReached, Denied))


def _is_about_one(error: ApiError) -> bool:
    return kind_of(error.code) is Gone or error.code.startswith(INITIALIZING)


def _chunks(items: Sequence[T], size: int) -> Iterator[builtins.list[T]]:
    for start in range(0, len(items), size):
        yield builtins.list(items[start : start + size])
