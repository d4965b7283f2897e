"""The stage: what is going on right now, gathered from the record and from the programs, for whoever watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rayfleet.launcher.demo import record
from rayfleet.launcher.demo.drivers import Line
from rayfleet.launcher.demo.record import Event
from rayfleet.model import TickReport

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see. `began`, `at`: seconds since the epoch; `events`: all so far, oldest first."""

    began: float
    at: float
    chapter: str
    report: TickReport | None
    events: tuple[Event, ...]


Show = Callable[[Scene], None]
"""Told of every change, and a few times a second when nothing changes."""

Newer = Callable[[int], Iterable[TickReport]]
"""Reads the reports after a tick, oldest first."""


@dataclass
class Stage:
    """Follows the record of one cluster. One task looks (`follow`), others wait for what they want to see (`until`)."""

    show: Show
    began: float
    chapter: str = ""
    reports: list[TickReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def follow(self, newer: Newer) -> None:
        """Look for new reports until cancelled."""
        while True:
            self.look(newer)
            await asyncio.sleep(LOOK_S)

    def look(self, newer: Newer) -> None:
        """Take what has been recorded since the last look, and show it."""
        for report in newer(self.reports[-1].tick if self.reports else 0):
            self.events += record.events(self.reports[-1] if self.reports else None, report)
            self.reports.append(report)
        self._show()

    def say(self, kind: str, text: str, at: float | None = None) -> None:
        """Add an event that is not in the record."""
        self.events.append(Event(time.time() if at is None else at, kind, text))
        self._show()

    def heard(self, line: Line) -> None:
        """Take a line of a program."""
        if line.worth_showing:
            self.say("program", line.text, line.at)

    async def until(self, seen: Callable[[list[TickReport]], bool], limit_s: float) -> bool:
        """Wait until the record shows it; False when it does not within `limit_s`."""
        deadline = time.monotonic() + limit_s
        while not seen(self.reports):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def _show(self) -> None:
        newest = self.reports[-1] if self.reports else None
        self.show(Scene(self.began, time.time(), self.chapter, newest, tuple(self.events)))
