"""What fills main memory and the object stores. Every process of the cluster is asked, so not each second."""

from __future__ import annotations

import asyncio
from typing import Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.frame import Frame, Shown
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import BYTES, SHARE, RayTable, column
from rayfleet.dashboard.readings.inside import count_text, object_rows, site_rows, store_rows
from rayfleet.dashboard.site import Site

_EVERY_S: Final = 10.0
_LARGEST: Final = 100
MEMORY: Final = Question("memory", lambda inside: inside.state.memory(_LARGEST), _EVERY_S)
SITES: Final = Question("object summary", lambda inside: inside.state.object_summary(), _EVERY_S)
STORES: Final = [
    column("node", "Node"),
    column("store", "Object store"),
    column("full", "Full", "number", **{":format": SHARE}),
    column("spilled", "Spilled", "number only-wide", **{":format": BYTES}),
    column("memory", "Main memory"),
    column("memory_full", "Full", "number", **{":format": SHARE}),
]
PLACES: Final = [
    column("size", "Size", "number", **{":format": BYTES}),
    column("objects", "Objects", "number"),
    column("workers", "Processes", "number only-wide"),
    column("nodes", "Nodes", "number only-wide"),
    column("site", "Made at", "wrap"),
]
LARGEST: Final = [
    column("size", "Size", "number", **{":format": BYTES}),
    column("held", "Held as"),
    column("by", "By"),
    column("site", "Made at", "wrap"),
    column("object", "Object", "only-wide"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Memory of {entry.name}", entry=entry, page="memory")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            note = f"asked every {_EVERY_S:.0f} s while somebody looks"
            stores = RayTable("Nodes", STORES, nothing="Ray tells no node's memory yet.", searched=False, note=note)
            places = RayTable("Objects by where they were made", PLACES, nothing="There are no objects.")
            largest = RayTable("Largest references", LARGEST, nothing="There are no objects.")

    async def look() -> None:
        told, sites = await asyncio.gather(site.told(entry, MEMORY), site.told(entry, SITES))
        stores.show(told, store_rows)
        places.show(sites, site_rows)
        largest.show(
            told,
            lambda found: object_rows(found.largest),
            lambda found: count_text(found.largest, "references"),
        )

    await frame.follow(look)
