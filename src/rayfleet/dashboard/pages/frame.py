"""What all pages have around them: header, navigation, a sign of life, and the clock that has them look again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts import JobsUnavailable
from rayfleet.dashboard.clusters import Entry, NoWayIn, OrderRefused
from rayfleet.dashboard.gate import LOGOUT_PATH
from rayfleet.dashboard.markup import NONE, Html, badge, empty, joined, link, tag
from rayfleet.dashboard.readings.amounts import ago
from rayfleet.dashboard.readings.seen import NO_CONTROLLER, SILENT_S, UP, Mood
from rayfleet.dashboard.site import Site
from rayfleet.reports.history import HistoryUnavailable

PAGES: Final = {
    "": "Overview",
    "autoscaler": "Autoscaler",
    "nodes": "Nodes",
    "events": "Events",
    "jobs": "Jobs",
    "actors": "Actors",
    "tasks": "Tasks",
    "groups": "Placement groups",
    "memory": "Memory",
    "metrics": "Metrics",
    "logs": "Logs",
}
THEME_COOKIE: Final = "rayfleet_theme"
REFRESH_S: Final = 1.0
_TOGGLE_THEME: Final = (
    "() => { const dark = !document.body.classList.contains('body--dark'); Quasar.Dark.set(dark);"
    f" document.cookie = '{THEME_COOKIE}=' + (dark ? 'dark' : 'light') + ';path=/;max-age=31536000;samesite=strict';"
    " setTimeout(() => emitEvent('theme'), 50); }"
)
_NOT_NEW: Final = "This page cannot be brought up to date"
_LOG: Final = logging.getLogger(__name__)
STATE_MOODS: Final = {UP: Mood.GOOD, NO_CONTROLLER: Mood.BAD}


def cluster_path(name: str, page: str = "", *rest: str) -> str:
    """Return the path of a cluster's page."""
    return "/" + "/".join(quote(part, safe="") for part in ("c", name, page, *rest) if part)


class Shown:
    """Markup on a page that changes only when what it shows does."""

    def __init__(self, name: str = "div", classes: str = "") -> None:
        """Put an empty one where the page is being built."""
        # What is put in was escaped when it was made: see `markup`.
        self.element = ui.html("", sanitize=False, tag=name).classes(classes)
        self._held = ""

    def show(self, content: Html) -> None:
        """Show `content` instead."""
        if content != self._held:
            self._held = content
            self.element.set_content(content)


@contextmanager
def complaining() -> Iterator[None]:
    """Tell whoever has pressed a button why nothing came of it, whatever the reason."""
    try:
        yield
    except (JobsUnavailable, NoWayIn, OrderRefused) as error:
        ui.notify(str(error), type="negative", multi_line=True)
    except Exception as error:  # noqa: BLE001 - silence would be taken for success
        _LOG.exception("an order failed")
        ui.notify(f"That failed: {type(error).__name__}: {error}", type="negative", multi_line=True)


class Frame:
    """The page around a page. Made first; then the content goes into `with frame.main():`."""

    def __init__(
        self,
        site: Site,
        request: Request,
        title: str,
        *,
        entry: Entry | None = None,
        page: str = "",
        headed: bool = False,
    ) -> None:
        """Write the header. `entry`: whose page it is; None: all clusters'. `headed`: it has a title of its own."""
        self.site = site
        self._entry = entry
        self._redraw: list[Callable[[], None]] = []
        self._theme(request, title)
        self._where, self._live = self._header(entry)
        if entry is not None:
            _navigation(entry, page)
        self._main = ui.element("div").classes("body").props('id="main" tabindex="-1"')
        with self._main:
            if not headed:
                Shown("h1", "unseen").show(joined((title,)))
            self._problem = Shown()

    def _theme(self, request: Request, title: str) -> None:
        ui.page_title(f"{title}: rayfleet")
        ui.dark_mode({"dark": True, "light": False}.get(request.cookies.get(THEME_COOKIE, "")))
        ui.add_head_html(
            '<link rel="stylesheet" href="/rayfleet/page.css"><script src="/rayfleet/page.js" defer></script>'
        )
        ui.on("theme", self._themed)

    def _header(self, entry: Entry | None) -> tuple[Shown, Shown]:
        Shown("div").show(link("Skip to the content", "#main", class_="skip"))
        with ui.element("header").classes("top"):
            Shown("div").show(link("rayfleet", "/", class_="brand"))
            where = Shown("div", "where" if entry else "")
            if entry is not None:
                where.show(_where(entry.name, entry.state))
            live = Shown("div", "live")
            button = ui.button(icon="contrast").props('flat dense round size=sm aria-label="Light or dark"')
            button.on("click", js_handler=_TOGGLE_THEME)
            if self.site.logs_in:
                Shown("div").show(link("Log out", LOGOUT_PATH))
        return where, live

    def main(self) -> ui.element:
        """Return where the content goes."""
        return self._main

    def on_theme(self, redraw: Callable[[], None]) -> None:
        """Have something drawn again, in the colours of the theme that somebody has chosen."""
        self._redraw.append(redraw)

    def _themed(self) -> None:
        for redraw in self._redraw:
            redraw()

    async def follow(self, look: Callable[[], Awaitable[None]]) -> None:
        """Call `look` now and then again each second while somebody has the page open."""

        async def again() -> None:
            try:
                await self._named()
                await look()
                await self._alive()
            except HistoryUnavailable as error:
                self._problem.show(_problem("The record of this cluster cannot be read", str(error)))
            except Exception as error:  # noqa: BLE001 - what is shown must not go on looking new, whatever stops it
                _LOG.exception("a page cannot be brought up to date")
                self._problem.show(_problem(_NOT_NEW, f"{type(error).__name__}: {error}"))
            else:
                self._problem.show(NONE)

        await again()
        ui.timer(REFRESH_S, again, immediate=False)

    async def _named(self) -> None:
        """Say how the cluster is: up, down, or removed since the page was opened."""
        if self._entry is not None:
            current = await self.site.entry(self._entry.name)
            self._where.show(_where(self._entry.name, current.state if current else "removed"))

    async def _alive(self) -> None:
        """Say when the cluster's controller last did something."""
        if self._entry is None or self._entry.history is None:
            return
        beat = (await self.site.newest(self._entry)).beat
        if beat is not None:
            seconds = self.site.now() - beat.at
            silent = "down" if seconds > SILENT_S else None
            self._live.show(joined((f"tick {beat.tick:,}, ", tag("span", ago(seconds), class_=silent))))


def _navigation(entry: Entry, current: str) -> None:
    links = (
        link(name, cluster_path(entry.name, page), aria_current="page" if page == current else None)
        for page, name in PAGES.items()
    )
    ui.html(joined(links), sanitize=False, tag="nav").classes("pages").props('aria-label="Pages of this cluster"')


def _where(name: str, state: str) -> Html:
    mood = STATE_MOODS.get(state, Mood.OFF)
    return joined((link(name, cluster_path(name)), badge(state, mood.value)))


def _problem(title: str, text: str) -> Html:
    more = empty("The cluster itself is not affected; what is shown below may be old.")
    return tag("section", tag("h2", title), tag("p", text, role="alert"), more, class_="panel problem")


def big_empty(title: str, text: str, advice: str = "") -> Html:
    """Return what a page shows that has nothing to show yet."""
    command = tag("p", tag("code", advice)) if advice else None
    return tag("div", tag("h1", title), tag("p", text, class_="dim"), command, class_="bigempty")
