"""Placement groups: what was reserved, where, and what still waits."""

from __future__ import annotations

import asyncio
from typing import Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import Query
from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.frame import Frame, Shown
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import RayTable, column, machines
from rayfleet.dashboard.readings.inside import MOST_ROWS, count_text, group_rows
from rayfleet.dashboard.site import Site

GROUPS: Final = Question("placement groups", lambda inside: inside.state.placement_groups(Query(MOST_ROWS)))
COLUMNS: Final = [
    column("name", "Name"),
    column("state", "State"),
    column("strategy", "Strategy", "only-wide"),
    column("bundles", "Bundles"),
    column("placed", "Placed", "number"),
    column("nodes", "On", "wrap"),
    column("why", "Why it waits", "wrap"),
    column("id", "Id", "only-wide"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Placement groups of {entry.name}", entry=entry, page="groups")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            rows = RayTable("Placement groups", COLUMNS, nothing="There are no placement groups.")

    async def look() -> None:
        names, told = await asyncio.gather(machines(site, entry), site.told(entry, GROUPS))
        rows.show(
            told,
            lambda found: group_rows(found, names),
            lambda found: count_text(found, "placement groups"),
        )

    await frame.follow(look)
