"""What is measured while a simulation runs: levels over time, waits, money, and the life of each machine.

Everything is exact at the moments of change; only the curves for charts are averages over `BUCKET_S`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

BUCKET_S: Final = 30.0
_PERCENT: Final = 100


class Level:
    """A number that changes now and then: its integral over time, its peak, and its averages for a chart."""

    __slots__ = ("_at", "_began", "_buckets", "integral", "peak", "value")

    def __init__(self, began: float) -> None:
        """Start at 0."""
        self.value = 0.0
        self.peak = 0.0
        self.integral = 0.0
        self._began = self._at = began
        self._buckets: array[float] = array("d")

    def add(self, now: float, change: float) -> None:
        """Let the level change at `now`; times never go back."""
        if now > self._at:
            self.settle(now)
        self.value += change
        self.peak = max(self.peak, self.value)

    def settle(self, now: float) -> None:
        """Account for the time until `now`."""
        value, at = self.value, self._at - self._began
        until = now - self._began
        self._at = now
        if not value:
            return
        self.integral += value * (until - at)
        last = int(until // BUCKET_S)
        if last >= len(self._buckets):
            self._buckets.extend([0.0] * (last + 1 - len(self._buckets)))
        buckets, n = self._buckets, int(at // BUCKET_S)
        while at < until:
            edge = min(until, (n + 1) * BUCKET_S)
            buckets[n] += value * (edge - at)
            at, n = edge, n + 1

    def curve(self, until_s: float, points: int) -> list[float]:
        """Return averages over `points` equal parts of the first `until_s` seconds (each at least a bucket long)."""
        size = max(1, int(-(-until_s // BUCKET_S)))
        sums = np.zeros(size)
        held = np.frombuffer(self._buckets, np.float64)[:size] if len(self._buckets) else np.zeros(0)
        sums[: held.size] = held
        edges = np.unique(np.linspace(0, size, min(points, size) + 1).astype(np.int64))
        parts = np.add.reduceat(sums, edges[:-1])
        ends = np.minimum(edges[1:] * BUCKET_S, max(until_s, 1e-9))
        return [
            float(part / max(end - edge * BUCKET_S, 1e-9))
            for part, end, edge in zip(parts, ends, edges[:-1], strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Span:
    """The life of one machine, in seconds from the beginning; None: it did not come to that."""

    pool: str
    market: str
    launched_s: float
    joined_s: float | None
    ended_s: float
    how: str
    usd: float


@dataclass(slots=True)
class Tally:
    """All that is measured. `began`: the moment of the beginning, as the Clock's."""

    began: float
    wait_goal_s: float
    waits: array[float] = field(default_factory=lambda: array("d"))
    wait_counts: array[int] = field(default_factory=lambda: array("q"))
    levels: dict[str, Level] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    done: int = 0
    retried: int = 0
    gang_restarts: int = 0
    launch_reasons: Counter[str] = field(default_factory=Counter)
    release_reasons: Counter[str] = field(default_factory=Counter)
    unmet_reasons: Counter[str] = field(default_factory=Counter)
    usd: dict[str, float] = field(default_factory=dict)
    unpriced_s: float = 0.0
    ticks: int = 0
    failed_ticks: int = 0
    broken: int = 0

    def level(self, name: str) -> Level:
        """Return a level by its name, made when it is new."""
        found = self.levels.get(name)
        if found is None:
            found = self.levels[name] = Level(self.began)
        return found

    def waited(self, seconds: float, count: int) -> None:
        """Record that `count` tasks began to run after so long."""
        self.waits.append(seconds)
        self.wait_counts.append(count)

    def settle(self, now: float) -> None:
        """Account for the time until `now` everywhere."""
        for level in self.levels.values():
            level.settle(now)

    def wait_percentiles(self, percents: tuple[float, ...]) -> list[float]:
        """Return the waits that so many per cent of the tasks that began did not exceed."""
        waits, counts = np.frombuffer(self.waits, np.float64), np.frombuffer(self.wait_counts, np.int64)
        if not waits.size:
            return [0.0] * len(percents)
        order = np.argsort(waits, kind="stable")
        upto = np.cumsum(counts[order])
        places = [np.searchsorted(upto, max(1, np.ceil(upto[-1] * percent / _PERCENT))) for percent in percents]
        return [float(waits[order[place]]) for place in places]

    def waiting_longer(self, edges: tuple[float, ...]) -> list[float]:
        """Return, for each number of seconds, the share of the tasks that began which waited longer."""
        waits, counts = np.frombuffer(self.waits, np.float64), np.frombuffer(self.wait_counts, np.int64)
        if not waits.size:
            return [0.0] * len(edges)
        order = np.argsort(waits, kind="stable")
        upto = np.concatenate([[0], np.cumsum(counts[order])])
        below = upto[np.searchsorted(waits[order], edges, side="right")]
        return [float(share) for share in 1 - below / upto[-1]]

    @property
    def wait_sum_s(self) -> float:
        """Return the sum of all waits."""
        if not self.waits:
            return 0.0
        return float(np.dot(np.frombuffer(self.waits, np.float64), np.frombuffer(self.wait_counts, np.int64)))

    @property
    def late(self) -> int:
        """Return how many tasks waited longer than the goal."""
        if not self.waits:
            return 0
        return int(
            np.frombuffer(self.wait_counts, np.int64)[np.frombuffer(self.waits, np.float64) > self.wait_goal_s].sum()
        )

    @property
    def started(self) -> int:
        """Return how many tasks began to run at least once."""
        return sum(self.wait_counts)
