"""The end of a log and what comes, with search. Read from Ray for as long as somebody has the page open."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui

from rayfleet.contracts.state import LogSource
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.log_reader import KEPT, LogReader, Wanted
from rayfleet.dashboard.markup import NONE, Html, empty, joined, tag
from rayfleet.dashboard.pages.frame import Shown
from rayfleet.dashboard.pages.ray_table import asking_html
from rayfleet.dashboard.site import Site


class LogPanel:
    """One log at a time. `nothing`: what is said while none is chosen."""

    def __init__(self, site: Site, entry: Entry, title: str, nothing: str = "") -> None:
        """Put it where the page is being built."""
        self._site, self._entry, self._nothing = site, entry, nothing
        self._source: LogSource | Path | None = None
        self._reader: LogReader | None = None
        with ui.element("section").classes("panel"):
            with ui.element("div").classes("tools"):
                self._title = Shown("div")
                words = ui.input(placeholder="Search", on_change=self._again).classes("grow")
                words.props('dense outlined clearable debounce=300 aria-label="Search this log"')
                self._follows = ui.switch("Follow", value=True, on_change=self._again).props("dense")
            self._words = words
            self._said, self._text = Shown(), Shown("div", "log")
        self._text.element.props(f'tabindex="0" role="log" aria-label="{title}"')
        self.titled(title)
        ui.context.client.on_delete(self._stop)

    def titled(self, title: str) -> None:
        """Say what it is of."""
        self._title.show(tag("h2", title, style="margin: 0"))

    def read(self, source: LogSource | Path | None) -> None:
        """Read this one from now on; None: none."""
        if source != self._source:
            self._source = source
            self._again()

    def _again(self) -> None:
        """Begin anew: another log, other words, or somebody wants to read in peace."""
        self._stop()
        wanted = self._wanted()
        before = self._reader.wanted if self._reader is not None else None
        same_lines = wanted and before and (wanted.source, wanted.words) == (before.source, before.words)
        if same_lines and not self._follows.value:
            return  # what is shown stays as it is
        self._reader = LogReader(wanted) if wanted is not None else None

    def _wanted(self) -> Wanted | None:
        if self._source is None:
            return None
        return Wanted(self._entry.name, self._source, self._words.value or "", bool(self._follows.value))

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()

    async def look(self) -> None:
        """Show what has come."""
        reader = self._reader
        if reader is None:
            self._said.show(empty(self._nothing) if self._nothing else NONE)
            self._text.show(NONE)
            return
        await reader.go_on(self._site.clusters)
        self._said.show(said_html(reader))
        self._text.show(tag("pre", "\n".join(reader.lines)))


def said_html(reader: LogReader) -> Html:
    """Return what is worth saying about what is shown, or about there being nothing."""
    wrong = asking_html(reader.told) if reader.told.trouble else NONE
    if reader.lines:
        full = len(reader.lines) == KEPT
        return joined((wrong, tag("p", f"The last {KEPT} lines.", class_="dim") if full else NONE))
    if reader.wanted.words.strip() and reader.read:
        return joined((wrong, empty(f"None of its {reader.read:,} lines has that.")))
    return wrong or empty("Nothing printed yet." if reader.answered.is_set() else "Reading ...")
