"""Ending a cluster: an order to the ledger that its controller answers, or a new one when it is dead.

The loop releases everything, workers first and the head last. Then the machine is looked over by itself: what still
carries the cluster's tag, whatever our own lists say, is ended too, and temporary folders go. History and logs stay.
"""

from __future__ import annotations

import asyncio
import getpass
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from rayfleet.contracts import Record, SilentHost
from rayfleet.launcher import daemon, lease, suspension, view
from rayfleet.launcher.errors import AlreadyControlled, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.progress import Progress, Step, unseen
from rayfleet.launcher.traces import end_leftovers, remove_traces
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import OrderKind, TickReport
from rayfleet.providers.process.leftovers import Leftover
from rayfleet.reports.history import HistoryUnavailable

DOWN_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_READ_S: Final = 2.0
"""A tick that begins so long after an order has read it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a `down` ended. `left_behind`: processes of the cluster that could not be ended, for people.

    `unreachable`: hosts of one's own that did not answer, and on which something of the cluster may run on.
    """

    cluster: str
    released: int
    took_s: float
    left_behind: tuple[str, ...] = ()
    unreachable: tuple[SilentHost, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        unreachable = [host.as_json() for host in self.unreachable]
        told = {"left_behind": list(self.left_behind), "unreachable": unreachable}
        return {**asdict(self), **told, "ok": not (self.left_behind or unreachable)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: when (seconds since the epoch), with how many machines, and until when (monotonic)."""

    at: float
    machines: int
    deadline: float


async def down(home: Home, progress: Progress = unseen, timeout_s: float = DOWN_TIMEOUT_S) -> Ended:
    """End the cluster; of one that is down already, whatever is left.

    Raises:
        TookTooLong: machines are still there; asking again goes on where this stopped.
        AlreadyControlled: somebody else has just taken it up.
        LedgerUnavailable: the order cannot be written.
    """
    ended = await end(home, progress, timeout_s)
    suspension.clear(home)
    return ended


async def end(home: Home, progress: Progress, timeout_s: float) -> Ended:
    """End it as `down` does; a note that it is suspended stays."""
    began = time.monotonic()
    released = await _release_all(home, progress, timeout_s) if home.settings.exists() else 0
    daemon.reap()
    left = await _sweep(home, progress)
    took_s = round(time.monotonic() - began, 3)
    return Ended(home.name, released, took_s, tuple(f"{each.key.pid} {each.command}" for each in left))


async def _release_all(home: Home, progress: Progress, timeout_s: float) -> int:
    """Order the shutdown and wait until a controller has carried it out; return how many machines there were."""
    asked = Asked(time.time(), await _order(home), time.monotonic() + timeout_s)
    while home.settings.exists():
        running = lease.controller(home)
        if running is None:  # there was none, or it ended without having finished
            _still_wanted_down(home, asked)
            child = daemon.spawn(home)
            while child.poll() is None:
                await _tell(home, asked, progress)
            if lease.controller(home) is None:  # else it met one that somebody else started meanwhile
                break
            continue
        if running.role == lease.CONTROLLER:  # else it may be this very process, in an `up` that was interrupted
            running.send(signal.SIGUSR1)
        # Until its process has ended: it lets go of the lease a moment before. But it may be this one (see above).
        while running.alive and (running.role == lease.CONTROLLER or not lease.is_free(home)):
            await _tell(home, asked, progress)
    if home.settings.exists():
        progress(Step("no controller can run: ending processes one by one"))
        await _give_up_claims(home)
    return asked.machines


async def _sweep(home: Home, progress: Progress) -> tuple[Leftover, ...]:
    """End what is left and remove its traces, while nobody can take the cluster up again."""
    while (other := lease.controller(home)) is not None and other.role == lease.DOWN:
        progress(Step(f"it is being ended already: {other}"))
        await asyncio.sleep(_POLL_S)
    with lease.lease(home, lease.DOWN):
        progress(Step("looking for what is left"))
        left = await end_leftovers(home)
        if not left:
            remove_traces(home)
    return left


async def _order(home: Home) -> int:
    """Write the order down; return how many machines there are."""
    ledger = SqliteLedger(home.ledger)
    try:
        await ledger.add_order(shutdown(Author(getpass.getuser(), time.time())))
        return sum(claim.count for claim in (await ledger.load()).claims)
    finally:
        await ledger.close()


async def _tell(home: Home, asked: Asked, progress: Progress) -> None:
    report, before = _newest(home), asked.machines
    if report is not None and _goes_on(report, asked):
        raise _taken_up(home)
    left = sum(claim.count for claim in report.plan.claims) if report else before
    progress(Step(f"{left} machines left", max(0, before - left), max(before, left)))
    if time.monotonic() > asked.deadline:
        hint = f"rayfleet logs {home.name} says why; rayfleet down {home.name} goes on"
        raise TookTooLong(f"cluster {home.name} is not down yet", hint)
    await asyncio.sleep(_POLL_S)


def _goes_on(report: TickReport, asked: Asked) -> bool:
    """Say whether a controller that must have read the order knows of none: somebody has taken it back."""
    ordered = any(order.kind is OrderKind.SHUTDOWN for order in report.plan.orders)
    return report.snapshot.now > asked.at + _READ_S and bool(report.plan.claims) and not ordered


def _still_wanted_down(home: Home, asked: Asked) -> None:
    """Raise when the addresses are those of a cluster that was begun after the order."""
    with suppress(FileNotFoundError):
        if home.settings.stat().st_mtime > asked.at:
            raise _taken_up(home)


def _taken_up(home: Home) -> AlreadyControlled:
    hint = f"rayfleet status {home.name} shows it, rayfleet down {home.name} ends it"
    return AlreadyControlled(f"cluster {home.name} was taken up again by somebody else meanwhile", hint)


def _newest(home: Home) -> TickReport | None:
    """Return the newest report, None also when the history is damaged: a cluster ends without one as well."""
    with suppress(HistoryUnavailable):
        return view.newest(home)
    return None


async def _give_up_claims(home: Home) -> None:
    """Empty the ledger: what it speaks of is about to be ended by its tag."""
    with lease.lease(home, lease.DOWN):
        ledger = SqliteLedger(home.ledger)
        try:
            held = await ledger.load()
            await ledger.save(
                Record(serial=held.serial, spent=held.spent), answered=tuple(order.id for order in held.orders)
            )
        finally:
            await ledger.close()
