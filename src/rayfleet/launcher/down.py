"""Ending a cluster: an order to the ledger that the controller answers, or this process in its place when it is dead.

The same loop releases everything, workers first and the head last. Then the machine is looked over by itself: what
still carries the cluster's tag, whatever our own lists say, is ended too, and temporary folders go. History and logs
stay.
"""

from __future__ import annotations

import asyncio
import getpass
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

from rayfleet.launcher import lease, view
from rayfleet.launcher.errors import TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.progress import Progress, Step, unseen
from rayfleet.launcher.spec import assemble
from rayfleet.launcher.traces import end_leftovers, remove_traces
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import OrderKind

DOWN_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a `down` ended. `left_behind`: processes of the cluster that could not be ended, for people."""

    cluster: str
    released: int
    took_s: float
    left_behind: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "left_behind": list(self.left_behind), "ok": not self.left_behind}


async def down(home: Home, progress: Progress = unseen, timeout_s: float = DOWN_TIMEOUT_S) -> Ended:
    """End the cluster; of one that is down already, whatever is left.

    Raises:
        TookTooLong: machines are still there; asking again goes on where this stopped.
        AlreadyControlled: another `down` is at it.
        LedgerUnavailable: the order cannot be written.
    """
    began = time.monotonic()
    released = await _release_all(home, progress, timeout_s) if home.settings.exists() else 0
    progress(Step("looking for what is left"))
    left = await end_leftovers(home)
    if not left:
        remove_traces(home)
    took_s = round(time.monotonic() - began, 3)
    return Ended(home.name, released, took_s, tuple(f"{each.key.pid} {each.command}" for each in left))


async def _release_all(home: Home, progress: Progress, timeout_s: float) -> int:
    """Have the loop release every machine, here or in the controller; return how many there were."""
    ledger = SqliteLedger(home.ledger)
    try:
        before = sum(claim.count for claim in (await ledger.load()).claims)
        await ledger.add_order(shutdown(Author(getpass.getuser(), time.time())))
    finally:
        await ledger.close()
    try:
        async with asyncio.timeout(timeout_s):
            await _wait_for_controller(home, before, progress)
            await _finish_here(home, progress)
    except TimeoutError:
        hint = f"rayfleet logs {home.name} says why; rayfleet down {home.name} goes on"
        raise TookTooLong(f"cluster {home.name} is not down after {timeout_s:g} s", hint) from None
    return before


async def _wait_for_controller(home: Home, before: int, progress: Progress) -> None:
    """Wait until the controller has done it and ended, or is gone."""
    running = lease.controller(home)
    if running is not None and running.role == lease.CONTROLLER:  # else it may be this very process: an `up` given up
        running.send(signal.SIGUSR1)
    while running is not None and running.alive and not lease.is_free(home):
        report = view.newest(home)
        left = sum(claim.count for claim in report.plan.claims) if report else before
        progress(Step(f"{left} machines left", max(0, before - left), max(before, left)))
        await asyncio.sleep(_POLL_S)


async def _finish_here(home: Home, progress: Progress) -> None:
    """Do the controller's work in this process, when it could not: the order stands until it is done."""
    with lease.lease(home, "down"):
        if not home.settings.exists():  # the controller has finished, traces and all
            return
        assembly = assemble(home)
        try:
            if any(order.kind is OrderKind.SHUTDOWN for order in (await assembly.ledger.load()).orders):
                progress(Step("there is no controller: ending the machines from here"))
                await assembly.reconciler.run()
        finally:
            await assembly.close()
