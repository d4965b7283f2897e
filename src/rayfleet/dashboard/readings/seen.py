"""What is known of one cluster at a moment: its entry, its newest report, and whether that can be believed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rayfleet.dashboard.clusters import Entry
from rayfleet.model import LEAVING, STARTING, Phase, TickReport
from rayfleet.reports.amounts import duration
from rayfleet.reports.history import Heartbeat, HistoryReader
from rayfleet.reports.status_json import current_claims

SILENT_S: Final = 30.0
"""A controller that has not ticked for so long is stuck or gone."""


UP: Final = "up"
NO_CONTROLLER: Final = "no controller"
RUNS: Final = frozenset({UP, NO_CONTROLLER})
"""States in which a cluster has machines: what its record says of them, and of what they cost, is so."""


_WAKE: Final = {"down": "up", "suspended": "resume"}
"""The command that has a cluster run again."""


class Mood(StrEnum):
    """How urgent something is; pages give each a colour and a word."""

    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest that a history holds; None before the controller's first tick."""

    report: TickReport | None
    beat: Heartbeat | None


def newest(reader: HistoryReader) -> Newest:
    """Read it."""
    return Newest(reader.latest(), reader.heartbeat())


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a cluster in one sentence, and what to do about it ("": nothing)."""

    mood: Mood
    text: str
    advice: str = ""


def health(entry: Entry, found: Newest, now: float) -> Health:
    """Say how a cluster is. `now`: seconds since the epoch."""
    report = found.report
    if entry.history is None:
        return Health(Mood.OFF, entry.where or "Its record is on another computer.")
    if report is None:
        text = "It has recorded nothing yet" + (": its controller is starting." if entry.state == UP else ".")
        return Health(Mood.BUSY if entry.state == UP else Mood.OFF, text)
    if entry.state == NO_CONTROLLER:
        return Health(Mood.BAD, "Its controller is gone: nothing is adjusted any more.", f"rayfleet up {entry.name}")
    if entry.state != UP:
        verb = _WAKE.get(entry.state)
        return Health(
            Mood.OFF, f"It is {entry.state}; this is how it was last.", f"rayfleet {verb} {entry.name}" if verb else ""
        )
    return _of_running(entry, report, found.beat, now)


def _of_running(entry: Entry, report: TickReport, beat: Heartbeat | None, now: float) -> Health:
    silent_s = now - beat.at if beat else now - report.snapshot.now
    if silent_s > SILENT_S:
        return Health(
            Mood.BAD, f"Its controller has been silent for {duration(silent_s)}.", f"rayfleet logs {entry.name}"
        )
    if report.error:
        last = report.error.strip().splitlines()[-1]
        return Health(Mood.BAD, f"The last tick failed: {last}", f"rayfleet logs {entry.name}")
    if not report.snapshot.engine_up:
        return Health(Mood.BAD, "Ray does not answer; machines stay as they are.", f"rayfleet doctor {entry.name}")
    if report.troubles:
        more = f" (and {len(report.troubles) - 1} more)" if len(report.troubles) > 1 else ""
        return Health(Mood.WARN, f"{_sentence(report.troubles[0])}{more}", f"rayfleet logs {entry.name}")
    return _of_work(report)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _of_work(report: TickReport) -> Health:
    claims = current_claims(report)
    starting = sum(claim.count for claim in claims if claim.phase in STARTING)
    leaving = sum(claim.count for claim in claims if claim.phase in LEAVING)
    ready = sum(claim.count for claim in claims if claim.phase is Phase.READY)
    unmet = sum(each.count for each in report.plan.unmet)
    nodes = f"{ready} node{'' if ready == 1 else 's'} ready"
    if unmet:
        what = "piece of work waits" if unmet == 1 else "pieces of work wait"
        return Health(Mood.WARN, f"{unmet:,} {what} and no pool takes {'it' if unmet == 1 else 'them'} now; {nodes}.")
    if starting or leaving:
        parts = [f"{starting} starting" if starting else "", f"{leaving} leaving" if leaving else ""]
        return Health(Mood.BUSY, f"Adjusting: {nodes}, {', '.join(part for part in parts if part)}.")
    demand = report.snapshot.demand
    if demand.tasks or demand.gangs:
        return Health(Mood.BUSY, f"Work waits for nodes that have room or are on their way; {nodes}.")
    return Health(Mood.GOOD, f"All is well: nothing waits, {nodes}.")
