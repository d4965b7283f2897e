"""Machines that wait without Ray, so that they can work sooner than new ones: how many, and how they wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

_ALL = 100.0
"""Percent."""
_ROUNDING = 1e-9


class StandbyMode(StrEnum):
    """How a machine waits."""

    STOPPED = "stopped"  # off; what it costs is its disk
    BOOTED = "booted"  # on, but without Ray; it costs what it costs when it works


class ReleaseMode(StrEnum):
    """What becomes of machines that leave."""

    END = "end"  # they are given back
    STOP = "stop"  # they wait on standby


@dataclass(frozen=True, slots=True)
class Standby:
    """How many machines of a pool wait on standby, and how.

    `count` is absolute; `percent` is of the pool's READY machines, rounded up; of both the larger holds. Counts are
    machines. One that has waited for `max_age_s` is given back; None: it waits as long as it is wanted. `keep`: up to
    so many, what is wanted included, an idle machine waits instead of being given back; none is made for that, and spot
    machines, which their place may not stop, are given back.
    """

    count: int = 0
    percent: float = 0.0
    mode: StandbyMode = StandbyMode.STOPPED
    max_age_s: float | None = None
    keep: int = 0

    def wanted(self, ready: int) -> int:
        """Return how many are wanted while so many machines of the pool are READY."""
        return max(self.count, math.ceil(ready * self.percent / _ALL - _ROUNDING))

    def most(self, ready: int) -> int:
        """Return how many may wait while so many machines of the pool are READY."""
        return max(self.wanted(ready), self.keep)
