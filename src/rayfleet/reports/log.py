"""The log sink: one line per event, names and values instead of prose."""

from __future__ import annotations

from dataclasses import asdict

import structlog

from rayfleet.model import TickReport
from rayfleet.reports.events import Event, events_of

_WARNINGS = frozenset({"failed", "finding", "trouble"})


class Log:
    """Writes events to structlog: errors as errors, failures and findings as warnings, the rest as info."""

    name = "log"

    def __init__(self) -> None:
        """Bind to structlog as the process has configured it."""
        self._log = structlog.get_logger()
        self._troubles: tuple[str, ...] = ()

    async def write(self, report: TickReport) -> None:
        """Log what happened in the tick; nothing for a quiet one."""
        for event in events_of(report, self._troubles):
            self._line(report, event)
        self._troubles = report.troubles

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _line(self, report: TickReport, event: Event) -> None:
        level = "error" if event.kind == "error" else "warning" if event.kind in _WARNINGS else "info"
        told = {
            key: value for key, value in asdict(event).items() if key not in {"kind", "at"} and value not in {"", None}
        }
        getattr(self._log, level)(event.kind, cluster=report.cluster, tick=report.tick, **told)
