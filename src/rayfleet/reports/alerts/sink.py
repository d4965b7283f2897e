"""The sink of the loop: judges each report, keeps the book, and leaves telling people to the outbox.

What was said is written down before it goes out (in the cluster's folder), so that a controller
that is started again says nothing twice.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from rayfleet.config.alerting import Rule, Threshold
from rayfleet.model import FrozenMap, TickReport
from rayfleet.model.codec import CodecError, from_json, to_json
from rayfleet.reports.alerts.book import Book, step
from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.outbox import Outbox
from rayfleet.reports.alerts.rules import Memory, judge

log = structlog.get_logger()

SAVE_EVERY_S: Final = 60.0
CLOSE_PATIENCE_S: Final = 3.0
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class State:
    """What outlives a controller. `at`: when it was written, in seconds since the epoch."""

    book: Book = Book()
    memory: Memory = Memory()
    at: float = 0.0
    version: int = 1


class Alerts:
    """Tells people. `path`: where its state is kept; `outbox`: makes those who are told, on first use."""

    name = "alerts"

    def __init__(
        self, path: Path, outbox: Callable[[], Outbox], thresholds: FrozenMap[Threshold], repeat_s: float
    ) -> None:
        """Remember all that; no I/O yet."""
        self._path = path
        self._make = outbox
        self._thresholds = {Rule(name): threshold for name, threshold in thresholds.items()}
        self._repeat_s = repeat_s
        self._state: State | None = None
        self._outbox: Outbox | None = None
        self._ailing = False

    @property
    def outbox(self) -> Outbox:
        """Return the queues of those who are told."""
        self._outbox = self._outbox or self._make()
        return self._outbox

    async def write(self, report: TickReport) -> None:
        """Judge a report; queue what is to be said. Never waits for anybody who is told."""
        now = report.snapshot.now
        loop = asyncio.get_running_loop()
        state = self._state
        if state is None:
            state = resumed(await loop.run_in_executor(None, read_state, self._path), now)
        judged = judge(report, state.memory, self._thresholds)
        book, notices = step(state.book, judged, now, self._thresholds, self._repeat_s)
        changed = _essence(book) != _essence(state.book) or not 0 <= now - state.at < SAVE_EVERY_S
        self._state = State(book, judged.memory, now if changed else state.at)
        if changed:
            await loop.run_in_executor(None, self._save, self._state)
        if notices:
            self.outbox.put(Message(report.cluster, now, tuple(notices)))

    async def close(self) -> None:
        """Let what is queued go out for a moment; write down what is known."""
        if self._state is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._save, self._state)
        if self._outbox is not None:
            await self._outbox.close(CLOSE_PATIENCE_S)

    def _save(self, state: State) -> None:
        """Write the state; a disk that is full must not keep people from being told."""
        try:
            write_state(self._path, state)
            self._ailing = False
        except OSError as error:
            if not self._ailing:
                log.warning("alerts_not_saved", error=str(error))
            self._ailing = True


def _essence(book: Book) -> object:
    """Return what a restart must not forget: a book whose times alone move on is not written again and again."""
    return [(entry.condition.key, entry.fired_at, entry.said_at, entry.over_at, entry.owes) for entry in book.entries]


def read_state(path: Path) -> State:
    """Return what an earlier controller has written; what it did not, or in another release, is not known."""
    try:
        return from_json(State, path.read_bytes())
    except FileNotFoundError:
        return State()
    except (OSError, CodecError) as error:
        log.warning("alerts_not_read", error=str(error))
        return State()


def resumed(state: State, now: float) -> State:
    """Return what an earlier controller has written, for the next one: nobody looked meanwhile, so nothing was over."""
    entries = tuple(replace(entry, seen=now) if entry.firing else entry for entry in state.book.entries)
    return replace(state, book=replace(state.book, entries=entries))


def write_state(path: Path, state: State) -> None:
    """Write the state whole or not at all. OSError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, _PRIVATE), "w", encoding="utf-8") as file:
        file.write(to_json(state))
    fresh.replace(path)
