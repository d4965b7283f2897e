"""Real time, for everything but tests and simulations."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one door through which real time comes in; all else takes a Clock
