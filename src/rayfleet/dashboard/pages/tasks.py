"""Tasks, summed up by function; and those that failed, one by one."""

from __future__ import annotations

import asyncio
from typing import Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import Filter, Query, StateCount, Summary
from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.frame import Frame, Shown
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import SUMMARY, TIME, RayTable, column, machines
from rayfleet.dashboard.readings.inside import count_text, failed_rows, task_rows
from rayfleet.dashboard.site import Site

_FAILED_ROWS: Final = 200
FAILED: Final = Question(
    "failed tasks", lambda inside: inside.state.tasks(Query(_FAILED_ROWS, (Filter("state", "FAILED"),))), 5.0
)
COLUMNS: Final = [
    column("name", "Function"),
    column("type", "Kind", "only-wide"),
    column("waiting", "Waiting", "number"),
    column("running", "Running", "number"),
    column("finished", "Finished", "number"),
    column("failed", "Failed", "number"),
    column("states", "In Ray's words", "wrap only-wide"),
]
FAILED_COLUMNS: Final = [
    column("at", "Time", **{":format": TIME}),
    column("name", "Function"),
    column("node", "Node", "only-wide"),
    column("error", "Error"),
    column("message", "Message", "wrap"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Tasks of {entry.name}", entry=entry, page="tasks")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            sums = RayTable("Tasks", COLUMNS, nothing="No task has run yet.")
            failed = RayTable("Failed tasks", FAILED_COLUMNS, nothing="No task has failed.")

    async def look() -> None:
        names, summary, failures = await asyncio.gather(
            machines(site, entry), site.told(entry, SUMMARY), site.told(entry, FAILED)
        )
        sums.show(summary, task_rows, _said)
        failed.show(
            failures,
            lambda found: failed_rows(found, names),
            lambda found: count_text(found, "failed tasks"),
        )

    await frame.follow(look)


def _said(found: Summary[StateCount]) -> str:
    counted = sum(sum(row.state_counts.values()) for row in found.rows)
    forgotten = f" of {found.total:,}; Ray has not counted the rest" if found.cut else ""
    return f"{counted:,} tasks{forgotten}"
