"""Exported series over time, Ray's own and those of programs too, as Prometheus keeps them; else those of now."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard import prometheus
from rayfleet.dashboard.answers import NoFigures, Told
from rayfleet.dashboard.charts import series_chart
from rayfleet.dashboard.clusters import Entry, Figures
from rayfleet.dashboard.markup import NONE, Html, empty, joined, panel, tag
from rayfleet.dashboard.pages.frame import Frame, Shown, cluster_path
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import RayTable, asking_html, column
from rayfleet.dashboard.prometheus import Offered
from rayfleet.dashboard.readings.metrics import Asked, Drawn, Kind, asked, current, first, kinds
from rayfleet.dashboard.readings.timeline import WINDOWS
from rayfleet.dashboard.site import Site

_WHERE_EVERY_S: Final = 5.0
_NAMES_EVERY_S: Final = 15.0
_NOW_EVERY_S: Final = 5.0
_MOST_SELDOM_S: Final = 60.0
_USUAL_SPAN: Final = "1 h"
VALUES: Final = [
    column("series", "Series", "breaks"),
    column("labels", "Labels", "wrap"),
    column("value", "Value", "number"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page. What is drawn: `?series=NAME&span=SPAN`."""
    frame = Frame(site, request, f"Metrics of {entry.name}", entry=entry, page="metrics")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            query = request.query_params
            chart = _Chart(site, frame, entry, query.get("series", ""), query.get("span", ""))
            now = _Now(site, entry)

    async def look() -> None:
        async def ask() -> Figures:
            return await asyncio.to_thread(site.clusters.figures, entry.name)

        where = (await site.answers.of((entry.name, "figures"), ask, _WHERE_EVERY_S)).value
        if where is not None:
            await chart.look(where)
            await now.look(where, wanted=chart.is_silent)

    await frame.follow(look)


class _Chart:
    """One series over time, and the tools to choose it."""

    def __init__(self, site: Site, frame: Frame, entry: Entry, series: str, span: str) -> None:
        self._site, self._entry, self._wanted = site, entry, series
        self._kinds: dict[str, Kind] = {}
        self._shown: Drawn | None = None
        self.is_silent = False
        with ui.element("section").classes("panel") as self._panel:
            with ui.element("div").classes("tools"):
                Shown("div").show(tag("h2", "Over time", style="margin: 0"))
                self._series = ui.select([], label="Series", with_input=True, on_change=self._chosen).classes("grow")
                self._series.props('dense options-dense outlined aria-label="Series"')
                usual = span if span in WINDOWS else _USUAL_SPAN
                self._span = ui.toggle(list(WINDOWS), value=usual, on_change=self._chosen)
                self._span.props('dense flat no-caps size=sm toggle-color=primary aria-label="Span of time"')
            self._said = Shown()
            self._chart = ui.echart({}).classes("chart").props('role="img" aria-label="The series over time"')
        self._panel.set_visibility(False)
        self._chart.set_visibility(False)
        frame.on_theme(self._chart.update)

    def _chosen(self) -> None:
        """Put what is chosen into the address, so that it can be passed on."""
        if self._series.value and ui.context.client.has_socket_connection:
            path = cluster_path(self._entry.name, "metrics")
            ui.navigate.history.replace(f"{path}?series={self._series.value}&span={self._span.value}")

    async def look(self, where: Figures) -> None:
        """Offer the series that there are, and draw the one that is chosen."""
        self._panel.set_visibility(bool(where.prometheus))
        self.is_silent = not where.prometheus
        if self.is_silent:
            return
        names = await self._names(where.prometheus)
        if names.value is not None:
            self._offer(names.value)
        series = self._series.value
        if names.trouble or not series:
            self._said.show(_nothing(names, self._entry.name))
            self._chart.set_visibility(False)
            self.is_silent = bool(names.trouble) or names.value is not None
            return
        labels = names.value.labels if names.value is not None else ()
        question = asked(series, self._kinds[series], dict(labels), now=self._site.now(), span_s=self._span_s)
        told = await self._curves(where.prometheus, series, question)
        self._draw(told, self._kinds[series], is_of_cluster=bool(labels))

    @property
    def _span_s(self) -> float:
        return WINDOWS[str(self._span.value)]

    async def _names(self, base: str) -> Told[Offered]:
        until, span_s = self._site.now(), self._span_s

        async def ask() -> Offered:
            return await prometheus.offered(base, self._entry.name, until - span_s, until)

        return await self._site.answers.of((self._entry.name, "series", base, span_s), ask, _NAMES_EVERY_S)

    async def _curves(self, base: str, series: str, question: Asked) -> Told[Drawn]:
        async def ask() -> Drawn:
            return await prometheus.curves(base, question)

        key = (self._entry.name, "curves", base, series, self._span_s)
        return await self._site.answers.of(key, ask, min(question.step_s, _MOST_SELDOM_S))

    def _offer(self, found: Offered) -> None:
        made = kinds(found.names)
        if made != self._kinds:
            self._kinds = made
            wanted = self._series.value or self._wanted
            self._series.set_options(list(made), value=wanted if wanted in made else first(made))

    def _draw(self, told: Told[Drawn], kind: Kind, *, is_of_cluster: bool) -> None:
        found = told.value
        self.is_silent = found is None and bool(told.trouble)
        self._chart.set_visibility(bool(found and found.lines))
        self._said.show(_said(told, kind, self._entry.name, is_of_cluster=is_of_cluster))
        if found is not None and found.lines and found != self._shown:
            self._shown = found
            self._chart.options.clear()
            self._chart.options.update(series_chart(found))
            self._chart.update()


