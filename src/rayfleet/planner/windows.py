"""Cron windows at one moment: is it open, since when, and when does that change. Pure: the moment is given.

`now` is seconds since 1970 in UTC, as in every snapshot of a running cluster. The time zones' rules come from the
machine's own table (or the package `tzdata`); they are read once and are the same in every plan.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rayfleet.model import Window

MINUTE_S: Final = 60.0
EARLIEST_S: Final = -1e9
LATEST_S: Final = 1e11
"""Moments outside of these (1938 to 5138) have no calendar here: no window is open then."""
FOLD: Final = timedelta(hours=1)
"""No clock is put back by more when summer time ends."""


def opened_at(window: Window, now: float) -> float | None:
    """Return when the window that is open at `now` has opened (the newest firing); None when it is closed.

    It is open from its opening on, and closed from `duration_s` later on.
    """
    fired = _fired(window, now)
    return fired if fired is not None and now < fired + window.duration_s else None


def is_open(window: Window, now: float) -> bool:
    """Say whether the window is open at `now`."""
    return opened_at(window, now) is not None


def closes_at(window: Window, now: float) -> float | None:
    """Return when the window that is open at `now` closes unless it fires again before; None when it is closed."""
    opened = opened_at(window, now)
    return None if opened is None else opened + window.duration_s


def next_change(window: Window, now: float) -> float | None:
    """Return the first moment after `now` at which the window may open or close; None when it never will."""
    moments = [closes_at(window, now), _fires(window, now)]
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _fired(window: Window, now: float) -> float | None:
    """Return the newest firing up to `now`."""
    return _newest(window.cron, window.time_zone, math.floor(now / MINUTE_S)) if _dated(now) else None


def _fires(window: Window, now: float) -> float | None:
    """Return the first firing after `now`."""
    return _next(window.cron, window.time_zone, math.floor(now / MINUTE_S)) if _dated(now) else None


def _dated(now: float) -> bool:
    return EARLIEST_S <= now <= LATEST_S


# Five fields name minutes, so that nothing changes within one; most plans are made within a minute of the one before.


@lru_cache(maxsize=256)
def _newest(cron: str, time_zone: str, minute: int) -> float | None:
    """Return the newest firing up to the beginning of a minute, in seconds since 1970."""
    at = minute * MINUTE_S
    start = _local(at, time_zone)
    if start is None:
        return None
    # In an hour that the clock shows twice, what has fired may stand later on the clock than `start`.
    start = start + FOLD if start.fold else start
    line = _line(cron, start + timedelta(seconds=1), reverse=True)
    while line is not None:
        fired = next(line, None)
        if fired is None:
            return None
        if fired.timestamp() <= at:
            return fired.timestamp()
    return None


@lru_cache(maxsize=256)
def _next(cron: str, time_zone: str, minute: int) -> float | None:
    """Return the first firing after a minute has begun, in seconds since 1970."""
    at = minute * MINUTE_S
    start = _local(at, time_zone)
    line = None if start is None else _line(cron, start, reverse=False)
    while line is not None:
        fires = next(line, None)
        if fires is None:
            return None
        if fires.timestamp() > at:
            return fires.timestamp()
    return None


def _local(at: float, time_zone: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC if time_zone == "UTC" else ZoneInfo(time_zone))
    except (ValueError, KeyError, OSError):  # not a name, of no zone, or of a folder of zones
        return None


def _line(cron: str, start: datetime, *, reverse: bool) -> CronSim | None:
    try:
        return CronSim(cron, start, reverse=reverse)
    except CronSimError:
        return None
