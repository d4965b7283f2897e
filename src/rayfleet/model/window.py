"""A stretch of time that comes back: it opens whenever its cron line fires and stays open for so long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Five cron fields (minute, hour, day, month, weekday), read in `time_zone`, and for how long it stays open.

    The words are checked where they are read (`config`); what cannot be read never opens. Times around the change
    to and from summer time are Debian cron's: a time that the clock jumps over fires right after the jump, one that
    it shows twice fires once.
    """

    cron: str
    duration_s: float
    time_zone: str = "UTC"
