"""Reads one log for one page: its end and what comes, or only lines with some words in all of it.

A log is one that Ray tells, or a file of this machine: the controller's own.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rayfleet.contracts.state import MAX_LOG_LINES, LogSource, State, StateUnavailable
from rayfleet.dashboard.answers import Told
from rayfleet.dashboard.clusters import Clusters, NoWayIn
from rayfleet.dashboard.log_file import lines_of

_LOG: Final = logging.getLogger(__name__)
KEPT: Final = 500
"""So many lines are shown; a search looks through many more."""
AGAIN_S: Final = 5.0
"""After an end, of the log or of the way to it, it is tried again."""
_LONGEST: Final = 2_000
_PATIENCE_S: Final = 0.5
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which log of which cluster (a path: a file here).

    Only lines with `words`, in any case; `follows`: what comes, too.
    """

    cluster: str
    source: LogSource | Path
    words: str = ""
    follows: bool = True

    def passes(self, line: str) -> bool:
        """Say whether a line is looked for."""
        return self.words.strip().lower() in line.lower()


@dataclass(slots=True)
class LogReader:
    """Holds the last lines. `read`: how many there were in all; `told`: what is wrong, if anything is."""

    wanted: Wanted
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    read: int = 0
    told: Told[str] = field(default_factory=Told)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    _ended_at: float = float("-inf")
    _done: bool = False
    _task: asyncio.Task[None] | None = None

    async def go_on(self, clusters: Clusters) -> None:
        """Read in the background; after an end, again a little later. Waits for the first lines, not for long."""
        now = asyncio.get_running_loop().time()
        if self._task is not None or self._done or now - self._ended_at < AGAIN_S:
            return
        self.read = 0
        self._task = asyncio.create_task(self._follow(clusters))
        with suppress(TimeoutError):
            await asyncio.wait_for(self.answered.wait(), _PATIENCE_S)

    def stop(self) -> None:
        """Read no more."""
        self._done = True
        if self._task is not None:
            self._task.cancel()

    async def _follow(self, clusters: Clusters) -> None:
        try:
            if isinstance(self.wanted.source, Path):
                await self._read_file(self.wanted.source)
            else:
                async with clusters.inside(self.wanted.cluster) as inside:
                    await self._read_from(inside.state, self.wanted.source)
            self.told = Told("all")
        except (StateUnavailable, NoWayIn) as error:
            self.told = Told(None, str(error), error.hint)
        except Exception as error:  # noqa: BLE001 - silence would be taken for a log without lines
            _LOG.exception("reading a log failed")
            self.told = Told(None, f"reading it failed: {type(error).__name__}: {error}")
        finally:
            self.answered.set()
            self._ended_at = asyncio.get_running_loop().time()
            self._task = None

    @property
    def _many(self) -> int:
        return MAX_LOG_LINES if self.wanted.words.strip() else KEPT

    async def _read_file(self, path: Path) -> None:
        async for line in lines_of(path, self._many, follows=self.wanted.follows):
            self._take(line)
        self._done = True

    async def _read_from(self, state: State, source: LogSource) -> None:
        if not self.wanted.follows:
            for line in (await state.log(source, self._many)).lines:
                self._take(line)
            self._done = True
            return
        async for line in state.follow_log(source, self._many):
            self._take(line)

    def _take(self, line: str) -> None:
        if not self.read:
            self.lines.clear()  # what an earlier try has read
            self.told = Told("begun")
        self.read += 1
        if self.wanted.passes(line):
            self.lines.append(plain(line)[:_LONGEST])
            self.answered.set()


def plain(line: str) -> str:
    """Return a line without the colours of a terminal, as it is after a progress bar has written over it."""
    return _COLOURS.sub("", line).rstrip("\r").rsplit("\r", maxsplit=1)[-1]
