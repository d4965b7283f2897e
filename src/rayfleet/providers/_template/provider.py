"""The calls of the contract over the place's SDK: words in, words out, no decisions."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rayfleet.contracts import (
    Denied,
    Flaky,
    Gone,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
)
from rayfleet.model import Market, OfferKey, StandbyMode
from rayfleet.providers._template.place import ApiError, Place, Server
from rayfleet.providers._template.settings import Settings

_STATES: Final = {
    "provisioning": MachineState.STARTING,
    "active": MachineState.RUNNING,
    "deleting": MachineState.STOPPING,
    "error": MachineState.FAILED,
    "halting": MachineState.STOPPING,
    "halted": MachineState.STANDBY,
}
_ERRORS: Final[dict[str, type[ProviderError]]] = {
    "InsufficientCapacity": OutOfStock,
    "LimitExceeded": QuotaReached,
    "Forbidden": Denied,
    "NotFound": Gone,
}
"""Every other code is Flaky: asking again under the same token cannot do harm."""

CLUSTER_TAG: Final = "rayfleet-cluster"


class TemplateProvider:
    """Machines of the place that carry this cluster's tag."""

    def __init__(self, context: ProviderContext, place: Place) -> None:
        """Take what the cluster is, and the client of the place. No call is made yet."""
        settings: Settings = context.settings
        self._context = context
        self._place = place
        self._list_interval_s = settings.list_interval_s

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return "_template"

    @property
    def list_interval_s(self) -> float:
        """Return how often listing is worth its cost."""
        return self._list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Ask for everything with our tag, whichever controller made it."""
        with _errors():
            servers = await self._place.describe_servers((CLUSTER_TAG, self._context.cluster))
        return tuple(sorted(map(_machine, servers), key=lambda machine: machine.id))

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for one server per claim and host, each under a token that follows from cluster and batch.

        The cluster is part of it because another one in the same account has a first batch, too.
        """
        await self._create_all(request, self._context.start_script(request.pool, request.head))

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make servers that start nothing, and switch them off. Leave the three calls out where the place cannot.

        What is cut off in between runs: the next `stop` of the controller switches it off.
        """
        await self._create_all(request, StartScript(()))
        with _errors(request.offer):
            servers = await self._place.describe_servers((CLUSTER_TAG, self._context.cluster))
        mine = [s.id for s in servers if s.tags["rayfleet-batch"] == request.batch and not s.started]
        await self.stop(tuple(mine), mode)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:  # noqa: ARG002 - one mode is declared
        """Switch servers off; one that is away is what was asked for."""
        for machine_id in machine_ids:
            try:
                with _errors():
                    await self._place.halt_server(machine_id)
            except Gone:
                continue

    async def start(self, request: LaunchRequest) -> None:
        """Switch servers on with a new script; the batch is the token, so that a late repetition does nothing."""
        user_data, away = _user_data(self._context.start_script(request.pool, request.head)), 0
        for machine_id in request.reuse:
            try:
                with _errors(request.offer):
                    await self._place.boot_server(machine_id, request.batch, user_data)
            except Gone:
                away += 1
        if away == len(request.reuse):
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")

    async def _create_all(self, request: LaunchRequest, script: StartScript) -> None:
        made = 0
        for claim in request.claims:
            for host in range(request.hosts):
                try:
                    await self._create(request, f"{self._context.cluster}/{request.batch}/{claim}/{host}", script)
                except (OutOfStock, QuotaReached):
                    if not made:
                        raise
                    return  # a part is a success: what is missing is seen in the listing
                made += 1

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Delete servers; one that is away already is what was asked for."""
        for machine_id in machine_ids:
            try:
                with _errors():
                    await self._place.delete_server(machine_id)
            except Gone:
                continue

    async def close(self) -> None:
        """Close the client's connections; this one has none."""

    async def _create(self, request: LaunchRequest, token: str, script: StartScript) -> None:
        tags = {
            CLUSTER_TAG: self._context.cluster,
            "rayfleet-batch": request.batch,
            "rayfleet-offer": _offer_to_tag(request.offer),
            "rayfleet-head": "yes" if request.head else "",
        }
        with _errors(request.offer):
            await self._place.create_server(token, request.pool.name, tags, _user_data(script))


@contextmanager
def _errors(offer: OfferKey | None = None) -> Iterator[None]:
    """Turn the SDK's errors into the contract's."""
    try:
        yield
    except ApiError as error:
        raise _ERRORS.get(error.code, Flaky)(str(error), scope=offer) from error


def _machine(server: Server) -> Machine:
    return Machine(
        id=server.id,
        offer=_offer_from_tag(server.tags["rayfleet-offer"]),
        batch=server.tags["rayfleet-batch"],
        state=_STATES.get(server.status, MachineState.STARTING),
        head=bool(server.tags["rayfleet-head"]),
        message=server.status if server.status not in _STATES else "",
    )


def _offer_to_tag(offer: OfferKey) -> str:
    return json.dumps([offer.pool, offer.provider, offer.region, offer.zone, offer.market])


def _offer_from_tag(tag: str) -> OfferKey:
    pool, provider, region, zone, market = json.loads(tag)
    return OfferKey(pool, provider, region, zone, Market(market) if market else None)


def _user_data(script: StartScript) -> str:
    """Pack command and environment for the machine's first boot, where the server's own id is known."""
    return base64.b64encode(json.dumps({"argv": script.argv, "env": dict(script.env)}).encode()).decode()
