"""What the autoscaler decides, on what, and what it would decide if a limit were another."""

from __future__ import annotations

import asyncio

from nicegui import ui
from starlette.requests import Request

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, Html, badge, empty, joined, panel, table, tag
from rayfleet.dashboard.pages.feed import Feed
from rayfleet.dashboard.pages.fleet import said_of
from rayfleet.dashboard.pages.frame import Frame, Shown
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.readings.amounts import ago, number, usd
from rayfleet.dashboard.readings.autoscaler import Autoscaler, LimitHit, OfferRow, OrderRow, Step, autoscaler
from rayfleet.dashboard.readings.feed import DECISIONS
from rayfleet.dashboard.readings.overview import Wait, waits
from rayfleet.dashboard.readings.what_if import Side, WhatIf, settings, what_if
from rayfleet.dashboard.site import Site
from rayfleet.model import TickReport
from rayfleet.reports.amounts import duration

_MOST_STEPS = 12
_DECISIONS = 25
_MOST_SHAPES = 30


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Autoscaler of {entry.name}", entry=entry, page="autoscaler")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        top, decided = Shown(), Shown()
        with ui.element("div").classes("grid").style("margin-top: 12px"):
            reasons = _Reasons()
            supposed = _WhatIf(site, entry)
            with ui.element("section").classes("panel wide"):
                Shown("div").show(tag("h2", "Decisions", tag("span", "every action with its reason", class_="note")))
                feed = Feed(site, entry, DECISIONS, rows=_DECISIONS)

    async def look() -> None:
        current = await site.entry(entry.name) or entry
        found = await site.newest(current)
        top.show(said_of(current, found, site.now()))
        report = found.report
        if report is None:
            decided.show(nothing_html(current))
            return
        seen, waiting = await site.readings.derived(
            ("autoscaler", entry.name), report, lambda: (autoscaler(report), waits(report))
        )
        decided.show(decided_html(seen, site.now()))
        reasons.show(waiting)
        supposed.offer(report)
        await feed.look()

    await frame.follow(look)


class _Reasons:
    """Why each shape waits: one part for each, that stays open or shut while what it says changes."""

    def __init__(self) -> None:
        with ui.element("section").classes("panel"):
            Shown("div").show(tag("h2", "Why is this waiting?", tag("span", "every pool's answer", class_="note")))
            self._none = Shown()
            self._place = ui.element("div")
        self._parts: dict[str, tuple[ui.expansion, Shown]] = {}

    def show(self, waiting: tuple[Wait, ...]) -> None:
        shown = {wait.what: wait for wait in waiting[:_MOST_SHAPES]}
        self._none.show(NONE if shown else empty("Nothing waits."))
        for what in [what for what in self._parts if what not in shown]:
            self._parts.pop(what)[0].delete()
        for what, wait in shown.items():
            if what not in self._parts:
                with self._place, ui.expansion().classes("w-full").props("dense dense-toggle") as part:
                    self._parts[what] = (part, Shown())
            part, inside = self._parts[what]
            part.set_text(f"{wait.count:,} x {what}")
            part.props["caption"] = _short(wait)
            inside.show(reasons_html(wait))


def _short(wait: Wait) -> str:
    return f"{wait.unmet:,} without a place: {wait.why}" if wait.unmet else "has a place"


class _WhatIf:
    """A limit to change, and the plan that would follow; nothing is touched."""

    def __init__(self, site: Site, entry: Entry) -> None:
        self._site, self._entry = site, entry
        self._report: TickReport | None = None
        with ui.element("section").classes("panel"):
            Shown("div").show(tag("h2", "What if?", tag("span", "plans again, touches nothing", class_="note")))
            with ui.element("form").classes("tools") as form:
                self._key = ui.select([], with_input=True, label="Limit").classes("grow")
                self._key.props('dense options-dense outlined aria-label="Limit to change"')
                self._value = ui.input("Value", placeholder="number or null").props("dense outlined")
                self._value.style("width: 130px")
                ui.button("Plan").props("dense outline no-caps type=submit").style("padding: 4px 14px")
            form.on("submit.prevent", self._ask)
            self._answer = Shown()

    def offer(self, report: TickReport) -> None:
        """Take the newest snapshot, and offer what can be changed in it."""
        self._report = report
        keys = list(settings(report.snapshot))
        if self._key.options != keys:
            self._key.set_options(keys)

    async def _ask(self) -> None:
        report, key, value = self._report, self._key.value, self._value.value or ""
        if report is None or not key or not value.strip():
            self._answer.show(empty("Choose a limit and give it a value, for example max_workers and 20."))
            return
        self._answer.show(empty("Planning ..."))
        self._answer.show(what_if_html(await asyncio.to_thread(what_if, report.snapshot, str(key), value)))


# ---- markup ---------------------------------------------------------------------------------------------------------


