"""The calls of the contract over Compute Engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

from rayfleet.contracts import (
    Denied,
    Flaky,
    Gone,
    LaunchRequest,
    Machine,
    MachineState,
    ProviderContext,
    ProviderError,
    StartScript,
    TypeConfig,
)
from rayfleet.model import Market, StandbyMode
from rayfleet.providers.gcp import labels, launches, scripts, tpu
from rayfleet.providers.gcp.bodies import Wanted, blueprint, is_spot, is_tpu, needs_account, needs_network
from rayfleet.providers.gcp.calls import Calls
from rayfleet.providers.gcp.client import CallFailed, Compute, Operation, Seen, Slice
from rayfleet.providers.gcp.errors import error, worst
from rayfleet.providers.gcp.identity import Identity
from rayfleet.providers.gcp.listing import is_leftover, machine
from rayfleet.providers.gcp.making import Asked, Making, ask, told
from rayfleet.providers.gcp.names import machine_names, token
from rayfleet.providers.gcp.network import Network
from rayfleet.providers.gcp.settings import Settings
from rayfleet.providers.gcp.slices import Slices

LOOKS_PER_LISTING: Final = 4
"""So many launches whose end is not known yet are asked after at each listing: it must not grow with the cluster."""
RELEASED_KEPT: Final = 10_000
"""Names that a launch which is still under way must not make again."""


class GcpProvider:
    """Machines of one project that carry the cluster's label."""

    def __init__(self, context: ProviderContext, compute: Compute) -> None:
        """Take what the cluster is, and the client. No call is made yet."""
        self._context = context
        self._settings: Settings = context.settings
        self._calls = Calls(self._settings, compute)
        self._network = Network(self._settings, self._calls)
        tpus = self._settings.has_tpus or any(map(is_tpu, context.types.values()))
        self._slices = Slices(self._calls, context.cluster, wanted=tpus)
        self._identity = Identity(self._settings, self._calls, tpus=tpus)
        self._launches = launches.Launches(context.state_dir / "gcp-launches.jsonl")
        self._filter = f"labels.{labels.CLUSTER}={labels.cluster_label(context.cluster)}"
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._zones: dict[str, str] = {}
        self._released: deque[str] = deque(maxlen=RELEASED_KEPT)
        self._watched: dict[str, tuple[LaunchRequest, Asked]] = {}
        self._failed: dict[str, Machine] = {}
        self._sweeping: dict[str, asyncio.Task[None]] = {}
        self._swept: set[str] = set()

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "gcp"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return self._settings.list_interval_s

    # ---- listing -----------------------------------------------------------------------------------

    async def list(self) -> tuple[Machine, ...]:
        """Ask for everything with our label, in all zones at once. What is left of a spot machine is deleted.

        Machines of a launch that Google refused after having accepted it are listed as failed, with the reason.
        """
        await self._look_after_launches()
        seen = await self._instances(self._filter)
        slices = await self._slices_seen()
        self._swept &= {one.name for one in seen} | {one.name for one in slices}
        leftovers = [(one.name, one.zone) for one in seen if is_leftover(one)]
        leftovers += [(one.name, one.zone) for one in slices if tpu.is_leftover(one)]
        for name, zone in leftovers:
            self._sweep(name, zone)
        away = self._swept | self._sweeping.keys() | {name for name, _ in leftovers}
        machines = {one.name: machine(one) for one in seen if one.name not in away}
        machines |= {host.id: host for one in slices if one.name not in away for host in tpu.machines(one)}
        for name in machines.keys() & self._failed.keys():
            del self._failed[name]
        return tuple(one for _, one in sorted((self._failed | machines).items()))

    async def _instances(self, filter_text: str) -> tuple[Seen, ...]:
        seen = await self._calls.told(None, self._calls.compute.instances, filter_text)
        self._zones.update((one.name, one.zone) for one in seen)
        return seen

    async def _slices_seen(self) -> tuple[Slice, ...]:
        slices = await self._slices.all()
        self._zones.update((one.name, one.zone) for one in slices)
        return slices

    def _sweep(self, name: str, zone: str) -> None:
        """Delete what is left of a machine, beside everything else; the next listing tries again if it must."""
        if name in self._sweeping or name in self._swept:
            return
        task = asyncio.create_task(self._delete_quietly(name, zone), name=f"sweep {name}")
        self._sweeping[name] = task
        task.add_done_callback(lambda _: self._sweeping.pop(name, None))

    async def _delete_quietly(self, name: str, zone: str) -> None:
        with contextlib.suppress(ProviderError):
            await self._give_back(name, zone)
            self._swept.add(name)

    async def _look_after_launches(self) -> None:
        """See how launches ended that took longer than `launch` waits."""
        for name in tuple(self._watched)[:LOOKS_PER_LISTING]:
            request, asked = self._watched.pop(name)
            if asked.operation is None:
                continue
            now = replace(asked, operation=await self._calls.look(asked.operation))
            if now.operation and not now.operation.done:
                self._watched[name] = (request, now)  # to the end of the queue
            elif now.troubles:
                self._note_failed(request, now)

    def _note_failed(self, request: LaunchRequest, asked: Asked) -> None:
        why = error(worst(asked.troubles), request.offer)
        for name in set(asked.names).difference(self._released):
            self._failed[name] = Machine(
                name,
                request.offer,
                request.batch,
                MachineState.FAILED,
                head=request.head,
                message=str(why),
                trouble=why.trouble,
                replica=self._slices.of(name),
            )

    # ---- launching ---------------------------------------------------------------------------------

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for machines, and wait a moment for what Google says of its stock."""
        script = self._context.start_script(request.pool, request.head)
        async with self._locks[request.batch]:
            if self._launches.state(request.batch)[1] != launches.DONE:
                await self._make(request, script)
                self._note(request.batch, launches.DONE)
        self._locks.pop(request.batch, None)

    async def _make(self, request: LaunchRequest, script: StartScript) -> None:
        attempt, state = self._launches.state(request.batch)
        config, names = self._type(request), machine_names(self._context.cluster, request)
        place = self._place(request)
        if is_tpu(config):
            self._slices.check(request, config, place[0])
            names = names[: len(request.claims)]
        wanted = await self._wanted(request, config, script, place)
        if state == launches.BEGUN:
            names = await self._missing(request, names)
        self._note(request.batch, launches.BEGUN)
        if is_tpu(config):
            asked = await self._slices.ask(request, place[0], tpu.node(config, wanted, request.hosts), names)
        else:
            making = Making(self._context.cluster, request, blueprint(config, wanted), *place, attempt)
            asked = await ask(self._calls, making, names) if names else ()
        await self._judge(request, asked, attempt)
        for one in asked:
            self._zones.update(
                dict.fromkeys((self._slices.of(name) or name for name in one.names), place[0]) if place[0] else {}
            )
            if one.operation and not one.operation.done:
                self._watched[one.operation.name] = (request, one)

    async def _judge(self, request: LaunchRequest, asked: tuple[Asked, ...], attempt: int) -> None:
        """Raise why nothing was made; return when all or a part was, or may come."""
        if lost := tuple(one.trouble for one in asked if one.trouble and one.trouble.passing):
            raise told(lost, request.offer)  # nobody knows; the next call completes it
        troubles = tuple(trouble for one in asked for trouble in one.troubles)
        some = any(one.operation and (one.operation.made or not one.operation.done) for one in asked)
        if troubles and not some and not await self._of_batch(request):  # Google reports an error for a part, too
            # Under the same token Google would only repeat its answer, also one that was its own trouble.
            self._launches.note(request.batch, attempt + 1, "")
            raise told(troubles, request.offer)

    def _place(self, request: LaunchRequest) -> tuple[str, str]:
        """Return zone ("": anywhere) and region."""
        offer = request.offer
        zone = offer.zone or (self._settings.zones[0] if self._settings.zones and not offer.region else "")
        region = offer.region or (zone.rpartition("-")[0] if zone else self._settings.where)
        if not region:
            raise Denied("provider.region is not set, nor provider.availability_zone: where are machines to be?")
        return zone, region

    async def _wanted(
        self, request: LaunchRequest, config: TypeConfig, script: StartScript, place: tuple[str, str]
    ) -> Wanted:
        """Return what is added to the user's words, with the network and the account that it needs."""
        zone, region = place
        if not is_tpu(config):  # what is wrong with the file is said before anything is looked up or made
            single = blueprint(config, Wanted({}, {}, request.offer.market)).single
            if single and not zone:
                raise Denied(f"node_config.{single[0]} needs a zone: set provider.availability_zone")
        subnetwork = await self._network.subnetwork(region) if needs_network(config) else ""
        own_id = scripts.TPU_HOST if is_tpu(config) else scripts.NAME
        return Wanted(
            labels=labels.of_request(self._context.cluster, request),
            metadata=scripts.metadata(script, self._context.login, self._context.cluster, own_id),
            market=request.offer.market,
            subnetwork=subnetwork,
            service_account=await self._identity.of_head() if request.head and needs_account(config) else "",
        )

    def _type(self, request: LaunchRequest) -> TypeConfig:
        return self._context.types.get(request.offer.pool, TypeConfig())

    async def _missing(self, request: LaunchRequest, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return what a launch that was cut off still lacks."""
        there = {one.name for one in await self._of_batch(request)} | set(self._released)
        return tuple(name for name in names if name not in there)

    async def _of_batch(self, request: LaunchRequest) -> tuple[Seen | Slice, ...]:
        if is_tpu(self._type(request)):
            slices = await self._slices_seen()
            return tuple(one for one in slices if labels.read(one.labels, labels.BATCH) == request.batch)
        key, value = next(iter(labels.write(labels.BATCH, request.batch).items()))
        return await self._instances(f"{self._filter} AND labels.{key}={value}")

    def _note(self, batch: str, state: str) -> None:
        self._launches.note(batch, self._launches.state(batch)[0], state)

    # ---- giving back -------------------------------------------------------------------------------

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Delete machines; one that is away already is what was asked for. All are tried before any error is told."""
        self._released.extend(dict.fromkeys((*machine_ids, *filter(None, map(self._slices.of, machine_ids)))))
        for name in machine_ids:
            self._failed.pop(name, None)
        await self._each(machine_ids, self._give_back)

    async def _give_back(self, name: str, zone: str) -> None:
        """Delete a machine, or a slice with all its hosts."""
        with contextlib.suppress(Gone):
            if self._slices.is_one(name):
                await self._slices.delete(name, zone)
            else:
                await self._act("delete", zone, name)
        self._zones.pop(name, None)

    async def _each(self, machine_ids: Iterable[str], act: Callable[[str, str], Awaitable[None]]) -> None:
        """Do the same with each machine that is known or can be found, and tell the first error afterwards."""
        ids = tuple(machine_ids)
        if any((self._slices.of(name) or name) not in self._zones for name in ids):
            await self._instances(self._filter)
            await self._slices_seen()
        wanted = tuple(dict.fromkeys(self._slices.of(name) or name for name in ids))
        work = [act(name, self._zones[name]) for name in wanted if name in self._zones]
        for answer in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _act(self, verb: str, zone: str, name: str) -> None:
        await self._calls.told(None, self._calls.compute.act, verb, zone, name)

    # ---- standby -----------------------------------------------------------------------------------

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make machines that start nothing, and stop them."""
        self._refuse_to_wait(request)
        async with self._locks[request.batch]:
            if self._launches.state(request.batch)[1] == launches.DONE:
                return
            await self._make(request, StartScript(()))
            names = machine_names(self._context.cluster, request)
            if not self._zones.keys() >= set(names):
                await self._of_batch(request)
            known = tuple(name for name in names if name in self._zones)
            await self.stop(known, mode)
            if len(known) < len(names):
                raise Flaky("not all machines that are to wait are listed yet", request.offer)
            self._note(request.batch, launches.DONE)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Stop machines; what is on their disks stays.

        Raises:
            Denied: a spot machine would be taken for one that Google has taken away.
            Flaky.
        """
        await self._each(machine_ids, self._stop)

    async def _stop(self, name: str, zone: str) -> None:
        try:
            if self._slices.is_one(name):
                raise Denied(f"{name} is a slice of TPUs, and those cannot wait")
            seen = await self._calls.told(None, self._calls.compute.instance, zone, name)
            if seen.spot:
                raise Denied(f"{name} is a spot machine, and those cannot wait: Google deletes them when they stop")
            await self._act("stop", zone, name)
        except Gone:
            self._zones.pop(name, None)

    async def start(self, request: LaunchRequest) -> None:
        """Start machines that are stopped, each with the script of this launch."""
        key = f"start {request.batch}"
        script = self._context.start_script(request.pool, request.head)
        async with self._locks[key]:
            if self._launches.state(key)[1] == launches.DONE:
                return
            if any(name not in self._zones for name in request.reuse):
                await self._instances(self._filter)
            attempt = self._launches.state(key)[0]
            starts = [await self._started(request, name, script, str(attempt)) for name in request.reuse]
            if not any(exists for exists, _ in starts):
                raise Gone(f"none of {', '.join(request.reuse)} exists any more")
            watched = await self._calls.watched(operation for _, operation in starts if operation)
            failed = tuple(trouble for operation in watched for trouble in operation.troubles)
            if failed and all(operation.troubles for operation in watched):
                self._launches.note(key, attempt + 1, "")
                raise told(failed, request.offer)
            self._launches.note(key, attempt, launches.DONE)
        self._locks.pop(key, None)

    async def _started(
        self, request: LaunchRequest, name: str, script: StartScript, attempt: str
    ) -> tuple[bool, Operation | None]:
        """Start one; say whether it exists, and what came of it where it had to be started."""
        zone, offer = self._zones.get(name, ""), request.offer
        if not zone or self._slices.is_one(name):
            return False, None
        try:
            seen = await self._calls.once(self._calls.compute.instance, zone, name)
            if seen.status not in {"TERMINATED", "STOPPING"}:
                return True, None
            await self._told_anew(request, seen, script, attempt)
            request_id = token("start", self._context.cluster, name, request.batch, attempt)
            return True, await self._calls.once(self._calls.compute.act, "start", zone, name, request_id)
        except CallFailed as failed:
            if isinstance(error(failed.trouble, None), Gone):
                return False, None
            raise error(failed.trouble, offer) from failed

    async def _told_anew(self, request: LaunchRequest, seen: Seen, script: StartScript, attempt: str) -> None:
        """Give a machine the script of this launch, where it has another."""
        ours = scripts.metadata(script, self._context.login, self._context.cluster)
        if all(seen.metadata.get(key) == value for key, value in ours.items()):
            return
        request_id = token("metadata", seen.name, request.batch, attempt)
        change = self._calls.compute.set_metadata
        (done,) = await self._calls.watched(
            (await self._calls.once(change, seen, {**seen.metadata, **ours}, request_id),)
        )
        if done.troubles:
            raise told(done.troubles, request.offer)

    def _refuse_to_wait(self, request: LaunchRequest) -> None:
        if request.offer.market is Market.SPOT or (request.offer.market is None and is_spot(self._type(request))):
            raise Denied("spot machines cannot wait: Google deletes them when they stop", request.offer)
        if is_tpu(self._type(request)):
            raise Denied("slices of TPUs cannot wait", request.offer)

    async def close(self) -> None:
        """Let go of connections and tasks; machines stay."""
        tasks = tuple(self._sweeping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._calls.close()
