"""All clusters of this user, one card each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, Html, joined, tag
from rayfleet.dashboard.pages.frame import Frame, Shown, big_empty, cluster_path
from rayfleet.dashboard.readings.amounts import number, usd
from rayfleet.dashboard.readings.overview import Overview, overview
from rayfleet.dashboard.readings.seen import RUNS, UP, Health, Mood, Newest, health
from rayfleet.dashboard.site import Site
from rayfleet.reports.history import HistoryUnavailable


@dataclass(frozen=True, slots=True)
class Card:
    """One cluster among the others. `overview` None: nothing is known of it."""

    entry: Entry
    health: Health
    overview: Overview | None


async def page(site: Site, request: Request) -> None:
    """Build the page."""
    frame = Frame(site, request, "Clusters", headed=True)
    with frame.main():
        cards = Shown()

    async def look() -> None:
        cards.show(fleet_html(await cards_of(site)))

    await frame.follow(look)


async def cards_of(site: Site) -> list[Card]:
    """Return what is known of each cluster; a record that is slow to read holds up no other's."""
    return await asyncio.gather(*(_card(site, entry) for entry in await site.entries()))


async def _card(site: Site, entry: Entry) -> Card:
    try:
        found = await site.newest(entry)
    except HistoryUnavailable as error:
        return Card(entry, Health(Mood.BAD, f"Its record cannot be read: {error}"), None)
    said = health(entry, found, site.now())
    report = found.report
    if report is None:
        return Card(entry, said, None)
    return Card(entry, said, await site.readings.derived(("card", entry.name), report, lambda: overview(report)))


def fleet_html(cards: Sequence[Card]) -> Html:
    """Return the cards, those that need somebody first; with their sums above them."""
    if not cards:
        return big_empty("No cluster yet", "Clusters that you start on this machine are shown here.", "rayfleet up")
    order = {Mood.BAD: 0, Mood.WARN: 1, Mood.BUSY: 2, Mood.GOOD: 2, Mood.OFF: 3}
    cards = sorted(cards, key=lambda card: (order[card.health.mood], card.entry.name))
    up = sum(card.entry.state == UP for card in cards)
    running = [card.overview for card in cards if card.overview and card.entry.state in RUNS]
    nodes, cost = sum(seen.ready for seen in running), sum(seen.money.per_hour for seen in running)
    said = f"{up} up, {nodes:,} nodes ready" + (f", {usd(cost)} per hour" if cost else "")
    title = tag("div", tag("h1", "Clusters"), tag("span", said, class_="dim"), class_="health")
    return joined((title, tag("div", *(_drawn(card) for card in cards), class_="cards")))


def _drawn(card: Card) -> Html:
    mood, found = card.health.mood.value, card.overview
    name = tag("span", tag("i", class_=f"dot {mood}", aria_hidden="true"), card.entry.name,
               tag("span", card.entry.state, class_="note"), class_="name")  # fmt: skip
    facts, text = NONE, card.health.text
    if found is not None and card.entry.state not in RUNS:
        text = f"It is {card.entry.state}."  # what it had then is on its own pages
    elif found is not None:
        cpu = next((bar for bar in found.bars if bar.title == "CPU"), None)
        told = [
            ("Nodes", number(found.ready) + (f" +{found.starting}" if found.starting else "")),
            ("Waiting", number(found.tasks + found.gangs)),
            ("CPUs in use", f"{number(cpu.used)} of {number(cpu.total)}" if cpu else "0"),
            ("Per hour", usd(found.money.per_hour) if found.money.per_hour else "no price"),
        ]
        facts = tag("dl", *(tag("div", tag("dt", label), tag("dd", value)) for label, value in told))
    return tag("a", name, tag("p", text), facts, class_="panel card", href=cluster_path(card.entry.name))


def said_of(entry: Entry, found: Newest, now: float) -> Html:
    """Return a cluster's state of health as the line at the top of its pages."""
    said = health(entry, found, now)
    dot = tag("i", class_=f"dot {said.mood.value}", aria_hidden="true")
    advice = tag("code", said.advice) if said.advice else None
    text = tag("span", said.text, class_="text", role="status")
    return tag("div", tag("span", dot, text, class_="said"), advice, class_="health")
