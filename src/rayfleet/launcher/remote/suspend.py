"""`rayfleet suspend` of a cluster elsewhere: its workers are given back, its head's machine is stopped and stays.

    note -> controller on the head stops -> workers go, by the loop here -> head is stopped -> note

The loop here does not see the head, as that of `up` sees nothing else. Whoever is killed between any two steps asks
again: nothing is launched, and what is away or stopped already is what was asked for. Hosts that somebody owns are
given back, all of them: they should be free for others. What starts the head again is in `resume`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

from rayfleet.contracts import Denied, KeepsStandby, LaunchRequest, Machine, MachineState, Provider, ProviderError
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, logs, suspension
from rayfleet.launcher.errors import LauncherError, NotRunning, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote.down import Ending, end, stop_controller, wait_late
from rayfleet.launcher.remote.parts import Nobody, parts
from rayfleet.launcher.remote.reconcile import Left, listed, pick_head, release_all
from rayfleet.launcher.remote.site import Site, bare, prepare
from rayfleet.launcher.remote.up import at_hand
from rayfleet.launcher.spec import Wanted
from rayfleet.launcher.suspend import Rests, rested
from rayfleet.launcher.suspension import Stage
from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Parts, close_parts
from rayfleet.model import Market, StandbyMode
from rayfleet.reports.history import History
from rayfleet.reports.log import Log
from rayfleet.wire.ssh.session import Ssh
from rayfleet.wiring import registry

ASK_AGAIN_S: Final = 30.0
_LOOK_S: Final = 1.0


class CannotRest(LauncherError):
    """The head's machine cannot be stopped and kept."""


class WorkersOnly:
    """A provider as `suspend` sees it: no head exists, and nothing can be asked for."""

    def __init__(self, inner: Provider) -> None:
        """Let `inner` do the work."""
        self._inner = inner

    @property
    def name(self) -> str:
        """Return the provider's type."""
        return self._inner.name

    @property
    def list_interval_s(self) -> float:
        """Return how often `list` is worth calling, in seconds."""
        return self._inner.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Return the workers of this cluster."""
        return tuple(machine for machine in await self._inner.list() if not machine.head)

    async def launch(self, request: LaunchRequest) -> None:
        """Refuse with a ValueError."""
        raise ValueError(f"nothing is launched while a cluster is suspended, not {request.offer.pool} either")

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Give workers back."""
        await self._inner.release(machine_ids)

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class _Course:
    """One `suspend`: of what, at which place, who hears of it, and until when (the loop's clock)."""

    site: Site
    provider: Provider
    progress: Progress
    until: float

    @property
    def left_s(self) -> float:
        return max(1.0, self.until - asyncio.get_running_loop().time())


async def suspend(
    cluster: Wanted,
    progress: Progress,
    timeout_s: float,
    make: Callable[[Site], Provider] = bare,
    ssh: Ssh | None = None,
) -> Rests:
    """Suspend the cluster; of one that is half suspended, the rest.

    Raises:
        CannotRest: the head cannot be stopped; nothing was done, unless the message says so.
        NotRunning: it is down, or has no head.
        AlreadyControlled: an `up` or a `down` is at it.
        TookTooLong, LauncherError, ProviderError: as their names say; `suspend` again goes on.
    """
    began = time.monotonic()
    home = homes.find(cluster.name)
    if not home.is_up and not home.is_suspended:
        raise NotRunning(f"cluster {home.name} is down, there is nothing to suspend", f"rayfleet up {home.name}")
    kind = registry()[cluster.spec.provider]
    if kind.keeps_hosts:
        with suspension.begun(home) as begun:
            return rested(home, await end(cluster, Ending(progress, timeout_s), make, ssh), begun.since)
    if StandbyMode.STOPPED not in kind.standby:
        raise cannot_rest(home, f"machines of provider {kind.name} cannot be stopped and kept")
    with lease.lease(home, lease.DOWN):
        logs.configure(home, also_here=False)
        async with at_hand(ssh) as open_:
            site = prepare(cluster, open_)
            until = asyncio.get_running_loop().time() + timeout_s
            done = await _suspended(_Course(site, make(site), progress, until))
    return replace(done, took_s=round(time.monotonic() - began, 3))


