"""Readings of history files, made in threads, once for all who look at them, and again when the file has changed."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from rayfleet.reports.history import HistoryReader, HistoryUnavailable

T = TypeVar("T")

KEPT: Final = 256
_REST: Final = 3.0
"""After a reading that took long nobody reads again for so many times as long."""

_THREADS: Final = 2
"""So many read one record at once: one that is locked must not hold all that read the others."""

Stamp = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Kept:
    stamp: Stamp = ()
    made_at: float = float("-inf")
    took_s: float = 0.0
    value: Any = None
    trouble: HistoryUnavailable | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Readings:
    """Keeps the newest reading of each kind. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing read; `clock` in seconds."""
        self._clock = clock
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._turns: dict[Path, asyncio.Semaphore] = {}

    async def of(self, path: Path, what: Hashable, make: Callable[[HistoryReader], T], every_s: float = 0.0) -> T:
        """Return what `make` reads from a history; anew when the file has changed, at most every `every_s` seconds.

        The same `what` has to mean the same `make`. Raises what `make` raises, HistoryUnavailable among it.
        """
        kept = self._place((path, what))
        async with kept.lock:
            return await self._fresh(kept, path, make, every_s)

    async def _fresh(self, kept: _Kept, path: Path, make: Callable[[HistoryReader], T], every_s: float) -> T:
        rest_s, age_s = kept.took_s * _REST, self._clock() - kept.made_at
        if kept.trouble is not None and age_s < rest_s:
            raise kept.trouble.with_traceback(None)
        if kept.trouble is None and age_s < max(every_s, rest_s):
            return cast("T", kept.value)
        async with self._turns.setdefault(path, asyncio.Semaphore(_THREADS)):
            began = self._clock()
            try:
                stamp, value = await asyncio.to_thread(_read, path, make, kept.stamp)
            except HistoryUnavailable as error:
                kept.trouble, kept.stamp = error, ()
                self._rested(kept, began)
                raise
        kept.trouble = None
        if stamp != kept.stamp:
            kept.value, kept.stamp = value, stamp
            self._rested(kept, began)
        return cast("T", kept.value)

    def _rested(self, kept: _Kept, began: float) -> None:
        kept.made_at = self._clock()
        kept.took_s = kept.made_at - began

    async def derived(self, what: Hashable, source: object, make: Callable[[], T]) -> T:
        """Return what `make` computes from `source`, in a thread; anew when it is another object than the last time."""
        kept = self._place(what)
        async with kept.lock:
            if kept.value is None or kept.value[0] is not source:
                kept.value = (source, await asyncio.to_thread(make))
            made: T = kept.value[1]
            return made

    def _place(self, key: Hashable) -> _Kept:
        """Return where a reading is kept; forgets the one that nobody has asked for longest."""
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept


def _read(path: Path, make: Callable[[HistoryReader], T], before: Stamp) -> tuple[Stamp, T | None]:
    stamp = stamp_of(path)
    return (stamp, None) if stamp == before else (stamp, make(HistoryReader(path)))


def stamp_of(path: Path) -> Stamp:
    """Return what changes whenever the file, or the log beside it that SQLite writes first, is written."""
    return tuple(_stat(path.with_name(path.name + ending)) for ending in ("", "-wal"))


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
