"""Time as the loop reads it; virtual in tests and simulations."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The only source of `now`."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...
