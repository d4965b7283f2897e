"""A table of what Ray tells, with what is missing of it; and the questions that several pages ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from nicegui import ui

from rayfleet.contracts.state import Query
from rayfleet.dashboard.answers import Question, Told
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, Html, empty, joined, tag
from rayfleet.dashboard.pages.frame import Shown
from rayfleet.dashboard.readings.inside import MOST_ROWS, Row, machines_of
from rayfleet.dashboard.site import Site
from rayfleet.reports.amounts import duration

T = TypeVar("T")
Column = dict[str, Any]

NODES: Final = Question("nodes", lambda inside: inside.state.nodes(Query(MOST_ROWS)), 5.0)
SUMMARY: Final = Question("task summary", lambda inside: inside.state.task_summary())
TIME: Final = (
    "at => { if (!at) return ''; const then = new Date(at), today = new Date().toDateString() === then.toDateString();"
    " return (today ? '' : then.toLocaleDateString(undefined, {month: 'short', day: 'numeric'}) + ' ')"
    " + then.toLocaleTimeString(undefined, {hourCycle: 'h23'}); }"
)
SPAN: Final = (
    "s => s === null ? '' : s < 60 ? s.toFixed(0) + ' s' : s < 3600 ? (s / 60).toFixed(0) + ' min'"
    " : (s / 3600).toFixed(1) + ' h'"
)
BYTES: Final = (
    "b => { if (b === null) return '?'; let n = 0; while (b >= 1024 && n < 4) { b /= 1024; n++; }"
    " return b.toPrecision(b < 10 ? 2 : b < 100 ? 3 : 4) * 1 + ['B', 'KiB', 'MiB', 'GiB', 'TiB'][n]; }"
)
SHARE: Final = "v => v == null ? '?' : (v * 100).toFixed(0) + '%'"
_STATE_CELL: Final = '<q-td :props="props"><span class="badge" :class="props.row.mood">{{ props.value }}</span></q-td>'
_LINK_CELL: Final = (
    '<q-td :props="props"><a v-if="props.row.href" :href="props.row.href">{{ props.value }}</a>'
    "<span v-else>{{ props.value }}</span></q-td>"
)
_PER_PAGE: Final = 50


def column(name: str, label: str, look: str = "", **more: Any) -> Column:
    """Return a column of the row's value `name`. `look`: words among number, wrap, breaks (on a phone), only-wide."""
    words = look.split()
    classes = " ".join(word for word in words if word in {"wrap", "breaks", "only-wide"})
    align = "right" if "number" in words else "left"
    told = {"name": name, "label": label, "field": name, "align": align, "sortable": True, "classes": classes}
    return {**told, "headerClasses": "only-wide" if "only-wide" in words else "", **more}


class RayTable:
    """A titled table. The column `state` is shown as a badge; the one named `link` leads to the row's `href`."""

    def __init__(
        self, title: str, columns: list[Column], *, nothing: str, link: str = "", searched: bool = True, note: str = ""
    ) -> None:
        """Put an empty one where the page is being built. `nothing`: what is said when there are no rows."""
        self._title, self._note, self._nothing = title, note, nothing
        self._rows: list[Row] | None = None
        with ui.element("section").classes("panel") as self.panel:
            with ui.element("div").classes("tools"):
                self._head = Shown("div")
                words = _search(title) if searched else None
            self._said = Shown()
            self._table = ui.table(rows=[], columns=columns, row_key="id", pagination=_PER_PAGE).classes("w-full")
        self._table.props("flat dense wrap-cells")
        self._table.add_slot("body-cell-state", _STATE_CELL)
        if link:
            self._table.add_slot(f"body-cell-{link}", _LINK_CELL)
        if words is not None:
            self._table.bind_filter_from(words, "value", backward=lambda value: value or "")
        self._table.set_visibility(False)
        self._head.show(tag("h2", title, style="margin: 0"))

    def show(self, told: Told[T], rows: Callable[[T], list[Row]], count: Callable[[T], str] | None = None) -> None:
        """Show an answer; `count`: how many there are, in words."""
        value = told.value
        if value is None:
            self._said.show(asking_html(told))
            return
        made = rows(value)
        if made != self._rows:
            self._rows = made
            self._table.rows = made
            self._table.set_visibility(bool(made))
            self._table.props("hide-bottom" if len(made) <= _PER_PAGE else "", remove="hide-bottom")
        told_count = count(value) if count else self._note
        self._head.show(tag("h2", self._title, tag("span", told_count, class_="note"), style="margin: 0"))
        missing = joined(_warning(each) for each in getattr(value, "warnings", ()))
        self._said.show(joined((asking_html(told), missing, NONE if made else empty(self._nothing))))


def _search(title: str) -> ui.input:
    words = ui.input(placeholder="Search").classes("grow")
    words.props(f'dense outlined clearable debounce=200 aria-label="Search {title.lower()}"')
    return words


def _warning(text: str) -> Html:
    return tag("p", text, class_="dim", role="note")


def asking_html(told: Told[Any], whom: str = "Ray") -> Html:
    """Return what is said beside an answer that is old or missing; nothing beside a good one."""
    if told.trouble:
        hint = tag("code", told.hint) if told.hint.startswith(("rayfleet ", "ray ")) else tag("span", told.hint)
        older = f" What is shown is {duration(told.old_s)} old." if told.value is not None else ""
        return tag(
            "p", tag("span", f"{told.trouble}.{older} "), hint if told.hint else None, role="alert", class_="down"
        )
    return empty(f"Asking {whom} ...") if told.value is None else NONE


async def machines(site: Site, entry: Entry) -> Mapping[str, str]:
    """Return what nodes are called, by their ids in Ray; empty while that is not told."""
    found = (await site.told(entry, NODES)).value
    return machines_of(found) if found is not None else {}
