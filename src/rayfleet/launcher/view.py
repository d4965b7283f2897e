"""What the controller has recorded, read from its history; nothing here asks a machine or Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rayfleet.launcher import lease
from rayfleet.launcher.errors import LauncherError, NotRunning, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.model import EXISTING, OrderKind, Phase, Pool, TickReport
from rayfleet.reports.events import Event
from rayfleet.reports.history import HistoryReader

MANY: Final = 100_000
"""More ticks than a history holds."""
_SHOWN: Final = 10
_POLL_S: Final = 0.1
SILENT_S: Final = 30.0
"""A controller that has not ticked for so long is stuck or gone; what it recorded is old news."""


def newest(home: Home, since: float = 0.0) -> TickReport | None:
    """Return the newest report, None when there is none of after `since` (seconds since the epoch)."""
    reader = HistoryReader(home.history)
    beat = reader.heartbeat()
    if beat is None or beat.at < since:
        return None
    report = reader.latest()
    return report if report is not None and report.snapshot.now >= since else None


def latest(home: Home) -> TickReport:
    """Return the newest report.

    Raises:
        NotRunning: nothing was ever recorded.
    """
    report = newest(home)
    if report is None:
        raise NotRunning(f"cluster {home.name} has recorded nothing yet", f"rayfleet up {home.name}")
    return report


def warning(home: Home) -> str:
    """Return why the newest report may be old news; "" when it is not."""
    of_cluster = home.config.exists()  # else the folder of a record, in which nobody notes who controls the cluster
    if of_cluster and not home.is_up:
        return f"cluster {home.name} is down; this is how it was last"
    if of_cluster and lease.controller(home) is None:
        return f"the controller of {home.name} is gone, nothing is adjusted any more: rayfleet up {home.name}"
    beat = HistoryReader(home.history).heartbeat()
    silent_s = time.time() - beat.at if beat else 0.0
    if silent_s > SILENT_S:
        return f"the controller of {home.name} has been silent for {silent_s:.0f} s: rayfleet logs {home.name}"
    return ""


def status_text(home: Home, *, verbose: bool = False) -> str:
    """Return the cluster as text, in the sections that users know from `ray status`. `verbose`: each node's use, too.

    Raises:
        NotRunning: nothing was ever recorded.
    """
    from rayfleet.reports.status_text import status_text as text_of

    note = warning(home)
    text = text_of(latest(home), verbose=verbose)
    return f"{text}\n\nWarning: {note}" if note else text


def status_json(home: Home) -> dict[str, Any]:
    """Return the cluster for programs; `warning` says why it may be old news.

    Raises:
        NotRunning: nothing was ever recorded.
    """
    from rayfleet.reports.status_json import status_json as json_of

    return {**json_of(latest(home)), "warning": warning(home)}


def await_status(home: Home, condition: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
    """Return the first status for which `condition` holds.

    Raises:
        TookTooLong: it did not hold in time.
        NotRunning: nothing was ever recorded.
    """
    deadline = time.monotonic() + timeout_s
    while not condition(now := status_json(home)):
        if time.monotonic() > deadline:
            raise TookTooLong(f"cluster {home.name} is not so after {timeout_s:g} s", f"rayfleet why {home.name}")
        time.sleep(_POLL_S)
    return now


def happenings(home: Home, last: int) -> tuple[Event, ...]:
    """Return the `last` events, the newest last."""
    return HistoryReader(home.history).events(limit=last)


def recorded_tick(home: Home, which: str) -> dict[str, Any]:
    """Return the record of a tick, by its number or `last`, as `rayfleet replay` reads it.

    Raises:
        LauncherError: that tick is not held: only those that changed something are, and one a minute.
    """
    from rayfleet.config import report_to_json

    return report_to_json(recorded_report(home, which))


def recorded_report(home: Home, which: str) -> TickReport:
    """Return the report of a tick, by its number or `last`.

    Raises:
        LauncherError: that tick is not held: only those that changed something are, and one a minute.
    """
    reader = HistoryReader(home.history)
    if which == "last":
        return latest(home)
    held = reader.ticks(limit=MANY)
    ids = [row.id for row in held if str(row.tick) == which]
    report = reader.report(ids[-1]) if ids else None
    if report is None:
        numbers = ", ".join(str(row.tick) for row in held[-_SHOWN:])
        raise LauncherError(f"there is no record of tick {which}", f"the newest that are held: {numbers or 'none'}")
    return report


def recorded_in(file: Path, since: float) -> Iterator[TickReport]:
    """Yield the recorded ticks of a history file since a moment, the oldest first."""
    reader = HistoryReader(file)
    for row in reader.ticks(since, limit=MANY):
        report = reader.report(row.id)
        if report is not None:
            yield report


def event_json(event: Event) -> dict[str, Any]:
    """Return an event for programs."""
    return asdict(event)


def ready(report: TickReport, pool: str) -> int:
    """Return how many machines of a pool are ready."""
    return sum(claim.count for claim in report.plan.claims if claim.pool == pool and claim.phase is Phase.READY)


def existing(report: TickReport, pool: str) -> int:
    """Return how many machines of a pool there are, those that come and go included."""
    return sum(claim.count for claim in report.plan.claims if claim.pool == pool and claim.phase in EXISTING)


def least(report: TickReport, pool: Pool) -> int:
    """Return how many machines a pool is to have at least, as its configuration says or people have ordered since."""
    wanted = pool.min_workers
    for order in report.plan.orders:
        if order.kind is OrderKind.SCALE and order.target == pool.name:
            return int(order.value)
        if order.kind is OrderKind.SET and order.target == f"{pool.name}.min_workers":
            wanted = int(order.value)
    return wanted
