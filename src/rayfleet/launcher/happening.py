"""What happens in a cluster, from its record: events, chosen and followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from rayfleet.launcher.asking import moment
from rayfleet.launcher.errors import LauncherError, did_you_mean
from rayfleet.launcher.home import Home
from rayfleet.reports.event_search import EventQuery
from rayfleet.reports.events import KINDS, Event
from rayfleet.reports.history import HistoryReader

POLL_S: Final = 0.5
_ALL: Final = 1_000_000
"""More events than a record holds."""


def query(kinds: list[str], pool: str, since: str, limit: int) -> EventQuery:
    """Return what was asked for in words.

    Raises:
        LauncherError: there is no such kind, or `since` is no moment.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise LauncherError(f"there are no events of kind {kind!r}", did_you_mean(kind, list(KINDS)))
    begin = moment(since, time.time(), "--since") if since else 0.0
    return EventQuery(kinds=tuple(kinds), pool=pool, since=begin, limit=limit)


def chosen(home: Home, wanted: EventQuery) -> tuple[Event, ...]:
    """Return events that are meant, the newest last."""
    return tuple(row.event for row in HistoryReader(home.history).search(wanted))


def followed(home: Home, wanted: EventQuery, pause: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """Yield events that are meant, then those that come, for ever."""
    reader = HistoryReader(home.history)
    # The newest is numbered first: what comes before the others are read is among those, whatever its number.
    last = max((row.id for row in reader.search(EventQuery(limit=1))), default=0)
    before = reader.search(wanted)
    yield from (row.event for row in before)
    last = max([last, *(row.id for row in before)])
    while True:
        rows = reader.search(replace(wanted, after=last, limit=_ALL))
        yield from (row.event for row in rows)
        last = max([last, *(row.id for row in rows)])
        if not rows:
            pause(POLL_S)
