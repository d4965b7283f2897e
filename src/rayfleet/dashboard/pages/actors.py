"""Actors: their state, where they are, and what they hold."""

from __future__ import annotations

import asyncio
from typing import Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import Query
from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.frame import Frame, Shown, cluster_path
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import RayTable, column, machines
from rayfleet.dashboard.readings.inside import MOST_ROWS, actor_rows, count_text
from rayfleet.dashboard.site import Site

ACTORS: Final = Question("actors", lambda inside: inside.state.actors(Query(MOST_ROWS)))
COLUMNS: Final = [
    column("class", "Class"),
    column("name", "Name", "only-wide"),
    column("state", "State"),
    column("node", "Node"),
    column("pid", "Process", "number only-wide"),
    column("holds", "Holds"),
    column("restarts", "Restarts", "number only-wide"),
    column("id", "What it printed", **{":format": "id => id.slice(0, 12)"}),
    column("why", "How it died", "wrap"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Actors of {entry.name}", entry=entry, page="actors")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            rows = RayTable("Actors", COLUMNS, nothing="There are no actors.", link="id")

    async def look() -> None:
        names, told = await asyncio.gather(machines(site, entry), site.told(entry, ACTORS))
        rows.show(
            told,
            lambda found: [
                {**row, "href": f"{cluster_path(entry.name, 'logs')}?actor={row['id']}"}
                for row in actor_rows(found, names)
            ],
            lambda found: count_text(found, "actors"),
        )

    await frame.follow(look)