class _Now:
    """What the controller offers now; for whoever has no Prometheus."""

    def __init__(self, site: Site, entry: Entry) -> None:
        self._site, self._entry = site, entry
        self._advice = Shown()
        note = "of the controller, without those that Ray's nodes offer themselves"
        self._rows = RayTable("Values now", VALUES, nothing="The controller offers nothing.", note=note)
        self._rows.panel.set_visibility(False)

    async def look(self, where: Figures, *, wanted: bool) -> None:
        """Show them where `wanted`, and say how one sees more."""
        self._advice.show(NONE if where.prometheus else advice_html(self._entry.name))
        self._rows.panel.set_visibility(wanted)
        if wanted:
            self._rows.show(await self._told(where), lambda rows: rows)

    async def _told(self, where: Figures) -> Told[list[dict[str, Any]]]:
        if not where.exporter:
            return Told(None, where.trouble, where.hint)

        async def ask() -> list[dict[str, Any]]:
            try:
                return current(await prometheus.page_of(where.exporter))
            except ValueError as error:
                raise NoFigures(f"{where.exporter} answers what no exporter does: {error}") from error

        return await self._site.answers.of((self._entry.name, "values", where.exporter), ask, _NOW_EVERY_S)


# ---- markup ---------------------------------------------------------------------------------------------------------


def advice_html(cluster: str) -> Html:
    """Return how somebody gets charts who has no Prometheus yet."""
    steps = tag(
        "ol",
        tag("li", "Start one: ", tag("code", f"rayfleet metrics {cluster}"), " prints the command."),
        tag(
            "li",
            "Say in the cluster's file where it is, then bring the cluster up again: ",
            tag("code", "monitoring_config: {prometheus: {url: http://127.0.0.1:9090}}"),
            ". Or set RAY_PROMETHEUS_HOST, which Ray's own dashboard reads, before the dashboard is started.",
        ),
    )
    lead = tag("p", "Only Prometheus keeps how figures were, and no Prometheus is known for this cluster.")
    return panel("No charts yet", lead, steps)


def _nothing(names: Told[Offered], cluster: str) -> Html:
    if names.value is None or names.trouble:
        return asking_html(names, "Prometheus")
    return empty(
        "This Prometheus had no series in that span of time. What it is to scrape: ", f"rayfleet metrics {cluster}"
    )


def _said(told: Told[Drawn], kind: Kind, cluster: str, *, is_of_cluster: bool) -> Html:
    """Return what is worth saying above a chart."""
    found = told.value
    if found is None:
        return asking_html(told, "Prometheus")
    strange = (
        f"No series says that it is of {cluster} (label {prometheus.CLUSTER_LABEL}): shown are all that there are. "
    )
    parts = ["" if is_of_cluster else strange]
    if not found.lines:
        return joined((asking_html(told), tag("p", *parts, class_="dim"), empty("No values in that span of time.")))
    parts.append({Kind.GAUGE: "", Kind.COUNTER: "How much it grows per second. ", Kind.HISTOGRAM: ""}[kind])
    parts.append(f"The {len(found.lines)} highest of {len(found.lines) + found.hidden} lines." if found.hidden else "")
    text = "".join(parts)
    return joined((asking_html(told), tag("p", text, class_="dim") if text else NONE))
