"""The table of events, with search and filters; it follows what comes. Used by two pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from nicegui import ui

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import tag
from rayfleet.dashboard.pages.frame import Shown
from rayfleet.dashboard.readings.feed import KINDS, PAGE, feed_rows
from rayfleet.dashboard.site import Site
from rayfleet.reports.event_search import EventQuery, EventRow

_TIME: Final = (
    "at => { const then = new Date(at), today = new Date().toDateString() === then.toDateString();"
    " return (today ? '' : then.toLocaleDateString(undefined, {month: 'short', day: 'numeric'}) + ' ')"
    " + then.toLocaleTimeString(undefined, {hourCycle: 'h23'}); }"
)
COLUMNS: Final[list[dict[str, Any]]] = [
    {"name": "at", "label": "Time", "field": "at", "align": "left", ":format": _TIME},
    {"name": "kind", "label": "What", "field": "kind", "align": "left"},
    {"name": "pool", "label": "Pool", "field": "pool", "align": "left", "classes": "only-wide",
     "headerClasses": "only-wide"},
    {"name": "text", "label": "How and why", "field": "text", "align": "left", "classes": "wrap"},
]  # fmt: skip
_KIND_CELL: Final = '<q-td :props="props"><span class="badge" :class="props.row.mood">{{ props.value }}</span></q-td>'
_MOST: Final = 2_000


class Feed:
    """Events of one cluster: those of `kinds` (empty: of all), the newest first."""

    def __init__(
        self, site: Site, entry: Entry, kinds: tuple[str, ...] = (), *, subject: str = "", rows: int = PAGE
    ) -> None:
        """Put the tools and the table where the page is being built. `subject`: only what is about it."""
        self._site, self._entry = site, entry
        self._all = kinds or tuple(KINDS)
        self._query = EventQuery(kinds=kinds, subject=subject, limit=rows)
        self._page = rows
        self._rows: tuple[EventRow, ...] | None = None
        self._searched = not subject
        if self._searched:
            self._tools()
        self._table = ui.table(rows=[], columns=COLUMNS, row_key="id").classes("w-full")
        self._table.props('flat dense wrap-cells hide-bottom hide-pagination :rows-per-page-options="[0]"')
        self._table.add_slot("body-cell-kind", _KIND_CELL)
        self._none = Shown()
        self._more = ui.button("Older", on_click=self._older).props("flat dense no-caps size=sm")
        self._more.set_visibility(False)

    def _tools(self) -> None:
        with ui.element("div").classes("tools"):
            words = ui.input(placeholder="Search: words, node, pool, code", on_change=self._ask)
            words.props('dense outlined clearable debounce=300 aria-label="Search events"').classes("grow")
            kinds = ui.select(list(self._all), multiple=True, value=[], label="Kinds", on_change=self._ask)
            kinds.props('dense options-dense outlined use-chips aria-label="Kinds of events"').style("min-width: 150px")
            self._follows = ui.switch("Follow", value=True).props("dense")
            self._words, self._kinds = words, kinds

    async def _ask(self) -> None:
        chosen = tuple(self._kinds.value or self._all)
        every = set(chosen) == set(KINDS)
        query = replace(self._query, words=self._words.value or "", kinds=() if every else chosen, limit=self._page)
        if query != self._query:
            self._query = query
            await self._read()

    async def _older(self) -> None:
        self._query = replace(self._query, limit=min(_MOST, self._query.limit + self._page))
        await self._read()

    async def look(self) -> None:
        """Show what has come, unless somebody has stopped that to read."""
        if self._rows is None or not self._searched or self._follows.value:
            await self._read()

    async def _read(self) -> None:
        history, query = self._entry.history, self._query
        if history is None:
            return
        found = await self._site.readings.of(history, ("events", query), lambda reader: reader.search(query))
        if found is not self._rows:
            self._rows = found
            self._table.rows = feed_rows(found)
            self._more.set_visibility(len(found) >= query.limit and query.limit < _MOST)
            self._table.set_visibility(bool(found))
            self._none.show(tag("p", "" if found else self._nothing(), class_="empty"))

    def _nothing(self) -> str:
        looked_for = self._query.words or self._query.kinds
        return "Nothing that fits has happened." if looked_for else "Nothing has happened yet."
