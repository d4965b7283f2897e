"""All that has happened to one cluster, with search and filters."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import tag
from rayfleet.dashboard.pages.feed import Feed
from rayfleet.dashboard.pages.frame import Frame, Shown
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.site import Site


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Events of {entry.name}", entry=entry, page="events")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("section").classes("panel"):
            Shown("div").show(tag("h2", "Events"))
            feed = Feed(site, entry)
    await frame.follow(feed.look)
