"""The head that `suspend` has stopped, or somebody else: started again by `up`, before its loop looks for it.

What `up` does then is what it does with any head that has booted: its recipe starts Ray, its controller is brought and
started, and that launches the minimums.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

from rayfleet.contracts import Denied, KeepsStandby, LaunchRequest, Machine, MachineState, Provider, ProviderError
from rayfleet.launcher.errors import TookTooLong
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote.reconcile import HeadFailed, listed, pick_head
from rayfleet.launcher.remote.site import Site
from rayfleet.model import StandbyMode
from rayfleet.wiring import registry

_LOOK_S: Final = 1.0
_ASK_AGAIN_S: Final = 10.0


async def awaken(site: Site, provider: Provider, progress: Progress, timeout_s: float) -> None:
    """Start the head if it is stopped; return when it is not (any more), or when there is none.

    Raises:
        HeadFailed: the place says that it will not be.
        TookTooLong: it is not started in time, say for want of stock.
    """
    if StandbyMode.STOPPED not in registry()[site.spec.provider].standby:
        return
    loop = asyncio.get_running_loop()
    until, ask_at, said = loop.time() + timeout_s, loop.time(), ""
    batch, accepted = _new_batch(), False
    while (head := await _resting(site, provider)) is not None:
        if loop.time() > until:
            hint = f"rayfleet resume {site.home.name} goes on"
            why = said or head.message
            raise TookTooLong(f"the head {head.id} is not started yet{why and f': {why}'}", hint)
        if head.state is MachineState.STANDBY and loop.time() >= ask_at:
            if accepted:  # and it rests all the same: the place takes the same call for done
                batch = _new_batch()
            progress(Told(f"head {head.id}: starting it again"))
            said, ask_at = await _start(site, provider, head, batch), loop.time() + _ASK_AGAIN_S
            accepted = not said
        progress(Told(f"head {head.id}: {said or head.message or 'it is to start'}"))
        await asyncio.sleep(_LOOK_S)


def _new_batch() -> str:
    """Return a name for one start: what a place has done under a name it does not do again."""
    return f"resume-{time.time_ns()}"


async def _resting(site: Site, provider: Provider) -> Machine | None:
    """Return the head while it is stopped, or being stopped for a suspension."""
    try:
        head = pick_head(await listed(provider), site.where().machine)
    except ProviderError:
        return None  # the loop asks again, and tells
    if head is None:
        return None
    stops = head.state is MachineState.STOPPING and site.home.is_suspended
    return head if stops or head.state is MachineState.STANDBY else None


async def _start(site: Site, provider: Provider, head: Machine, batch: str) -> str:
    """Ask for the head to be started; return why it was not, "" when that was accepted."""
    pool = site.spec.policy.head
    if pool is None:
        return ""
    request = LaunchRequest(batch, head.offer, pool, (batch,), head=True, reuse=(head.id,))
    try:
        await cast("KeepsStandby", provider).start(request)
    except Denied as error:
        hint = f"when that is put right: rayfleet resume {site.home.name}; or else: rayfleet down {site.home.name}"
        raise HeadFailed(f"the head {head.id} cannot be started again: {error}", hint) from error
    except ProviderError as error:
        return str(error)
    return ""