def decided_html(seen: Autoscaler, now: float) -> Html:
    """Return plan, limits, offers and orders."""
    orders = orders_html(seen.orders, now) if seen.orders else None
    left = tag("div", plan_html(seen), class_="stack")
    right = tag("div", limits_html(seen.limits), orders, _findings(seen) if seen.findings else None, class_="stack")
    return tag("div", left, right, offers_html(seen.offers), class_="grid")


def plan_html(seen: Autoscaler) -> Html:
    """Return the current plan: what it does, and why the rest stays."""
    did = _steps(seen.steps) if seen.steps else empty("Nothing to do: what is there is what is needed.")
    stays = ", ".join(f"{count:,} {text}" for text, count in seen.stays)
    kept = tag("p", f"Nodes that stay: {stays}.", class_="dim", style="margin: 10px 0 0") if stays else None
    return panel("Current plan", did, kept, note=f"tick {seen.tick:,}, took {seen.tick_s * 1000:.0f} ms")


def _steps(steps: tuple[Step, ...]) -> Html:
    rows = [(badge(step.verb, _VERBS.get(step.verb, "warn")), step.what, step.why) for step in steps[:_MOST_STEPS]]
    more = tag("p", f"and {len(steps) - _MOST_STEPS} more", class_="dim") if len(steps) > _MOST_STEPS else NONE
    return joined((table(("", "What", "Why"), rows, caption="Actions of the current plan"), more))


_VERBS = {"launch": "busy", "start": "busy", "prepare": "busy"}


def limits_html(limits: tuple[LimitHit, ...]) -> Html:
    """Return the limits that hold something back."""
    if not limits:
        return panel("Limits hit", empty("No limit holds anything back."))
    rows = [(hit.whose, hit.text, number(hit.times)) for hit in limits]
    drawn = table(("Whose", "Limit", "Times"), rows, numbers=[2], caption="Limits that hold something back")
    return panel("Limits hit", drawn, note="by what waits, launches or stays")


def offers_html(offers: tuple[OfferRow, ...]) -> Html:
    """Return pools and offers with prices and back-offs."""
    if not offers:
        return panel("Offers", empty("This cluster has no pools."), wide=True)
    rows = [
        (
            row.pool,
            row.place,
            row.market,
            "not known" if row.usd_per_hour is None else f"{row.usd_per_hour:g}",
            number(row.machines),
            _backoff(row),
        )
        for row in offers
    ]
    columns = ("Pool", "Place", "Market", "USD per hour", "Machines", "Asked for?")
    return panel("Offers", table(columns, rows, numbers=[3, 4], caption="Offers, prices and back-offs"), wide=True)


def _backoff(row: OfferRow) -> Html:
    if not row.left_s:
        return tag("span", "yes", class_="dim")
    times = f", {row.failures} times in a row" if row.failures > 1 else ""
    said = tag("span", f" after {row.after}{times}", class_="dim")
    return joined((badge(f"not for {duration(row.left_s)}", "warn"), said))


def orders_html(orders: tuple[OrderRow, ...], now: float) -> Html:
    """Return what people have ordered and still stands."""
    rows = [(order.what, order.by or "somebody", order.why, ago(now - order.at)) for order in orders]
    return panel("Orders that stand", table(("Order", "By", "Why", "Since"), rows, caption="Orders that stand"))


def _findings(seen: Autoscaler) -> Html:
    return panel("Findings", tag("ul", *(tag("li", text) for text in seen.findings), class_="plain"))


def reasons_html(wait: Wait) -> Html:
    """Return every pool's answer to a shape."""
    if not wait.unmet:
        return tag("p", "It has a place on nodes that are there or on their way.", class_="dim")
    if not wait.pools:
        return tag("p", wait.why, class_="dim")
    return table(("Pool", "Why not"), wait.pools, caption=f"Why no pool takes {wait.what}")


def what_if_html(answer: WhatIf) -> Html:
    """Return the plan as it is beside the plan as it would be."""
    if answer.refused:
        return tag("p", f"{answer.key} = {answer.value} cannot be: {answer.refused}", role="alert", class_="down")
    before, after = answer.before, answer.after
    figures = (
        ("Machines launched", before.launched, after.launched, number),
        ("Machines that leave", before.leaving, after.leaving, number),
        ("Work without a place", before.unmet, after.unmet, number),
        ("USD per hour afterwards", before.usd_per_hour, after.usd_per_hour, usd),
    )
    rows = [(name, say(was), _changed(say(was), say(would))) for name, was, would, say in figures]
    drawn = table(("", "As it is", f"{answer.key} = {answer.value}"), rows, numbers=[1, 2], caption="Both plans")
    return joined((drawn, _new_steps(before, after)))


def _changed(was: str, would: str) -> Html:
    return tag("b", would) if was != would else tag("span", would, class_="dim")


def _new_steps(before: Side, after: Side) -> Html:
    fresh = tuple(step for step in after.steps if step not in before.steps)
    if not fresh:
        return tag("p", "The plan would do nothing else than now.", class_="dim")
    return joined((tag("h3", "It would"), _steps(fresh)))
