"""The calls of the contract over EC2's: words in, words out, no decisions."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable
from typing import Final

import structlog

from rayfleet.contracts import (
    Denied,
    Flaky,
    Gone,
    LaunchRequest,
    Machine,
    OutOfStock,
    ProviderContext,
    QuotaReached,
    StartScript,
    TypeConfig,
)
from rayfleet.model import StandbyMode
from rayfleet.providers.aws.calls import Instances
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.errors import is_about_profile
from rayfleet.providers.aws.fleet import FLEET_PART
from rayfleet.providers.aws.fleets import Fleets
from rayfleet.providers.aws.ground import Surveyor
from rayfleet.providers.aws.machines import machine_of, tags_of, waits
from rayfleet.providers.aws.memory import Memory
from rayfleet.providers.aws.metadata import asked, own_id
from rayfleet.providers.aws.order import (
    SCRIPT_TAG,
    STARTED_TAG,
    WAITS_TAG,
    Order,
    packed_user_data,
    token_of,
)
from rayfleet.providers.aws.settings import Settings
from rayfleet.wire.user_data import user_data

log = structlog.get_logger()

PART: Final = 200
"""Machines of one RunInstances call. Larger ones are throttled sooner, and one that fails costs more."""
_ASKED_BEFORE: Final = ("IdempotentParameterMismatch", "IdempotentInstanceTerminated")
"""EC2's words for a token that it knows: asked with other parameters, or with instances that are gone since."""
_GROUND: Final = ("InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound")


