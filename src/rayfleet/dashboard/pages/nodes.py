"""The nodes of one cluster: a table, and their lives."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard.charts import lives_chart, lives_height
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, empty, tag
from rayfleet.dashboard.pages.fleet import said_of
from rayfleet.dashboard.pages.frame import Frame, Shown, cluster_path
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.readings.lives import Lives, Story, paged, read_lives
from rayfleet.dashboard.readings.nodes import NodeRow, node_rows
from rayfleet.dashboard.readings.timeline import WINDOWS
from rayfleet.dashboard.site import Site
from rayfleet.model import TickReport

_AGE: Final = (
    "s => s < 60 ? s.toFixed(0) + ' s' : s < 3600 ? (s / 60).toFixed(0) + ' min' : (s / 3600).toFixed(1) + ' h'"
)
COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "id", "label": "Node", "field": "id", "align": "left", "sortable": True},
    {"name": "pool", "label": "Pool", "field": "pool", "align": "left", "sortable": True},
    {"name": "health", "label": "State", "field": "health", "align": "left", "sortable": True},
    {"name": "cpu", "label": "CPU", "field": "cpu", "align": "right", "sortable": True,
     ":format": "v => v === null ? '' : (v * 100).toFixed(0) + '%'"},
    {"name": "used", "label": "In use", "field": "used", "align": "left"},
    {"name": "place", "label": "Place", "field": "place", "align": "left", "sortable": True},
    {"name": "usd", "label": "USD/h", "field": "usd", "align": "right", "sortable": True,
     ":format": "v => v === null ? '' : v.toPrecision(3)"},
    {"name": "in_phase", "label": "For", "field": "in_phase", "align": "right", "sortable": True, ":format": _AGE},
    {"name": "why", "label": "Why it stays or leaves", "field": "why", "align": "left", "classes": "wrap"},
]  # fmt: skip
_ID_CELL: Final = '<q-td :props="props"><a :href="props.row.href">{{ props.value }}</a></q-td>'
_STATE_CELL: Final = '<q-td :props="props"><span class="badge" :class="props.row.mood">{{ props.value }}</span></q-td>'
_PER_PAGE: Final = 50
_MANY: Final = 200
_EVERY_S: Final = 6.0
_LIVES_EVERY_S: Final = 5.0


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Nodes of {entry.name}", entry=entry, page="nodes")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        top = Shown()
        with ui.element("div").classes("stack"):
            rows, lives = _Table(site, entry), _Lives(site, frame, entry)

    async def look() -> None:
        current = await site.entry(entry.name) or entry
        found = await site.newest(current)
        top.show(said_of(current, found, site.now()))
        if found.report is not None:
            await rows.show(found.report)
            await lives.look()

    await frame.follow(look)


class _Table:
    """All nodes."""

    def __init__(self, site: Site, entry: Entry) -> None:
        self._site, self._entry = site, entry
        self._shown: list[dict[str, Any]] | None = None
        self._shown_at = float("-inf")
        with ui.element("section").classes("panel"):
            with ui.element("div").classes("tools"):
                self._title = Shown("div")
                words = ui.input(placeholder="Search: name, pool, state, place").classes("grow")
                words.props('dense outlined clearable debounce=200 aria-label="Search nodes"')
            self._none = Shown()
            self._table = ui.table(rows=[], columns=COLUMNS, row_key="id", pagination=_PER_PAGE).classes("w-full")
            self._table.props("flat dense wrap-cells")
            self._table.add_slot("body-cell-id", _ID_CELL)
            self._table.add_slot("body-cell-health", _STATE_CELL)
            self._table.bind_filter_from(words, "value", backward=lambda value: value or "")

    async def show(self, report: TickReport) -> None:
        """Show what has changed; of many nodes not each second."""
        now = self._site.now()
        if self._shown is not None and len(self._shown) > _MANY and 0 <= now - self._shown_at < _EVERY_S:
            return
        path = cluster_path(self._entry.name, "nodes")
        rows = await self._site.readings.derived(
            ("nodes", self._entry.name), report, lambda: [table_row(row, path) for row in node_rows(report)]
        )
        if rows != self._shown:
            self._shown, self._shown_at = rows, now
            self._title.show(tag("h2", f"{len(rows):,} nodes", style="margin: 0"))
            self._table.set_visibility(bool(rows))
            self._none.show(NONE if rows else empty("There are no nodes."))
            self._table.rows = rows


def table_row(row: NodeRow, path: str) -> dict[str, Any]:
    """Return a node as a row of the table. `path`: of the page of all nodes."""
    return {
        "id": row.id,
        "href": f"{path}/{quote(row.id, safe='')}",
        "pool": row.pool,
        "health": row.health,
        "mood": row.mood.value,
        "cpu": None if row.cpu is None else round(row.cpu, 3),
        "used": row.used,
        "place": row.place,
        "usd": row.usd_per_hour,
        "in_phase": round(row.in_phase_s),
        "why": row.why,
    }


class _Lives:
    """The lives of nodes, as a chart."""

    def __init__(self, site: Site, frame: Frame, entry: Entry) -> None:
        self._site, self._entry, self._page = site, entry, 0
        self._shown: tuple[Story, int] | None = None
        with ui.element("section").classes("panel"):
            with ui.element("div").classes("tools"):
                Shown("div").show(tag("h2", "Lives", style="margin: 0"))
                self._window = ui.toggle(list(WINDOWS), value="1 h", on_change=self._again)
                self._window.props('dense flat no-caps size=sm toggle-color=primary aria-label="Span of time"')
                self._said = Shown("div", "dim")
                self._newer = self._turn("Newer", -1)
                self._older = self._turn("Older", 1)
            self._none = Shown()
            self._chart = ui.echart({}).props('role="img" aria-label="Lives of nodes over time"').style("width: 100%")
        frame.on_theme(self._chart.update)

    def _turn(self, name: str, by: int) -> ui.button:
        async def turn() -> None:
            self._page += by
            await self.look()

        return ui.button(name, on_click=turn).props("flat dense no-caps size=sm")

    async def _again(self) -> None:
        self._page = 0
        await self.look()

    async def look(self) -> None:
        """Draw what has changed."""
        history, window_s = self._entry.history, WINDOWS[self._window.value]
        if history is None:
            return
        newest = await self._site.newest(self._entry)
        found = await self._site.readings.of(
            history, ("lives", window_s), lambda reader: read_lives(reader, newest, window_s), _LIVES_EVERY_S
        )
        if self._shown is not None and self._shown[0] is found and self._shown[1] == self._page:
            return
        lives = paged(found, self._page)
        self._shown, self._page = (found, lives.page), lives.page
        self._tell(lives)
        self._chart.options.clear()
        self._chart.options.update(lives_chart(lives))
        self._chart.style(f"height: {lives_height(lives)}px")
        self._chart.update()

    def _tell(self, lives: Lives) -> None:
        self._chart.set_visibility(bool(lives.total))
        self._none.show(NONE if lives.total else empty("No node lived then."))
        self._said.show(tag("span", f"{lives.total:,} nodes, page {lives.page + 1} of {lives.pages}, the newest first"))
        self._newer.set_visibility(lives.page > 0)
        self._older.set_visibility(lives.page + 1 < lives.pages)
