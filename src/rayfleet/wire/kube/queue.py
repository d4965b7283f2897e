"""Work by key: what is added many times is done once, never twice at the same time, and again later when it failed."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

RETRY_FIRST_S: Final = 0.05
RETRY_MAX_S: Final = 60.0
_DOUBLINGS_MAX: Final = 20


class WorkQueue(Generic[K]):
    """Keys in the order in which they were first added. Time is the event loop's."""

    def __init__(self) -> None:
        """Start empty."""
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in `_ready`, or to be when it is done
        self._working: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}  # the earliest moment of each key in `_later`
        self._serial = 0
        self._failures: Counter[K] = Counter()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Have the key worked on soon; once more when it is being worked on just now."""
        self._due.pop(key, None)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have the key worked on in `seconds`, if nothing adds it before."""
        at = asyncio.get_running_loop().time() + seconds
        if key in self._waiting or self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        self._serial += 1
        heapq.heappush(self._later, (at, self._serial, key))
        self._changed.set()

    def retry(self, key: K) -> float:
        """Have a key that failed worked on again, later each time; return in how many seconds."""
        wait_s: float = min(RETRY_FIRST_S * 2 ** min(self._failures[key], _DOUBLINGS_MAX), RETRY_MAX_S)
        self._failures[key] += 1
        self.add_after(key, wait_s)
        return wait_s

    def forget(self, key: K) -> None:
        """Start anew with the waits between retries of a key: it succeeded, or is gone."""
        self._failures.pop(key, None)

    async def take(self) -> K:
        """Wait for a key to work on. Whoever takes it says `done`."""
        while True:
            wait_s = self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._working.add(key)
                return key
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """Say that the work on a key has ended, well or not."""
        self._working.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._changed.set()

    def _promote(self) -> float | None:
        """Make ready what is due; return how long until the next is, None for never."""
        now = asyncio.get_running_loop().time()
        while self._later:
            at, _, key = self._later[0]
            if self._due.get(key) != at:  # added or brought forward meanwhile
                heapq.heappop(self._later)
            elif at <= now:
                heapq.heappop(self._later)
                self.add(key)
            else:
                return at - now
        return None