class AwsProvider:
    """Instances that carry this cluster's tag."""

    def __init__(self, context: ProviderContext, client: Client) -> None:
        """Take what the cluster is, and the client. No call is made yet."""
        self._context = context
        self._settings: Settings = context.settings
        self._client = client
        self._instances = Instances(client, context.cluster)
        self._memory = Memory(context.state_dir)
        self._surveyor = Surveyor(client, self._memory, self._settings, context.cluster)
        self._fleets = Fleets(client, self._memory, self._settings, context.cluster)
        self._released: set[str] = set()

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "aws"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return self._settings.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Ask for everything with our tag, a thousand to a page; for notices too, when any of it is spot.

        What is to wait and has come to run is stopped here: EC2 does not stop an instance that is still starting.
        """
        rows = await self._instances.rows()
        notices = await self._instances.notices(rows)
        to_stop = [row["InstanceId"] for row in rows if waits(row)]
        if to_stop:
            await self._instances.stop(to_stop)
        self._released &= {row["InstanceId"] for row in rows}
        internal = self._settings.use_internal_ips
        found = (machine_of(row, needs_public=not internal, notices=notices) for row in rows)
        machines = [each for each in found if each is not None and not (each.trouble and each.id in self._released)]
        return tuple(sorted(machines, key=lambda machine: machine.id))

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for all machines of the batch, some hundred to a call, each under a token of its own."""
        await self._launch(request, waiting=False)

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Ask for machines that start nothing at their first boot; `list` stops them as soon as they run."""
        await self._launch(request, waiting=True)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Terminate instances; those that are away are left out, since EC2 refuses the whole call for one of them."""
        self._released.update(machine_ids)
        await self._instances.end(machine_ids)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Stop instances; those that are still starting are marked, and stopped once they run."""
        await self._instances.stop(machine_ids)

    async def start(self, request: LaunchRequest) -> None:
        """Start instances that wait and know what to run; one that knows something else by now is given back.

        EC2 has no client token here, so a tag says for which batch an instance was started last.
        """
        rows = await self._instances.named(request.reuse)
        wanted = _hash(self._context.start_script(request.pool, request.head))
        stale = [row["InstanceId"] for row in rows if tags_of(row).get(SCRIPT_TAG, wanted) != wanted]
        if stale:
            log.info("given back: they wait with what an older configuration said", machines=stale)
            await self.release(tuple(stale))
        good = [row for row in rows if row["InstanceId"] not in stale]
        if not good:
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")
        ids = [
            row["InstanceId"]
            for row in good
            if row["State"]["Name"] in ("stopping", "stopped") and tags_of(row).get(STARTED_TAG) != request.batch
        ]
        if not ids:
            return
        await self._instances.tag(ids, {WAITS_TAG: ""})
        await self._client.call("ec2", "start_instances", {"InstanceIds": ids}, request.offer)
        await self._instances.tag(ids, {STARTED_TAG: request.batch})

    async def leftovers(self) -> tuple[str, ...]:
        """Return the launch templates that were made for fleets."""
        return await self._fleets.leftovers()

    async def tidy(self) -> tuple[str, ...]:
        """Remove the launch templates that were made for fleets."""
        return await self._fleets.tidy()

    async def close(self) -> None:
        """Close the client's connections."""
        await asyncio.to_thread(self._client.close)

    # ---- launching ----

    async def _launch(self, request: LaunchRequest, *, waiting: bool) -> None:
        if request.offer.region not in (None, self._settings.region):
            raise Denied(f"this cluster's region is {self._settings.region}, not {request.offer.region}", request.offer)
        config = self._context.types.get(request.pool.name, TypeConfig())
        ground = await self._surveyor.ground(config.node_config, head=request.head)
        script = self._context.start_script(request.pool, request.head)
        own = str(config.node_config.get("UserData") or (ground.template or {}).get("UserData") or "")
        order = Order(
            cluster=self._context.cluster,
            request=request,
            config=config,
            ground=ground,
            user_data=packed_user_data(self._first_boot(script, waiting=waiting), own),
            script_hash=_hash(script),
            waits=waiting,
            key_name=None if self._context.login.public_key else self._settings.key_pair.key_name,
        )
        count = len(request.claims) * request.hosts
        subnets = ground.in_zone(request.offer.zone)
        if self._fleets.takes(order, subnets) and await self._by_fleet(order, count, subnets):
            return
        for part, first in enumerate(range(0, count, PART)):
            try:
                await self._ask(order, part, min(PART, count - first))
            except (OutOfStock, QuotaReached):
                if not part:
                    raise
                return  # a part is a success: what is missing is seen in the listing

    async def _by_fleet(self, order: Order, count: int, subnets: tuple[str | None, ...]) -> bool:
        """Ask for all machines of the batch over all zones at once; False: fleets are refused, and nothing was made."""
        everywhere = [subnet for subnet in subnets if subnet is not None]
        for part, first in enumerate(range(0, count, FLEET_PART)):
            asked = self._fleets.ask(order, part, min(FLEET_PART, count - first), everywhere)
            try:
                granted = await self._answered(order, asked)
            except (OutOfStock, QuotaReached):
                if not part:
                    raise
                return True
            if not granted:
                return bool(part)  # a part is a success, as always
        return True

    async def _ask(self, order: Order, part: int, count: int) -> None:
        """Ask for one part, in one subnet after the other while there is no stock.

        Which one is asked is written down before, so that a repetition after a crash goes on there: under the first
        subnet's token it might be given a second set.
        """
        batch, zone = order.request.batch, order.request.offer.zone
        subnets = order.ground.in_zone(zone)
        if not subnets:
            raise Denied(f"none of the usable subnets is in zone {zone}", scope=order.request.offer)
        tried = self._memory.tried(batch, part)
        for subnet in subnets[subnets.index(tried) if tried in subnets else 0 :]:
            if subnet != subnets[0]:
                self._memory.try_next(batch, part, subnet)
            try:
                await self._run(order, part, count, subnet)
            except OutOfStock:
                if subnet == subnets[-1]:
                    self._memory.try_next(batch, part, None)
                    raise
            else:
                return

    async def _run(self, order: Order, part: int, count: int, subnet: str | None) -> None:
        token = token_of(self._memory.salt, self._context.cluster, order.request.batch, part, subnet)
        parameters = order.parameters(subnet, count, token)
        if subnet is None and order.request.offer.zone and "NetworkInterfaces" not in parameters:
            parameters.setdefault("Placement", {"AvailabilityZone": order.request.offer.zone})
        await self._answered(order, self._client.call("ec2", "run_instances", parameters, order.request.offer))

    async def _answered(self, order: Order, asked: Awaitable[object]) -> bool:
        """Wait for the answer to a launch, and say whether there was anything in it."""
        try:
            return bool(await asked)
        except Denied as error:
            if not _about_our_ground(error, order):
                raise
            # It was made a moment ago and is not known everywhere yet, or somebody has removed it: once more from the
            # start, where each step is looked up.
            self._memory.forget_ground()
            raise Flaky(str(error), scope=order.request.offer) from error
        except Flaky as error:
            if str(error).partition(":")[0] not in _ASKED_BEFORE:
                raise
            # With a file that has changed since, or its machines are gone already. Whatever is left of it is listed.
            log.info("launched before", batch=order.request.batch, answer=str(error))
            return True

    def _first_boot(self, script: StartScript, *, waiting: bool) -> str:
        """Return what cloud-init runs: the login's key, so that no key pair has to be made, and the start."""
        login, url = self._context.login, self._settings.metadata_url
        return user_data(
            _when_wanted(script, url) if waiting else script,
            cluster=self._context.cluster,
            own_id=own_id(url),
            user=login.user,
            authorized_key=login.public_key,
        )


def _about_our_ground(error: Denied, order: Order) -> bool:
    """Say whether something is missing that was set up for the pool, and not by the pool's own words."""
    if is_about_profile(error):
        return bool(order.ground.profile)
    own = order.config.node_config.keys() & {"SubnetId", "SubnetIds", "NetworkInterfaces"}
    return not own and str(error).partition(":")[0] in _GROUND


def _when_wanted(script: StartScript, metadata_url: str) -> StartScript:
    """Return the start of a machine that is made to wait: at each boot it asks its own tag whether it still is to."""
    if not script.argv:
        return script
    ask = asked(metadata_url, f"tags/instance/{WAITS_TAG}", "--retry 5")
    return StartScript(("sh", "-c", f'[ "$({ask})" = yes ] || exec "$@"', "sh", *script.argv), script.env)


def _hash(script: StartScript) -> str:
    """Return what tells two start scripts apart, short enough for a tag."""
    return hashlib.sha256(json.dumps([script.argv, sorted(script.env.items())]).encode()).hexdigest()[:16]
