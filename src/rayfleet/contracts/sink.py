"""Where tick reports go."""

from __future__ import annotations

from typing import Protocol

from rayfleet.model import TickReport


class Sink(Protocol):
    """A receiver of reports. It may fail or be slow: the loop neither waits nor stops for it."""

    @property
    def name(self) -> str:
        """Return a short name for logs and counters."""
        ...

    async def write(self, report: TickReport) -> None:
        """Take one report. Any exception is counted and logged by the caller."""
        ...

    async def close(self) -> None:
        """Write what is pending and let go of files or connections."""
        ...
