"""One cluster at a glance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import StateCount, Summary
from rayfleet.dashboard.answers import Told
from rayfleet.dashboard.charts import timeline_chart
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, Html, badge, empty, joined, link, panel, table, tag
from rayfleet.dashboard.pages.fleet import said_of
from rayfleet.dashboard.pages.frame import Frame, Shown, big_empty, cluster_path
from rayfleet.dashboard.pages.ray_table import SUMMARY
from rayfleet.dashboard.readings.amounts import number, title_of, usd
from rayfleet.dashboard.readings.inside import task_totals
from rayfleet.dashboard.readings.overview import Bar, Money, Overview, PoolRow, Wait, midnight, overview
from rayfleet.dashboard.readings.seen import RUNS
from rayfleet.dashboard.readings.timeline import WINDOWS, Timeline, timeline
from rayfleet.dashboard.site import Site
from rayfleet.reports.amounts import duration

_MOST_WAITS = 8
_TODAY_EVERY_S = 30.0
_LINE_EVERY_S = 2.0
_COUNTS = replace(SUMMARY, every_s=5.0)


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, entry.name, entry=entry)
    with frame.main():
        top, tiles, tasks = Shown(), Shown(), Shown()
        chart = _Chart(site, frame, entry.history) if entry.history else None
        rest = Shown()

    async def look() -> None:
        current = await site.entry(entry.name) or entry
        found = await site.newest(current)
        report = found.report
        top.show(said_of(current, found, site.now()))
        if report is None or current.history is None:
            tiles.show(nothing_html(current))
            return
        since = midnight(report.snapshot.now)
        today = await site.readings.of(
            current.history, ("today", since), lambda reader: reader.measures(since), _TODAY_EVERY_S
        )
        seen = await site.readings.derived(("overview", entry.name), report, lambda: overview(report, today))
        tiles.show(tiles_html(seen, runs=current.state in RUNS))
        rest.show(overview_html(seen, entry.name))
        if chart is not None:
            await chart.look()
        # The page is there without Ray: what it counts comes when it comes.
        told = await site.told(current, _COUNTS, patience_s=0.0) if current.state in RUNS else None
        tasks.show(tasks_html(told, entry.name) if told else NONE)

    await frame.follow(look)


def nothing_html(entry: Entry) -> Html:
    """Return what is shown of a cluster that has no record here."""
    if entry.history is None:
        text = entry.where or "Its record is on another computer."
        return big_empty("Not on this machine", text)
    return big_empty("Nothing recorded yet", "Its controller has not looked at it yet.", f"rayfleet logs {entry.name}")


class _Chart:
    """The timeline with its tools."""

    def __init__(self, site: Site, frame: Frame, history: Path) -> None:
        self._site, self._history = site, history
        self._shown: tuple[Timeline | None, str] = (None, "")
        with ui.element("section").classes("panel wide").style("margin-bottom: 12px"):
            with ui.element("div").classes("tools"):
                Shown("div").show(tag("h2", "Demand, capacity and nodes", style="margin: 0"))
                self._window = ui.toggle(list(WINDOWS), value="1 h", on_change=self.look)
                self._window.props('dense flat no-caps size=sm toggle-color=primary aria-label="Span of time"')
                self._resource = ui.select(["CPU"], value="CPU", on_change=self.look)
                self._resource.props('dense options-dense outlined aria-label="Resource"').style("min-width: 110px")
            self._chart = ui.echart({}).classes("chart")
            self._chart.props('role="img" aria-label="Demand, capacity and nodes over time"')
        frame.on_theme(self._chart.update)

    async def look(self) -> None:
        """Draw what has changed."""
        window_s = WINDOWS[self._window.value]
        line = await self._site.readings.of(
            self._history, ("timeline", window_s), lambda reader: timeline(reader, window_s), _LINE_EVERY_S
        )
        options = {name: title_of(name) for name in line.resources or ("CPU",)}
        if self._resource.options != options:
            chosen = self._resource.value if self._resource.value in options else next(iter(options))
            self._resource.set_options(options, value=chosen)
        resource = str(self._resource.value)
        if (line, resource) != self._shown:
            self._shown = (line, resource)
            self._chart.options.clear()
            self._chart.options.update(timeline_chart(line, resource))
            self._chart.update()


# ---- markup ---------------------------------------------------------------------------------------------------------


def tiles_html(seen: Overview, *, runs: bool) -> Html:
    """Return the figures at the top; of a cluster that does not run: as they were last."""
    moving = [f"{seen.starting} starting" if seen.starting else "", f"{seen.leaving} leaving" if seen.leaving else ""]
    moving += [f"{seen.standby} on standby"] if seen.standby else []
    groups = f"{seen.gangs} group{'' if seen.gangs == 1 else 's'}" if seen.gangs else ""
    oldest = f"oldest {duration(seen.oldest_s)}" if seen.tasks or seen.gangs else "nothing waits"
    cpu = next((bar for bar in seen.bars if bar.title == "CPU"), None)
    used = f"{cpu.used / cpu.total:.0%}" if cpu and cpu.total else "0%"
    tiles = [
        ("Nodes ready", number(seen.ready), ", ".join(part for part in moving if part) or f"{seen.in_use} in use"),
        ("Tasks and actors waiting", number(seen.tasks), ", ".join(part for part in (groups, oldest) if part)),
        ("CPUs in use", used, f"{number(cpu.used)} of {number(cpu.total)}" if cpu else "no CPUs"),
        *_money_tiles(seen.money),
    ]
    drawn = (
        tag(
            "div",
            tag("dt", name if runs else f"{name}, last"),
            tag("dd", value),
            tag("dd", sub, class_="sub"),
            class_="tile",
        )
        for name, value, sub in tiles
    )
    return tag("dl", *drawn, class_="tiles")


def tasks_html(told: Told[Summary[StateCount]], cluster: str) -> Html:
    """Return what has become of the tasks of programs, as Ray counts them."""
    if told.value is None:
        text = f"Ray does not tell: {told.trouble}" if told.trouble else "Asking Ray ..."
        return tag("p", tag("b", "Tasks"), " ", tag("span", text, class_="dim"), class_="line")
    seen = task_totals(told.value)
    parts = (
        (seen.running, "running", "busy"),
        (seen.waiting, "waiting", "off"),
        (seen.finished, "finished", "good"),
        (seen.failed, "failed", "bad" if seen.failed else "off"),
    )
    counts = joined(tag("span", badge(f"{number(count)} {name}", mood), " ") for count, name, mood in parts)
    older = f"{number(seen.forgotten)} older ones are not counted" if seen.forgotten else ""
    stale = f"{duration(told.old_s)} old: {told.trouble}" if told.trouble else ""
    note = tag("span", "; ".join(part for part in (older, stale) if part), class_="dim")
    return tag("p", link("Tasks", cluster_path(cluster, "tasks")), " ", counts, note, class_="line")


def _money_tiles(money: Money) -> list[tuple[str, str, str]]:
    unpriced = f"{money.unpriced} without a price" if money.unpriced else ""
    if not (money.per_hour or money.on_demand or money.today):
        return [("Cost per hour", "no price", unpriced or "nothing runs")]
    after = f"{usd(money.after)} after this plan" if abs(money.after - money.per_hour) > 0.005 else ""  # noqa: PLR2004 - half a cent
    tiles = [("Cost per hour", usd(money.per_hour), after or unpriced or money.compared)]
    if money.today is not None:
        against = f"{usd(money.today_on_demand)} on-demand" if money.today_on_demand is not None else ""
        tiles.append(("Cost today (UTC)", usd(money.today), against))
    return tiles


def overview_html(seen: Overview, cluster: str) -> Html:
    """Return what is below the chart."""
    left = tag("div", waits_html(seen.waits, cluster), class_="stack")
    right = tag("div", bars_html(seen.bars), class_="stack")
    return tag("div", left, right, pools_html(seen.pools), class_="grid")


def bars_html(bars: tuple[Bar, ...]) -> Html:
    """Return a bar for each resource."""
    if not bars:
        return panel("Resources", empty("No node has joined yet."))
    colours = (("In use", "--busy"), ("Free", "--good"), ("Booting", "--idle"))
    key = tag("span", *(tag("span", name, style=f"--k: var({variable})") for name, variable in colours), class_="key")
    title = tag("h2", "Resources", key)
    return tag("section", title, *(_bar(bar) for bar in bars), class_="panel")


def _bar(bar: Bar) -> Html:
    whole = bar.total + bar.coming or 1.0
    parts = (("used", bar.used), ("free", bar.free), ("coming", bar.coming))
    drawn = (tag("i", class_=name, style=f"width: {value / whole:.2%}") for name, value in parts if value > 0)
    coming = f", {number(bar.coming)} booting" if bar.coming else ""
    text = f"{number(bar.used)} of {number(bar.total)}{coming}"
    return tag(
        "div",
        tag("span", bar.title, class_="name", title=bar.title),
        tag("div", *drawn, class_="bar", role="img", aria_label=f"{bar.title}: {text}"),
        tag("span", text, class_="num"),
        class_="bar-row",
    )


def waits_html(waits: tuple[Wait, ...], cluster: str) -> Html:
    """Return what waits, and why."""
    if not waits:
        return panel("What waits", empty("Nothing waits."))
    rows = (
        tag("li", tag("b", f"{wait.count:,} x "), wait.what, _age(wait), tag("div", _because(wait), class_="why"))
        for wait in waits[:_MOST_WAITS]
    )
    more = tag("li", link(f"{len(waits) - _MOST_WAITS} more", cluster_path(cluster, "autoscaler")))
    return panel(
        "What waits", tag("ul", *rows, more if len(waits) > _MOST_WAITS else None, class_="plain"),
        note="and why",
    )  # fmt: skip


def _age(wait: Wait) -> Html | None:
    return tag("span", f" for {duration(wait.age_s)}", class_="dim") if wait.age_s >= 1 else None


def _because(wait: Wait) -> str:
    if wait.unmet:
        return wait.why if wait.unmet == wait.count else f"{wait.unmet} without a place: {wait.why}"
    return "has a place on nodes that are there or on their way"


def pools_html(pools: tuple[PoolRow, ...]) -> Html:
    """Return nodes by pool and phase."""
    if not pools:
        return panel("Pools", empty("This cluster has no pools."), wide=True)
    rows = [
        (
            joined((row.name, Html(" "), badge("head", "off"))) if row.head else row.name,
            row.machine,
            _count(row.ready),
            _count(row.starting, "busy"),
            _count(row.leaving, "warn"),
            _count(row.standby),
            f"{row.least} to {'no limit' if row.most is None else row.most}",
            _price(row.usd_per_hour),
        )
        for row in pools
    ]
    columns = ("Pool", "Machine", "Ready", "Starting", "Leaving", "Standby", "Limits", "USD per hour")
    drawn = table(columns, rows, numbers=range(2, 8), caption="Nodes by pool and phase")
    return panel("Pools", drawn, wide=True)


def _count(count: int, mood: str = "") -> str:
    if not count:
        return tag("span", "0", class_="dim")
    return badge(number(count), mood) if mood else number(count)


def _price(span: tuple[float, float] | None) -> str:
    if span is None:
        return tag("span", "not known", class_="dim")
    least, most = span
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"
