"""What is going to happen in the pretend world, in the order of its times; equal times in the order of entry."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

Happening = tuple[float, int, Callable[..., None], tuple[Any, ...]]

NEVER = float("inf")


class Agenda:
    """Times are seconds since the epoch, as the Clock's. `now` is how far things have happened."""

    def __init__(self, now: float) -> None:
        """Begin at `now` with nothing planned."""
        self.now = now
        self._heap: list[Happening] = []
        self._entered = 0

    def at(self, when: float, act: Callable[..., None], *told: Any) -> None:
        """Have `act(*told)` happen at `when`, or at once when that has passed."""
        self._entered += 1
        heapq.heappush(self._heap, (max(when, self.now), self._entered, act, told))

    def advance(self, until: float) -> None:
        """Let everything happen that is due by `until`. An action may plan further ones, also for its own moment."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, act, told = heapq.heappop(heap)
            act(*told)
        self.now = max(self.now, until)

    @property
    def next_at(self) -> float:
        """Return when the next thing happens; infinity when nothing will."""
        return self._heap[0][0] if self._heap else NEVER

    def __len__(self) -> int:
        """Return how many things are planned."""
        return len(self._heap)
