"""What every page needs: the clusters, the readings that all viewers share, and how the server was started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rayfleet.dashboard.answers import PATIENCE_S, Answers, Question, Told
from rayfleet.dashboard.clusters import Clusters, Entry
from rayfleet.dashboard.readings.seen import Newest, newest
from rayfleet.dashboard.readings.shared import Readings

T = TypeVar("T")

_LISTED_EVERY_S = 1.0


@dataclass(slots=True)
class Site:
    """One server's. `logs_in`: there is a login to leave. `now`: seconds since the epoch."""

    clusters: Clusters
    readings: Readings
    logs_in: bool = False
    now: Callable[[], float] = time.time
    answers: Answers = field(default_factory=Answers)
    _listed: tuple[float, tuple[Entry, ...]] = (float("-inf"), ())
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def entries(self) -> tuple[Entry, ...]:
        """Return every cluster; asked once a second, for all who look."""
        async with self._lock:
            listed_at, found = self._listed
            if not 0 <= self.now() - listed_at < _LISTED_EVERY_S:
                found = await asyncio.to_thread(self.clusters.known)
                self._listed = (self.now(), found)
            return found

    async def entry(self, name: str) -> Entry | None:
        """Return the cluster of that name; None when there is none."""
        return next((entry for entry in await self.entries() if entry.name == name), None)

    async def newest(self, entry: Entry) -> Newest:
        """Return the newest that a cluster has recorded.

        Raises:
            HistoryUnavailable: its record cannot be read.
        """
        if entry.history is None:
            return Newest(None, None)
        return await self.readings.of(entry.history, "newest", newest)

    async def told(self, entry: Entry, question: Question[T], patience_s: float = PATIENCE_S) -> Told[T]:
        """Return what a cluster's Ray answers; does not wait for it for longer than that."""

        async def ask() -> T:
            async with self.clusters.inside(entry.name) as inside:
                return await question.ask(inside)

        return await self.answers.of((entry.name, question.name), ask, question.every_s, patience_s)
