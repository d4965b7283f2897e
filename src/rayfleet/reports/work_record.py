"""What waits and what each host uses, as a row whenever it has changed: from it the work of a day can be read back.

The first row of a controller holds everything, later ones only the hosts whose use differs. A row is some hundred
bytes, so that days fit where full reports of every change would not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rayfleet.model import Demand, Resources, Snapshot, TickReport
from rayfleet.model.codec import decode, encode


@dataclass(frozen=True, slots=True)
class WorkSeen:
    """What waited, and what each host that was in use used, at one moment (seconds since the epoch)."""

    at: float
    demand: Demand
    used: dict[str, Resources]


def work_of(snapshot: Snapshot) -> WorkSeen:
    """Return the work that a snapshot shows. Pure."""
    used = {host.id: host.used for claim in snapshot.claims for host in claim.hosts if host.used}
    return WorkSeen(snapshot.now, snapshot.demand, used)


def work_in(reports: Iterable[TickReport]) -> Iterator[WorkSeen]:
    """Yield the work of each report in which Ray answered."""
    return (work_of(report.snapshot) for report in reports if report.snapshot.engine_up)


class WorkRecord:
    """Makes the rows of one controller."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._last: WorkSeen | None = None

    def row(self, report: TickReport) -> str | None:
        """Return the row that a report adds, None when nothing that it tells has changed."""
        if not report.snapshot.engine_up:
            return None
        last, now = self._last, work_of(report.snapshot)
        before = last.used if last else {}
        changed = {host: used for host, used in now.used.items() if before.get(host) != used}
        gone = [host for host in before if host not in now.used]
        if last is not None and not changed and not gone and _ageless(last.demand) == _ageless(now.demand):
            return None
        self._last = now
        told: dict[str, Any] = {"demand": encode(now.demand), "used": {h: dict(used) for h, used in changed.items()}}
        told |= {"gone": gone} if gone else {}
        told |= {"all": True} if last is None else {}
        return json.dumps(told, separators=(",", ":"))


def read_rows(rows: Iterable[tuple[float, str]]) -> Iterator[WorkSeen]:
    """Yield what rows (moment, text) tell, from the first one that holds everything. ValueError: they are damaged."""
    used: dict[str, Resources] | None = None
    for at, text in rows:
        told = json.loads(text)
        used = {} if told.get("all") else used
        if used is None:
            continue
        used = {host: amounts for host, amounts in used.items() if host not in told.get("gone", ())}
        used |= {host: Resources(amounts) for host, amounts in told["used"].items()}
        yield WorkSeen(at, decode(Demand, told["demand"]), used)


def _ageless(demand: Demand) -> Demand:
    tasks = tuple(replace(task, age_s=0.0) for task in demand.tasks)
    return Demand(tasks, tuple(replace(gang, age_s=0.0) for gang in demand.gangs), demand.requested)
