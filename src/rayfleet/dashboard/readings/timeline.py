"""A cluster over time: what was needed and what there was, with what was done marked on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rayfleet.dashboard.readings.amounts import charted
from rayfleet.model import ReasonCode, Trouble
from rayfleet.reports.event_search import EventQuery, EventRow
from rayfleet.reports.events import Event
from rayfleet.reports.history import HistoryReader
from rayfleet.reports.measures import Measure

WINDOWS: Final = {"15 min": 900.0, "1 h": 3600.0, "6 h": 21600.0, "1 day": 86400.0, "1 week": 604800.0}
MOST_POINTS: Final = 600
MOST_MARKS: Final = 120
_MOST_EVENTS: Final = 3_000
_MOST_REASONS: Final = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """Things of one sort that happened at about the same moment: how many machines, and the reasons."""

    at: float
    sort: str
    count: int
    reasons: tuple[str, ...]


LAUNCH: Final = "Launches"
LEAVE: Final = "Drains and releases"
STOCK: Final = "Out of stock"
INTERRUPTED: Final = "Interruptions and failures"
SORTS: Final = (LAUNCH, LEAVE, STOCK, INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Timeline:
    """From `since` until `until` (seconds since the epoch): measures and marks, both in order of time.

    `resources`: those that can be charted, the usual ones first.
    """

    since: float
    until: float
    measures: tuple[Measure, ...]
    marks: tuple[Mark, ...]
    resources: tuple[str, ...]


def timeline(reader: HistoryReader, window_s: float) -> Timeline:
    """Read the last `window_s` seconds of a record; those before its newest moment when it has ended."""
    beat = reader.heartbeat()
    until = beat.at if beat else 0.0
    since = until - window_s
    query = EventQuery(kinds=_MARKED, since=since, until=until, limit=_MOST_EVENTS)
    measures = reader.measures(since, MOST_POINTS)
    return Timeline(since, until, measures, marks(reader.search(query), window_s), _resources(measures))


_MARKED = ("launch", "drain", "release", "stop", "failed", "gone")


def marks(rows: Iterable[EventRow], window_s: float) -> tuple[Mark, ...]:
    """Return the events as marks, those of one sort that lie close together as one."""
    step = window_s / MOST_MARKS
    grouped: dict[tuple[str, int], list[Event]] = {}
    for row in rows:
        sort = sort_of(row.event)
        if sort:
            grouped.setdefault((sort, int(row.event.at / step)), []).append(row.event)
    found = [_mark(sort, events) for (sort, _), events in grouped.items()]
    return tuple(sorted(found, key=lambda mark: (mark.at, mark.sort)))


def _mark(sort: str, events: list[Event]) -> Mark:
    texts = tuple(dict.fromkeys(event.text for event in events))
    more = (f"and {len(texts) - _MOST_REASONS} more",) if len(texts) > _MOST_REASONS else ()
    return Mark(events[-1].at, sort, sum(event.count for event in events), texts[:_MOST_REASONS] + more)


_BROKEN = frozenset(
    {
        ReasonCode.INTERRUPTED.value,
        ReasonCode.NODE_DIED.value,
        ReasonCode.MACHINE_FAILED.value,
        ReasonCode.MACHINE_LOST.value,
        ReasonCode.BOOT_TIMEOUT.value,
        ReasonCode.REQUEST_TIMEOUT.value,
    }
)


def sort_of(event: Event) -> str:
    """Return under which sort an event is marked; "": it is not."""
    if event.kind == "launch":
        return LAUNCH
    if event.kind == "failed":
        short = event.code in {Trouble.OUT_OF_STOCK.value, Trouble.QUOTA_REACHED.value}
        return STOCK if short else INTERRUPTED
    if event.code in _BROKEN:
        return INTERRUPTED if event.kind != "gone" else ""
    return LEAVE if event.kind in {"drain", "release", "stop"} else ""


def _resources(measures: Iterable[Measure]) -> tuple[str, ...]:
    names = {name for measured in measures for amounts in (measured.total, measured.needed) for name in amounts}
    first = [name for name in ("CPU", "GPU", "memory") if name in names]
    return (*first, *sorted(names - set(first) - {"object_store_memory"}))


def amounts_of(measured: Measure, resource: str) -> tuple[float, float, float]:
    """Return of one resource what was needed, what there was, and what was on its way."""
    return (
        charted(resource, measured.needed.get(resource, 0)),
        charted(resource, measured.total.get(resource, 0)),
        charted(resource, measured.coming.get(resource, 0)),
    )
