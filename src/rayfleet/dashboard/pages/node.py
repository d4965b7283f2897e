"""One node: what is known of it, what happened to it, and the button that has it emptied and given back."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import Html, badge, empty, joined, link, panel, table, tag
from rayfleet.dashboard.pages.feed import Feed
from rayfleet.dashboard.pages.fleet import said_of
from rayfleet.dashboard.pages.frame import Frame, Shown, big_empty, cluster_path, complaining
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.readings.amounts import number
from rayfleet.dashboard.readings.nodes import NodeDetail, node_detail
from rayfleet.dashboard.readings.seen import UP
from rayfleet.dashboard.site import Site


async def page(site: Site, request: Request, entry: Entry, node: str) -> None:
    """Build the page."""
    frame = Frame(site, request, f"{node} of {entry.name}", entry=entry, page="nodes", headed=True)
    claim = node.split(".", maxsplit=1)[0]
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        top, health = Shown(), Shown()
        drain = _Drain(site, entry, node)
        facts = Shown()
        with ui.element("section").classes("panel").style("margin-top: 12px"):
            Shown("div").show(tag("h2", "What happened to it"))
            feed = Feed(site, entry, subject=claim)

    async def look() -> None:
        current = await site.entry(entry.name) or entry
        found = await site.newest(current)
        report = found.report
        detail = node_detail(report, node) if report is not None else None
        top.show(_title(entry, node, detail))
        health.show(said_of(current, found, site.now()))
        drain.allow(possible=detail is not None and detail.row.can_leave and current.state == UP)
        facts.show(detail_html(detail) if detail else big_empty(f"{node} is not there", "It may have left."))
        await feed.look()

    await frame.follow(look)


def _title(entry: Entry, node: str, detail: NodeDetail | None) -> Html:
    state = badge(detail.row.health, detail.row.mood.value) if detail else None
    back = link("Nodes", cluster_path(entry.name, "nodes"))
    alive = detail is not None and detail.node_id
    logs = link("Logs", f"{cluster_path(entry.name, 'logs')}?node={detail.node_id}") if detail and alive else None
    return tag("div", back, tag("span", "/", class_="dim"), tag("h1", node), state, logs, class_="health")


class _Drain:
    """The button, and the question whether that is meant."""

    def __init__(self, site: Site, entry: Entry, node: str) -> None:
        self._site, self._entry, self._node = site, entry, node
        with ui.dialog() as self._dialog, ui.card().props('role="dialog" aria-labelledby="drain-title"'):
            text = "Nothing new starts on it; what runs may finish until the deadline. Then the machine is given back."
            Shown("div").show(joined((tag("h1", f"Drain {node}?", id="drain-title"), tag("p", text, class_="dim"))))
            self._why = ui.input("Reason, for the history").props("dense outlined autofocus").classes("w-full")
            with ui.row().classes("w-full justify-end"):
                ui.button("Keep it", on_click=self._dialog.close).props("flat no-caps")
                ui.button(f"Drain {node}", on_click=self._order).props("no-caps color=negative unelevated")
        self._button = ui.button("Drain ...", on_click=self._dialog.open).props("outline dense no-caps color=negative")
        self._button.style("padding: 2px 12px; margin-bottom: 12px")
        self._button.set_visibility(False)

    def allow(self, *, possible: bool) -> None:
        """Offer it, or not: the head is never drained, and what leaves has been told."""
        self._button.set_visibility(possible)

    async def _order(self) -> None:
        self._dialog.close()
        with complaining():
            told = await self._site.clusters.drain(self._entry.name, self._node, self._why.value or "")
            ui.notify(told, type="positive")


def detail_html(detail: NodeDetail) -> Html:
    """Return all that is known of a node."""
    facts = tag("dl", *(joined((tag("dt", name), tag("dd", value))) for name, value in detail.facts), class_="facts")
    why = tag("p", detail.row.why[:1].upper() + detail.row.why[1:], class_="dim") if detail.row.why else None
    amounts = [(name, number(used), number(total)) for name, used, total in detail.resources]
    resources = (
        table(("Resource", "In use", "Has"), amounts, numbers=[1, 2], caption="Resources of this node")
        if amounts
        else empty("Ray has not told yet.")
    )
    labels = (
        tag("dl", *(joined((tag("dt", key), tag("dd", value))) for key, value in detail.labels), class_="facts")
        if detail.labels
        else empty("It has no labels.")
    )
    runs = (
        panel("What keeps it busy", tag("ul", *(tag("li", text) for text in detail.activity), class_="plain"))
        if detail.activity
        else None
    )
    left = tag("div", panel("Node", why, facts), runs, class_="stack")
    right = tag("div", panel("Resources", resources), panel("Labels", labels), class_="stack")
    return tag("div", left, right, class_="grid")
