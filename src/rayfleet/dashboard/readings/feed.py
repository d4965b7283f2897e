"""Events as rows, with the words for their kinds. Pure."""

from __future__ import annotations

from typing import Any, Final

from rayfleet.dashboard.readings.seen import Mood
from rayfleet.reports.event_search import EventRow

PAGE: Final = 100
KINDS: Final = {
    "launch": ("launch", Mood.BUSY),
    "ready": ("ready", Mood.GOOD),
    "drain": ("drain", Mood.WARN),
    "release": ("release", Mood.WARN),
    "stop": ("stop", Mood.WARN),
    "gone": ("gone", Mood.OFF),
    "failed": ("failed", Mood.BAD),
    "finding": ("finding", Mood.WARN),
    "trouble": ("trouble", Mood.BAD),
    "error": ("error", Mood.BAD),
}
DECISIONS: Final = ("launch", "drain", "release", "stop", "failed", "finding")


def feed_rows(rows: tuple[EventRow, ...]) -> list[dict[str, Any]]:
    """Return events as rows of the table, the newest first. `at`: milliseconds since the epoch."""
    return [
        {
            "id": row.id,
            "at": row.event.at * 1000,
            "kind": row.event.kind,
            "mood": KINDS.get(row.event.kind, ("", Mood.OFF))[1].value,
            "pool": row.event.pool,
            "text": row.event.text,
            "code": row.event.code,
        }
        for row in reversed(rows)
    ]
