"""What `rayfleet why` is asked, and of which moment: the cluster as it is, a recorded tick of it, or a file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from rayfleet.config import ConfigInvalid, load_report, load_scenario
from rayfleet.launcher import view
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.prices import PriceRow, price_rows
from rayfleet.launcher.spec import stored
from rayfleet.model import LabelSelector, TickReport
from rayfleet.planner import plan
from rayfleet.planner.whynot import Question, why_not
from rayfleet.reports.events import Event
from rayfleet.reports.history import HistoryReader
from rayfleet.reports.why import NothingLike, parse_shape, why, why_shape
from rayfleet.reports.why_launch import answer_json

_AGO_S: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_LATELY: Final = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of one `rayfleet why`: a subject, or a shape, perhaps with a pool. `count` None: what waits."""

    subject: str = ""
    shape: str = ""
    pool: str = ""
    count: int | None = None
    selectors: Sequence[str] = ()

    @property
    def question(self) -> Question | None:
        """Return the shape that is asked about, as the planner is asked; None when it is about something else.

        Raises:
            LauncherError: it is no shape, or a selector is none.
        """
        text = self.shape or ("" if self.pool else self.subject)
        shape = parse_shape(text) if text else None
        if shape is None:
            if self.shape:
                raise LauncherError(f"--shape {self.shape!r} is no shape", "for example --shape CPU=4,memory=8e9")
            if self.count is not None or self.selectors:
                raise LauncherError("--count and --selector are about a shape", "add --shape CPU=1")
            return None
        return Question(shape, self.count, _selectors(self.selectors))


def _selectors(words: Sequence[str]) -> tuple[LabelSelector, ...]:
    pairs = [word.partition("=") for word in words]
    wrong = next((word for word, (key, equals, _) in zip(words, pairs, strict=True) if not (key and equals)), None)
    if wrong is not None:
        raise LauncherError(f"--selector {wrong!r} is not LABEL=VALUE", "for example --selector tier=batch")
    try:
        return (LabelSelector.parse({key: value for key, _, value in pairs}),) if pairs else ()
    except ValueError as error:
        raise LauncherError(str(error), "for example --selector 'tier=in(batch,web)'") from None


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: of which tick, in lines for people, what `--json` adds, and whose prices it was made with."""

    report: TickReport
    lines: list[str]
    launch: dict[str, Any] | None = None
    prices: tuple[PriceRow, ...] = ()

    def as_json(self, asked: Asked) -> dict[str, Any]:
        """Return it for programs."""
        told = {"subject": asked.subject, "tick": self.report.tick, "at": self.report.snapshot.now, "lines": self.lines}
        told |= {"prices": [row.as_json() for row in self.prices]} if self.prices else {}
        return told if self.launch is None else {**told, "pool": asked.pool, "launch": self.launch}


def answer(report: TickReport, asked: Asked, events: Sequence[Event] = ()) -> Told:
    """Answer from one report.

    Raises:
        LauncherError: nothing goes by that name; the hint has those near it.
    """
    question = asked.question
    try:
        if question is None:
            return Told(report, why(report, asked.pool or asked.subject, events))
        lines = why_shape(report, question, asked.pool)
    except NothingLike as error:
        raise LauncherError(str(error), error.hint) from None
    found = answer_json(why_not(report.snapshot, report.plan, question))
    found["offers"] = [offer for offer in found["offers"] if asked.pool in {"", offer["pool"]}]
    return Told(report, lines, found)


def from_record(home: Home, asked: Asked, tick: str = "", at: str = "") -> Told:
    """Answer from what a cluster's controller has recorded: its newest report, a tick by its number, or a moment.

    Raises:
        LauncherError: that tick is not held, `at` is no moment, or nothing goes by that name.
    """
    reader = HistoryReader(home.history)
    if not (tick or at):
        report = view.latest(home)
    elif at:
        report = _report_at(reader, moment(at, time.time()))
    else:
        report = view.recorded_report(home, tick)
    lately = reader.events(limit=_LATELY, about=asked.pool or asked.subject, until=report.snapshot.now)
    told = answer(report, asked, lately)
    prices = () if tick or at else _prices(home, asked)
    return replace(told, prices=prices, lines=[*told.lines, *_price_lines(prices)])


def _prices(home: Home, asked: Asked) -> tuple[PriceRow, ...]:
    """Return who says what the offers cost that are asked about: of a pool, or with a shape of all of them.

    The record has prices without their source; it is that of now.
    """
    try:
        rows = price_rows(stored(home))
    except (ConfigInvalid, LauncherError):
        return ()  # the answer does not hang on it
    pool = asked.pool or ("" if asked.question else asked.subject)
    meant = [row for row in rows if not row.head and (row.pool == pool or (asked.question and not pool))]
    return tuple(row for row in meant if row.as_of)


def _price_lines(rows: Sequence[PriceRow]) -> list[str]:
    """Return a line for each pool and market: its zones have one price."""
    said = {(row.pool, str(row.offer.market)): f"{row.source}, {row.as_of}" for row in rows}
    return [f"  price of {pool} {market}: {source}" for (pool, market), source in said.items()]


def _report_at(reader: HistoryReader, at: float) -> TickReport:
    """Return the newest report of before a moment."""
    row = reader.tick_before(at)
    report = reader.report(row.id) if row else None
    if report is None:
        first = next(iter(reader.ticks(limit=view.MANY)), None)
        hint = f"the record begins at {_clock(first.at)}" if first else "nothing is recorded"
        raise LauncherError(f"there is no record of {_clock(at)} or before", hint)
    return report


def from_file(text: str, file: str, asked: Asked) -> Told:
    """Answer from a recorded tick (`rayfleet history --tick`), or from a scenario, which is planned for that.

    Raises:
        ConfigInvalid: it is neither.
        LauncherError: nothing goes by that name.
    """
    if _is_report(text):
        return answer(load_report(text, file), asked)
    snapshot = load_scenario(text, file)
    return answer(TickReport(0, file, snapshot, plan(snapshot)), asked)


def _is_report(text: str) -> bool:
    """Say whether a file is a recorded tick rather than a scenario: those are written as JSON, with a snapshot."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and "snapshot" in value


def moment(text: str, now: float, option: str = "--at") -> float:
    """Read a moment: `18:30`, `2026-11-22 18:30:05`, or `10m` ago; in seconds since the epoch, local time.

    `option`: whose value it is.

    Raises:
        LauncherError: it is none of these.
    """
    ago = re.fullmatch(r"-?(\d+(?:\.\d+)?)\s*(s|m|min|h|d)(?: ago)?", text.strip())
    if ago:
        return now - float(ago[1]) * _AGO_S[ago[2]]
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text.strip())
    try:
        if not clock:
            return datetime.fromisoformat(text.strip()).timestamp()
        hour, minute, second = (int(part or 0) for part in clock.groups())
        today = datetime.fromtimestamp(now).astimezone()
        then = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
    except ValueError:
        hint = f"for example {option} 18:30, {option} '2026-11-22 18:30:05' or {option} 10m (ago)"
        raise LauncherError(f"{option} {text!r} is no moment", hint) from None
    return (then if then.timestamp() <= now else then - timedelta(days=1)).timestamp()


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