def cannot_rest(home: Home, why: str) -> CannotRest:
    """Return the refusal, which says what there is instead."""
    hint = f"rayfleet down {home.name} gives everything back, with the head's disk; up then begins with an empty one"
    return CannotRest(f"cluster {home.name} cannot be suspended: {why}", hint)


async def _suspended(course: _Course) -> Rests:
    """Go all steps, each of which may have been gone before."""
    home = course.site.home
    edges = (WorkersOnly(course.provider), Nobody(), MemoryLedger())
    policy = replace(course.site.spec.policy, head=None)
    made = parts(home.name, policy, edges, (History(home.history), Log()))
    try:
        head = pick_head(await listed(course.provider), course.site.where().machine)
        if head is None:
            raise NotRunning(f"the place lists no head of {home.name}", f"rayfleet up {home.name} makes one")
        if head.offer.market is Market.SPOT:
            raise cannot_rest(home, f"its head {head.id} is a spot machine, which is lost when it stops")
        noted = suspension.note(home, Stage.SUSPENDING)
        await _stop_controller(course, head)
        left = await _release(made, course)
        await _stop_head(course, head)
    finally:
        await close_parts(made)
    if not left.left:
        suspension.note(home, Stage.SUSPENDED, unasked=False)
    return Rests(home.name, noted.since, len(left.there), head.id, 0.0, left.left)


async def _release(made: Parts, course: _Course) -> Left:
    """Give the workers back."""
    try:
        return await release_all(made, course.progress, course.left_s)
    except TookTooLong as error:
        raise TookTooLong(str(error), f"rayfleet suspend {course.site.home.name} goes on where this stopped") from None


async def _stop_controller(course: _Course, head: Machine) -> None:
    """Stop the controller; one that cannot be asked goes with its machine, and what it has asked for is waited for.

    That is noted, for whoever goes on when this is killed: the head that rests then does not tell of it.
    """
    home = course.site.home
    noted = suspension.load(home)
    unasked = noted is not None and noted.unasked
    if head.state is MachineState.RUNNING:
        unasked = await stop_controller(course.site, head, course.progress, "it is stopped first") is None
        suspension.note(home, Stage.SUSPENDING, unasked=unasked)
    if unasked:
        await _stop_head(course, head)
        await wait_late(course.progress)


async def _stop_head(course: _Course, head: Machine) -> None:
    """Stop the head's machine and wait until it rests.

    Raises:
        CannotRest: the place refuses.
        NotRunning: it is gone.
        TookTooLong: it does not stop.
    """
    home, loop = course.site.home, asyncio.get_running_loop()
    ask_at = loop.time()
    while True:
        found = next((machine for machine in await listed(course.provider) if machine.id == head.id), None)
        if found is None:
            raise NotRunning(f"the head {head.id} is gone", f"rayfleet up {home.name} makes a new one")
        if found.state is MachineState.STANDBY:
            return
        if found.state is not MachineState.STOPPING and loop.time() >= ask_at:
            ask_at = loop.time() + (ASK_AGAIN_S if await _ask(course, head) else _LOOK_S)
        course.progress(Told(f"head {head.id}: stopping"))
        if loop.time() > course.until:
            raise TookTooLong(f"the head {head.id} does not stop", f"rayfleet suspend {home.name} goes on")
        await asyncio.sleep(_LOOK_S)


async def _ask(course: _Course, head: Machine) -> bool:
    """Ask for the head to be stopped; say whether that was answered."""
    try:
        await cast("KeepsStandby", course.provider).stop((head.id,), StandbyMode.STOPPED)
    except Denied as error:
        name = course.site.home.name
        why = f"the place does not stop its head: {error}"
        hint = f"its controller is stopped: rayfleet resume {name} takes it up again, rayfleet down {name} ends it"
        raise CannotRest(f"cluster {name} cannot be suspended: {why}", hint) from error
    except ProviderError as error:
        course.progress(Told(f"head {head.id}: {error}"))
        return False
    return True
