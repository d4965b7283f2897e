"""EC2's fleets and the launch templates that they need: made when first needed, removed with the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from rayfleet.contracts import Denied, Flaky, ProviderError
from rayfleet.providers.aws import fleet
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.fleet import Template
from rayfleet.providers.aws.memory import Memory
from rayfleet.providers.aws.order import CLUSTER_TAG, Order, token_of
from rayfleet.providers.aws.settings import Settings

log = structlog.get_logger()

_ROUTE: Final = "route"
_FLEET: Final = "fleet"
_RUN: Final = "run"
_EXISTS: Final = "InvalidLaunchTemplateName.AlreadyExistsException"
_NO_TEMPLATE: Final = ("InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound")


class Fleets:
    """The fleets of one cluster. `refused`: this account has no right to them, so that nobody asks again."""

    def __init__(self, client: Client, memory: Memory, settings: Settings, cluster: str) -> None:
        """Take the client and where to remember; no call is made."""
        self._client = client
        self._memory = memory
        self._settings = settings
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self.refused = False

    def takes(self, order: Order, subnets: Sequence[str | None]) -> bool:
        """Say whether a batch is asked of a fleet. Decided once for each batch, and written down before it is asked.

        A repetition has to go the way of its first time, also with a file that has changed since: under the other
        way's tokens it would be given a second set.
        """
        batch = order.request.batch
        before = self._memory.tried(batch, _ROUTE)
        if before is None:
            choice = len(subnets) > 1  # of one there is nothing to choose
            wanted = choice and self._settings.fleet and not self.refused and not fleet.why_not(order)
            before = _FLEET if wanted else _RUN
            self._memory.try_next(batch, _ROUTE, before)
        return before == _FLEET

    async def ask(self, order: Order, part: int, count: int, subnets: Sequence[str]) -> bool:
        """Ask for up to `count` machines over all subnets; False: fleets are refused here, and nothing was made.

        EC2 remembers a fleet that has made nothing, too: it would answer the same for as long as its token is the same.

        Raises:
            ProviderError: there is none to be had.
        """
        if fleet.why_not(order) or not subnets:  # the file has changed since; what came of the first time is listed
            log.info("asked before", batch=order.request.batch)
            return True
        batch, template = order.request.batch, fleet.template_of(order)
        attempt = int(self._memory.tried(batch, part) or 0)
        token = token_of(self._memory.salt, self._cluster, batch, part, f"{_FLEET}/{attempt}")
        try:
            await self._ensure(template, order)
            asked = fleet.parameters(order, template, subnets, count, token)
            answer = await self._client.call("ec2", "create_fleet", asked, order.request.offer)
            if not fleet.made(answer):
                self._memory.try_next(batch, part, str(attempt + 1))
                raise fleet.failure(answer, order)
            if fleet.made(answer) < count:
                log.info("a part of a fleet", batch=batch, wanted=count, answer=str(fleet.failure(answer, order)))
        except Denied as error:
            if fleet.is_not_for_us(error):
                self._refuse(batch, error)
                return False
            if str(error).partition(":")[0] not in _NO_TEMPLATE:
                raise
            self._memory.keep(None, *self._key(order))  # somebody has removed it
            raise Flaky(str(error), scope=order.request.offer) from error
        return True

    async def leftovers(self) -> tuple[str, ...]:
        """Return the names of the launch templates that were made for this cluster."""
        parameters = {"Filters": [{"Name": f"tag:{CLUSTER_TAG}", "Values": [self._cluster]}]}
        names: list[str] = []
        while True:
            answer = await self._client.call("ec2", "describe_launch_templates", parameters)
            names += [each["LaunchTemplateName"] for each in answer["LaunchTemplates"]]
            if not answer.get("NextToken"):
                return tuple(sorted(names))
            parameters = {**parameters, "NextToken": answer["NextToken"]}

    async def tidy(self) -> tuple[str, ...]:
        """Remove them; return their names."""
        names = await self.leftovers()
        for name in names:
            await self._remove(name)
        return names

    async def _ensure(self, template: Template, order: Order) -> None:
        """Make a template that does not exist, and remove the one that the pool's machines were made from before."""
        async with self._lock:
            before = self._memory.known(*self._key(order))
            if before == template.name:
                return
            try:
                await self._client.call("ec2", "create_launch_template", template.parameters)
            except Denied as error:
                if str(error).partition(":")[0] != _EXISTS:
                    raise
            self._memory.keep(template.name, *self._key(order))
            if before is not None:
                try:
                    await self._remove(before)
                except ProviderError as error:
                    log.info("not removed yet", template=before, answer=str(error))

    async def _remove(self, name: str) -> None:
        try:
            await self._client.call("ec2", "delete_launch_template", {"LaunchTemplateName": name})
        except Denied as error:
            if str(error).partition(":")[0] not in _NO_TEMPLATE:
                raise

    def _refuse(self, batch: str, error: Denied) -> None:
        if not self.refused:
            log.warning("EC2 Fleet cannot be used, RunInstances is asked instead", answer=str(error))
        self.refused = True
        self._memory.try_next(batch, _ROUTE, _RUN)

    def _key(self, order: Order) -> tuple[str | None, ...]:
        """Return what a template is remembered under: pools have one for each market."""
        offer, settings = order.request.offer, self._settings
        return (settings.region, settings.endpoint_url, "template", offer.pool, offer.market)
