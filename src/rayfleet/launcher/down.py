"""Ending a cluster: an order to the ledger that the controller answers, or this process in its place when it is dead.

The same loop releases everything, workers first and the head last. Then the machine is looked over by itself: what
still carries the cluster's tag, whatever our own lists say, is ended too, and temporary folders go. History and logs
stay.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import lease, view
from rayfleet.launcher.errors import TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.progress import Progress, Step, unseen
from rayfleet.launcher.spec import assemble
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import OrderKind
from rayfleet.providers.process import leftovers, procfs
from rayfleet.providers.process.leftovers import Leftover

DOWN_TIMEOUT_S: Final = 120.0
LEAVE_TIMEOUT_S: Final = 5.0
RAY_LOGS: Final = "ray"
"""Folder of the last session's Ray logs, in the cluster's folder of logs."""
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
    left = await _end_leftovers(home)
    if not left:
        _remove_traces(home)
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
    if running is not None:
        running.send(signal.SIGUSR1)
    while running is not None and running.alive and not lease.is_free(home):
        report = view.newest(home)
        left = sum(claim.count for claim in report.plan.claims) if report else before
        progress(Step(f"{left} machines left", max(0, before - left), max(before, left)))
        await asyncio.sleep(_POLL_S)


async def _finish_here(home: Home, progress: Progress) -> None:
    """Do the controller's work in this process, when it could not: the order stands until it is done."""
    with lease.lease(home, "down"):
        assembly = assemble(home)
        try:
            if any(order.kind is OrderKind.SHUTDOWN for order in (await assembly.ledger.load()).orders):
                progress(Step("there is no controller: ending the machines from here"))
                await assembly.reconciler.run()
        finally:
            await assembly.close()


async def _end_leftovers(home: Home) -> tuple[Leftover, ...]:
    """End every process that carries the cluster's tag; return those that would not."""
    left = leftovers.left_behind(home.name, home.path)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        for each in left:
            procfs.send_signal(each.key, number)
        while left and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            left = leftovers.left_behind(home.name, home.path)
    return left


def _remove_traces(home: Home) -> None:
    """Remove what only a running cluster needs. The logs of its Ray are kept, beside ours."""
    session = _session_of(home)
    if session is not None:
        kept = home.logs / RAY_LOGS
        shutil.rmtree(kept, ignore_errors=True)
        if (session / "logs").is_dir():
            shutil.move(session / "logs", kept)
        shutil.rmtree(session, ignore_errors=True)
        _forget_session(session.parent, RaySettings.load(home.path).gcs_address)
    home.forget_ray()


def _session_of(home: Home) -> Path | None:
    """Return the session folder of the cluster's last head, when it is still there."""
    try:
        told = json.loads(RaySettings.load(home.path).head_path.read_text(encoding="utf-8"))
        session = Path(told["session_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return session if session.is_dir() and session.name.startswith("session_") else None


def _forget_session(temp_dir: Path, gcs_address: str) -> None:
    """Remove what leads Ray's tools to a cluster that is no more; another cluster's stays."""
    for link in (temp_dir / "session_latest", temp_dir / "prom_metrics_service_discovery.json"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    current = temp_dir / "ray_current_cluster"
    if current.is_file() and current.read_text(encoding="utf-8").strip() == gcs_address:
        current.unlink()
