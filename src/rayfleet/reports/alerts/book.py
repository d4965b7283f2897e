"""Since when each condition holds, and what of it is said. Pure.

      not held          held                 for so long                       not held, for so long
    (nothing) ------> PENDING ------------------> FIRING  --- said again, ---.       |
        ^                |  not held               |   ^      no sooner      |       v
        '----------------'                         |   '------ than ---------'     (over)  told, and kept for an hour:
                                                   |          repeat_s             who comes back so soon waits longer
                                                   '-------------------------------> until it may be over again

A condition that comes and goes is said to be over only when it has been away for a minute, twice as long each time that
it comes back within an hour. All together there is a limit to the messages of an hour; what does not fit is
said when there is room. The critical have as much room again, of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.config.alerting import Rule, Threshold, Thresholds
from rayfleet.model.word import Word
from rayfleet.reports.alerts.rules import Condition, Judged, Severity

CLEAR_S: Final = 60.0
CLEAR_MAX_S: Final = 3600.0
REMEMBER_S: Final = 3600.0
MESSAGES_PER_HOUR: Final = 20
HOUR_S: Final = 3600.0


class NoticeKind(Word):
    """What is said of a condition."""

    FIRING = "firing"
    STILL = "still"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be said. `since`: when the condition began; `at`: now. Seconds since the epoch."""

    kind: NoticeKind
    rule: Rule
    key: str
    severity: Severity
    text: str
    advice: str
    since: float
    at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One condition over time.

    `since`: held from then on. `seen`: last held then. `fired_at` None: not for long enough yet. `said_at` None: nobody
    was told. `over_at`: not held any more, since then; None while it holds. `owes`: that it is over has to be told.
    `flaps`: so often has it come back within an hour. `urgent`: those who were told were told that it is critical.
    """

    condition: Condition
    since: float
    seen: float
    fired_at: float | None = None
    said_at: float | None = None
    over_at: float | None = None
    owes: bool = False
    flaps: int = 0
    urgent: bool = False

    @property
    def firing(self) -> bool:
        """Say whether it is one that people are to know of, and lasts."""
        return self.fired_at is not None and self.over_at is None


@dataclass(frozen=True, slots=True)
class Book:
    """All of them by key, and when messages went out within the last hour."""

    entries: tuple[Entry, ...] = ()
    sent: tuple[float, ...] = ()

    @property
    def firing(self) -> tuple[Entry, ...]:
        """Return what fires, the oldest first."""
        return tuple(sorted((entry for entry in self.entries if entry.firing), key=lambda entry: entry.since))


def step(book: Book, judged: Judged, now: float, thresholds: Thresholds, repeat_s: float) -> tuple[Book, list[Notice]]:
    """Return the book after what was judged at `now`, and what is to be said, in one message. `repeat_s` 0: never."""
    known = {entry.condition.key: entry for entry in book.entries}
    held = {condition.key: condition for condition in judged.holds}
    moved = (
        _moved(known.get(key), held.get(key), now, thresholds, unknown=_unknown(known.get(key), judged))
        for key in dict.fromkeys((*known, *held))
    )
    entries = [entry for entry in moved if entry is not None]
    wanted = {entry.condition.key: kind for entry in entries if (kind := _wanted(entry, now, repeat_s)) is not None}
    sent = tuple(at for at in book.sent if 0 <= now - at < HOUR_S)
    room = len(sent) < MESSAGES_PER_HOUR
    if not room and len(sent) < 2 * MESSAGES_PER_HOUR:
        wanted = {e.condition.key: wanted[e.condition.key] for e in entries if e.condition.key in wanted and _urgent(e)}
        room = True
    if not wanted or not room:
        return Book(tuple(entries), sent), []
    notices = [_notice(entry, wanted[entry.condition.key], now) for entry in entries if entry.condition.key in wanted]
    said = tuple(_said(entry, now) if entry.condition.key in wanted else entry for entry in entries)
    return Book(said, (*sent, now)), sorted(notices, key=_order)


def unsaid(book: Book, notices: Iterable[Notice]) -> Book:
    """Return the book when what was just to be said has reached nobody: the next step says it again."""
    lost = {notice.key: notice for notice in notices}

    def again(entry: Entry) -> Entry:
        notice = lost.get(entry.condition.key)
        if notice is None:
            return entry
        over = notice.kind is NoticeKind.OVER  # of which people were told before
        return replace(entry, owes=over, said_at=notice.at if over else None, urgent=False)

    return Book(tuple(again(entry) for entry in book.entries), book.sent[:-1])


def _unknown(entry: Entry | None, judged: Judged) -> bool:
    return entry is not None and entry.condition.rule in judged.unknown


def _moved(
    entry: Entry | None, condition: Condition | None, now: float, thresholds: Thresholds, *, unknown: bool
) -> Entry | None:
    """Return an entry after a look; None: there is nothing to remember."""
    if condition is not None:
        return _held(entry, condition, now, thresholds.get(condition.rule, Threshold()).for_s)
    if entry is None:
        return None
    if unknown:
        return replace(entry, seen=now) if entry.firing else entry
    return _away(entry, now)


def _held(entry: Entry | None, condition: Condition, now: float, for_s: float) -> Entry | None:
    if entry is None:
        entry = Entry(condition, now, now)
    elif entry.over_at is not None and entry.fired_at is not None:  # it was over, and comes back
        entry = replace(entry, since=now, fired_at=None)
    since = entry.since if condition.since is None else condition.since
    if now - since < for_s:  # it was another one of its kind that has lasted for longer
        return _away(entry, now) if entry.firing else replace(entry, condition=condition, since=since, seen=now)
    if entry.firing:
        return replace(entry, condition=condition, since=since, seen=now)
    returns = entry.over_at is not None
    told = entry.said_at if entry.owes else None  # nobody knows that it was over, so it has never been
    return replace(
        entry, condition=condition, since=since, seen=now, fired_at=now, said_at=told, over_at=None, owes=False,
        flaps=entry.flaps + returns,
    )  # fmt: skip


def _away(entry: Entry, now: float) -> Entry | None:
    """Return an entry whose condition does not hold now."""
    if entry.over_at is not None:
        lately = 0 <= now - entry.over_at < REMEMBER_S
        return replace(entry, fired_at=entry.fired_at or entry.over_at) if lately or entry.owes else None
    if entry.fired_at is None:
        return None
    quiet_s = min(CLEAR_S * 2**entry.flaps, CLEAR_MAX_S)
    if now - entry.seen < quiet_s:
        return entry
    told = entry.said_at is not None and not entry.condition.momentary
    return replace(entry, over_at=now, owes=told)


def _wanted(entry: Entry, now: float, repeat_s: float) -> NoticeKind | None:
    if entry.owes:
        return NoticeKind.OVER
    if not entry.firing:
        return None
    if entry.said_at is None or (_urgent(entry) and not entry.urgent):
        return NoticeKind.FIRING
    again = repeat_s > 0 and now - entry.said_at >= repeat_s and not entry.condition.momentary
    return NoticeKind.STILL if again else None


def _said(entry: Entry, now: float) -> Entry:
    if entry.owes:
        return replace(entry, said_at=None, owes=False, urgent=False)
    return replace(entry, said_at=now, urgent=entry.urgent or _urgent(entry))


def _urgent(entry: Entry) -> bool:
    return entry.condition.severity is Severity.CRITICAL


def _notice(entry: Entry, kind: NoticeKind, now: float) -> Notice:
    told = entry.condition
    return Notice(kind, told.rule, told.key, told.severity, told.text, told.advice, entry.since, now)


def _order(notice: Notice) -> tuple[bool, bool, float]:
    return notice.kind is NoticeKind.OVER, notice.severity is not Severity.CRITICAL, notice.since
