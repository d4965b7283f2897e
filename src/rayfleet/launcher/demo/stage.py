"""The stage: what is going on right now, gathered from the record and from the programs, for whoever watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rayfleet.launcher.demo import record
from rayfleet.launcher.demo.drivers import Line
from rayfleet.launcher.demo.record import Event
from rayfleet.model import TickReport
from rayfleet.reports.history import HistoryReader

LOOK_S = 0.2
SETTLE_S = 0.4
"""News waits for so long, because the record tells what happened a moment later than a program does."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see. `began`, `at`: seconds since the epoch; `events`: all so far, oldest first."""

    began: float
    at: float
    chapter: str
    report: TickReport | None
    events: tuple[Event, ...]


Show = Callable[[Scene], None]
"""Told a few times a second."""


@dataclass
class Stage:
    """Follows the record of one cluster. One task looks (`follow`), others wait for what they want to see (`until`)."""

    show: Show
    began: float
    chapter: str = ""
    reports: list[TickReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    _news: list[Event] = field(default_factory=list)
    _newest: TickReport | None = None
    _row: int = 0

    async def follow(self, history: HistoryReader) -> None:
        """Look for new reports until cancelled."""
        while True:
            self.look(history)
            await asyncio.sleep(LOOK_S)

    def look(self, history: HistoryReader, *, last: bool = False) -> None:
        """Take what has been recorded since the last look, and show it. `last`: nothing more will come."""
        for row in history.ticks(since=self.reports[-1].snapshot.now if self.reports else 0.0):
            report = history.report(row.id) if row.id > self._row else None
            if report is not None:
                self._news += record.events(self.reports[-1] if self.reports else None, report)
                self.reports.append(report)
                self._row = row.id
        # The record has each decision; what merely runs on (who is busy, what waits while machines boot) is only here.
        self._newest = history.latest() or self._newest
        self._tell(until=time.time() if last else time.time() - SETTLE_S)

    def say(self, kind: str, text: str, at: float | None = None) -> None:
        """Add an event that is not in the record."""
        self._news.append(Event(time.time() if at is None else at, kind, text))

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

    def _tell(self, until: float) -> None:
        """Show the news that is so old that nothing older can still come, in the order in which it happened."""
        self._news.sort(key=lambda event: event.at)
        count = sum(event.at <= until for event in self._news)
        self.events += self._news[:count]
        del self._news[:count]
        self.show(Scene(self.began, time.time(), self.chapter, self._newest, tuple(self.events)))
