"""Asks for the machines of one launch, under names that follow from it, and finds out how that ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rayfleet.contracts import Flaky, LaunchRequest, ProviderError
from rayfleet.model import OfferKey
from rayfleet.providers.gcp.bodies import Blueprint
from rayfleet.providers.gcp.calls import Calls, all_ended
from rayfleet.providers.gcp.client import CallFailed, Operation
from rayfleet.providers.gcp.errors import Trouble, error, worst
from rayfleet.providers.gcp.names import token

BULK_MAX: Final = 1_000
"""Machines that one bulkInsert may ask for."""


@dataclass(frozen=True, slots=True)
class Making:
    """One launch. `zone` "": anywhere in the region. `attempt`: how often it has ended in nothing before."""

    cluster: str
    request: LaunchRequest
    blueprint: Blueprint
    zone: str
    region: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for some machines: an operation under way or done, or why it was not accepted."""

    names: tuple[str, ...]
    operation: Operation | None = None
    trouble: Trouble | None = None

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Return why not all of them were made, empty when they are there or may come."""
        said = (*((self.trouble,) if self.trouble else ()), *(self.operation.troubles if self.operation else ()))
        return tuple(trouble for trouble in said if not trouble.exists)


async def ask(calls: Calls, making: Making, names: tuple[str, ...]) -> tuple[Asked, ...]:
    """Ask for all of them in as few calls as possible, and watch for a while what Google says."""
    single = len(names) == 1 and making.zone
    if single or not making.blueprint.fits_bulk:
        asked = await all_ended(_one(calls, making, name) for name in names)
    else:
        parts = [names[start : start + BULK_MAX] for start in range(0, len(names), BULK_MAX)]
        found = await all_ended(_several(calls, making, part) for part in parts)
        asked = [one for part in found for one in part]
    begun = [one.operation for one in asked if one.operation]
    watched = {operation.name: operation for operation in await calls.watched(begun)}
    return tuple(Asked(one.names, one.operation and watched[one.operation.name], one.trouble) for one in asked)


def told(troubles: tuple[Trouble, ...], offer: OfferKey) -> ProviderError:
    """Return the error that says why nothing was made."""
    return error(worst(troubles), offer)


async def _one(calls: Calls, making: Making, name: str) -> Asked:
    project = await calls.told(making.request.offer, lambda: calls.compute.project)
    blueprint = making.blueprint
    body = blueprint.named(project, making.zone, name)
    request_id = token("insert", making.cluster, making.request.batch, str(making.attempt), name)
    args = (making.zone, body, request_id, blueprint.template, blueprint.machine_image)
    return await _accepted((name,), calls, calls.compute.insert, *args)


async def _several(calls: Calls, making: Making, names: tuple[str, ...]) -> tuple[Asked, ...]:
    """Ask with one call. Its token has the names in it: what completes a launch is another call than what began it.

    When some are there already that no listing shows yet, each is asked for by itself, which needs a zone.

    Raises:
        Flaky: some are there, and nobody knows in which zone the others are to be.
    """
    request_id = token("bulk", making.cluster, making.request.batch, str(making.attempt), *names)
    body = making.blueprint.bulk(names)
    args = (making.zone, making.region, body, request_id)
    asked = await _accepted(names, calls, calls.compute.bulk_insert, *args)
    if asked.trouble is None or not asked.trouble.exists:
        return (asked,)
    if not making.zone:
        raise Flaky("some machines of this launch are there already; the others are asked for next time")
    return tuple(await all_ended(_one(calls, making, name) for name in names))


async def _accepted(names: tuple[str, ...], calls: Calls, call: Callable[..., Operation], *args: object) -> Asked:
    try:
        return Asked(names, operation=await calls.once(call, *args))
    except CallFailed as failed:
        return Asked(names, trouble=failed.trouble)
