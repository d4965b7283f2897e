"""What is looked for among the recorded events, as SQL. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rayfleet.reports.events import Event


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are meant; what is left out does not matter.

    `words`: all of them are in the event's text, subject, pool or code, in any case. `kinds`, `codes`: one of these.
    `subject`: exactly, or one of several. `after`, `before`: row numbers, for those that came later or earlier.
    The newest `limit` are found.
    """

    words: str = ""
    kinds: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    pool: str = ""
    subject: str = ""
    since: float = 0.0
    until: float = math.inf
    after: int = 0
    before: int | None = None
    limit: int = 200


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event and its number in the record, which grows with time."""

    id: int
    event: Event


BareEvent = tuple[int, float, str, str, str, int, str, str, float | None]
"""The number of an `EventRow`, and the fields of its event in their order."""


def sql_of(query: EventQuery) -> tuple[str, tuple[object, ...]]:
    """Return the statement and its values."""
    terms: list[str] = ["at >= ?", "id > ?"]
    values: list[object] = [query.since, query.after]

    def add(term: str, *of: object) -> None:
        terms.append(term)
        values.extend(of)

    if query.until < math.inf:
        add("at <= ?", query.until)
    if query.before is not None:
        add("id < ?", query.before)
    if query.pool:
        add("pool = ?", query.pool)
    if query.subject:
        add("',' || subject || ',' LIKE ? ESCAPE '\\'", f"%,{_literal(query.subject)},%")
    for column, among in (("kind", query.kinds), ("code", query.codes)):
        if among:
            add(f"{column} IN ({', '.join('?' * len(among))})", *among)
    for word in query.words.split():
        add("text || ' ' || subject || ' ' || pool || ' ' || code LIKE ? ESCAPE '\\'", f"%{_literal(word)}%")
    # Only `terms` from above become part of the statement; whatever somebody typed is bound.
    statement = f"SELECT id, {_COLUMNS} FROM events WHERE {' AND '.join(terms)} ORDER BY id DESC LIMIT ?"  # noqa: S608
    return statement, (*values, query.limit)


_COLUMNS = "at, kind, subject, pool, count, code, text, latency_s"


def _literal(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
