"""What happened and why, in one SQLite file: written by the controller, read by everybody else.

    heartbeat  one row: when the controller last ticked            every tick
    latest     one row: the newest report                          when its decision changed, else once a second
    ticks      reports, compressed; the oldest dropped by size     when the decision changed, else once a minute
    work       what waits and what hosts use, as it changes         as it changes; the oldest dropped by number
    measures   a dozen numbers for charts (`reports.measures`)     as they change, at most every 2 s; likewise
    events     one row per action, joined node, failure, finding   as they happen; the oldest dropped by number

Losing the last moments in a power cut costs nothing here (the ledger is what must be right), so nothing is
forced to the disk; readers in other processes see every write at once.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rayfleet.model import TickReport
from rayfleet.model.codec import from_json, to_json
from rayfleet.reports.event_search import BareEvent, EventQuery, EventRow, sql_of
from rayfleet.reports.events import Event, events_of
from rayfleet.reports.measures import Measure, Measuring, from_text
from rayfleet.reports.work_record import WorkRecord, WorkSeen, read_rows

SCHEMA_VERSION = 1
RECORD_AT_LEAST_EVERY_S = 60.0
LATEST_AT_MOST_EVERY_S = 1.0
DEFAULT_MAX_BYTES = 64 * 2**20
MAX_EVENTS = 100_000
MAX_WORK_ROWS = 100_000
MAX_MEASURES = 100_000
_TRIM_TO = 0.9  # of the limit, so that not every write trims
_TRIM_EVENTS_EVERY = 1_000
_COMPRESSION = 3  # 5: a tenth smaller, twice as slow
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS heartbeat
    (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL, tick INTEGER, tick_s REAL, error TEXT);
CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ticks
    (id INTEGER PRIMARY KEY, at REAL NOT NULL, tick INTEGER NOT NULL, why TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS events
    (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, pool TEXT NOT NULL,
     count INTEGER NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL, latency_s REAL);
CREATE TABLE IF NOT EXISTS work (id INTEGER PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS measures (id INTEGER PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS measures_at ON measures (at);
CREATE INDEX IF NOT EXISTS ticks_at ON ticks (at);
CREATE INDEX IF NOT EXISTS events_at ON events (at);
"""


class History:
    """The sink that is written first. Holds at most `max_bytes` of reports (compressed) and `MAX_EVENTS` events."""

    name = "history"

    def __init__(self, path: Path | str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Remember the path; the file is made by the first write."""
        self._file = _File(Path(path), max_bytes)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rayfleet-history")

    async def write(self, report: TickReport) -> None:
        """Record what is worth it; see the module's table. sqlite3.Error when the file cannot be written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.write, report)

    async def close(self) -> None:
        """Close the file and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=True)


class _File:
    """The blocking half."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._open: sqlite3.Connection | None = None
        self._size = 0
        self._events = _TRIM_EVENTS_EVERY  # since the last trim; who begins does not know how many there are
        self._essence: object = None
        self._recorded_at = float("-inf")
        self._latest_at = float("-inf")
        self._troubles: tuple[str, ...] = ()
        self._work = WorkRecord()
        self._measuring = Measuring()

    def write(self, report: TickReport) -> None:
        db = self._open = self._open or self._opened()
        now, essence = report.snapshot.now, _essence(report)
        why = "change" if essence != self._essence else ""
        if not why and not 0 <= now - self._recorded_at < RECORD_AT_LEAST_EVERY_S:  # below 0: the clock was set back
            why = "minute"
        fresh = bool(why) or not 0 <= now - self._latest_at < LATEST_AT_MOST_EVERY_S
        data = zlib.compress(to_json(report).encode(), _COMPRESSION) if fresh else b""
        events = events_of(report, self._troubles)
        work = self._work.row(report)
        measured = self._measuring.row(report)
        with db:
            self._beat(db, report)
            if fresh:
                db.execute("INSERT OR REPLACE INTO latest VALUES (1, ?)", (data,))
            if why:
                db.execute(_INSERT_TICK, (now, report.tick, why, data))
            if work is not None:
                db.execute("INSERT INTO work (at, data) VALUES (?, ?)", (now, work))
            if measured is not None:
                db.execute("INSERT INTO measures (at, data) VALUES (?, ?)", measured)
            db.executemany(_INSERT_EVENT, [astuple(event) for event in events])
        # Only now, when it is written: what failed is tried again with the next report.
        self._latest_at = now if fresh else self._latest_at
        if why:
            self._recorded_at, self._essence, self._size = now, essence, self._size + len(data)
        self._troubles = report.troubles
        self._events += len(events) + (work is not None) + (measured is not None)
        self._trim(db)

    def _beat(self, db: sqlite3.Connection, report: TickReport) -> None:
        t = report.timings
        row = (report.snapshot.now, report.tick, t.observe_s + t.plan_s + t.act_s, report.error)
        db.execute("INSERT OR REPLACE INTO heartbeat VALUES (1, ?, ?, ?, ?)", row)

    def _trim(self, db: sqlite3.Connection) -> None:
        """Drop the oldest reports beyond the size, and now and then the oldest events beyond the number."""
        if self._size > self._max_bytes:
            with db:
                keep = db.execute(_OLDEST_KEPT, (int(self._max_bytes * _TRIM_TO),)).fetchone()[0]
                db.execute("DELETE FROM ticks WHERE id < ?", (keep,))
            self._size = _total_bytes(db)
        if self._events >= _TRIM_EVENTS_EVERY:
            with db:
                db.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (MAX_EVENTS,))
                db.execute("DELETE FROM work WHERE id <= (SELECT max(id) FROM work) - ?", (MAX_WORK_ROWS,))
                db.execute("DELETE FROM measures WHERE id <= (SELECT max(id) FROM measures) - ?", (MAX_MEASURES,))
            self._events = 0

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] not in {0, SCHEMA_VERSION}:
                raise sqlite3.DatabaseError(f"{self._path} was written by another release; move it away")  # noqa: TRY301
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # reaches the disk at checkpoints only
            db.executescript(f"{_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};")
            self._size = _total_bytes(db)
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


_INSERT_TICK = "INSERT INTO ticks (at, tick, why, data) VALUES (?, ?, ?, ?)"
_INSERT_EVENT = (
    "INSERT INTO events (at, kind, subject, pool, count, code, text, latency_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_OLDEST_KEPT = """
SELECT coalesce(min(id), (SELECT max(id) FROM ticks))
FROM (SELECT id, sum(length(data)) OVER (ORDER BY id DESC) AS held FROM ticks) WHERE held <= ?
"""


def _total_bytes(db: sqlite3.Connection) -> int:
    size: int = db.execute("SELECT coalesce(sum(length(data)), 0) FROM ticks").fetchone()[0]
    return size


def _essence(report: TickReport) -> object:
    """Return the decision without the numbers that always run on (ages, idle times): a change is worth a record."""
    plan = report.plan
    return (
        tuple((launch.batch, launch.count) for launch in plan.launches),
        tuple((drain.claim, drain.reason.code) for drain in plan.drains),
        tuple((release.claim, release.how, release.reason.code) for release in plan.releases),
        tuple((unmet.kind, unmet.index, unmet.count, unmet.reason.code) for unmet in plan.unmet),
        tuple((claim.id, claim.phase) for claim in plan.claims),
        tuple((backoff.scope, backoff.failures) for backoff in plan.backoffs),
        tuple((finding.subject, finding.reason.code) for finding in plan.findings),
        tuple(order.id for order in plan.orders),
        (report.snapshot.engine_up, report.snapshot.policy, report.troubles, report.error, report.saved),
    )


# ---- reading --------------------------------------------------------------------------------------


class HistoryUnavailable(Exception):
    """The history cannot be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The controller's last tick: when (seconds since the epoch), its number, how long it took, its error or ""."""

    at: float
    tick: int
    tick_s: float
    error: str


@dataclass(frozen=True, slots=True)
class TickRow:
    """One recorded report. `id` is its name here; `why` it was recorded: change or minute."""

    id: int
    at: float
    tick: int
    why: str


class HistoryReader:
    """Reads a history while its controller writes it. A file that is not there yet reads as empty.

    Every method raises HistoryUnavailable when the file is damaged or may not be read.
    """

    def __init__(self, path: Path | str) -> None:
        """Remember the path; each call opens the file for itself, so a reader may be kept for any time."""
        self._path = Path(path)

    def heartbeat(self) -> Heartbeat | None:
        """Return the last tick's, None before the first."""
        rows = self._rows("SELECT at, tick, tick_s, error FROM heartbeat")
        return Heartbeat(*rows[0]) if rows else None

    def latest(self) -> TickReport | None:
        """Return the newest report, None before the first."""
        return self._report("SELECT data FROM latest", ())

    def ticks(self, since: float = 0.0, limit: int = 1_000) -> tuple[TickRow, ...]:
        """Return the recorded ticks since then, oldest first; of more than `limit` the newest."""
        rows = self._rows("SELECT id, at, tick, why FROM ticks WHERE at >= ? ORDER BY id DESC LIMIT ?", (since, limit))
        return tuple(TickRow(*row) for row in reversed(rows))

    def tick_before(self, at: float) -> TickRow | None:
        """Return the newest recorded tick of a moment or before it; None when there is none."""
        rows = self._rows("SELECT id, at, tick, why FROM ticks WHERE at <= ? ORDER BY at DESC, id DESC LIMIT 1", (at,))
        return TickRow(*rows[0]) if rows else None

    def report(self, row: int) -> TickReport | None:
        """Return the report of a `TickRow.id`; None when it is not held (any more)."""
        return self._report("SELECT data FROM ticks WHERE id = ?", (row,))

    def work(self, since: float = 0.0) -> Iterator[WorkSeen]:
        """Yield what waited and what hosts used since then, as it changed, the oldest first."""
        rows = self._rows("SELECT at, data FROM work ORDER BY id")
        try:
            yield from (seen for seen in read_rows(rows) if seen.at >= since)
        except (ValueError, KeyError) as error:
            raise HistoryUnavailable(f"{self._path}: written by another release? {error}") from error

    def events(
        self, since: float = 0.0, limit: int = 1_000, about: str = "", until: float = math.inf
    ) -> tuple[Event, ...]:
        """Return events since then, oldest first; of more than `limit` the newest. `about`: a pool or claim."""
        values = {"since": since, "until": until, "limit": limit, "about": about, "among": f"%,{about},%"}
        rows = self._rows(_EVENTS, values)
        return tuple(Event(*row) for row in reversed(rows))

    def search(self, query: EventQuery) -> tuple[EventRow, ...]:
        """Return the newest events that a query means, oldest first."""
        return tuple(EventRow(row[0], Event(*row[1:])) for row in self.bare(query))

    def bare(self, query: EventQuery) -> list[BareEvent]:
        """Return the same without a value made of each, which for tens of thousands takes most of the time."""
        rows = self._rows(*sql_of(query))
        rows.reverse()
        return rows

    def measures(self, since: float = 0.0, most: int = 1_000) -> tuple[Measure, ...]:
        """Return the cluster's numbers since then, oldest first; of more than `most` some, the last among them."""
        found = self._rows("SELECT count(*), max(id) FROM measures WHERE at >= ?", (since,))
        count, last = found[0] if found else (0, None)
        step = max(1, -(-count // most))
        rows = self._rows(_MEASURES, (since, step, last, step))
        try:
            return tuple(from_text(at, text) for at, text in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryUnavailable(f"{self._path}: written by another release? {error}") from error

    def demand_to_launch_s(self, since: float = 0.0) -> tuple[float, ...]:
        """Return, for each launch that demand asked for, the seconds from the engine's answer to the provider call."""
        return tuple(seconds for (seconds,) in self._rows(_LATENCIES, (since,)))

    def _report(self, query: str, values: tuple[object, ...]) -> TickReport | None:
        rows = self._rows(query, values)
        try:
            return from_json(TickReport, zlib.decompress(rows[0][0])) if rows else None
        except (ValueError, zlib.error) as error:
            raise HistoryUnavailable(f"{self._path}: written by another release? {error}") from error

    def _rows(self, query: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        if not self._path.exists():
            return []
        try:
            db = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
            try:
                return db.execute(query, values).fetchall()
            finally:
                db.close()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # the controller has made the file and not yet its tables
                return []
            raise HistoryUnavailable(f"{self._path}: {error}; move it away when it is damaged") from error


_EVENTS = """
SELECT at, kind, subject, pool, count, code, text, latency_s FROM events
WHERE at >= :since AND at <= :until
  AND (:about = '' OR subject = :about OR pool = :about OR ',' || subject || ',' LIKE :among)
ORDER BY id DESC LIMIT :limit
"""
_MEASURES = "SELECT at, data FROM measures WHERE at >= ? AND (id % ? = ? % ?) ORDER BY id"
_LATENCIES = """
SELECT latency_s FROM events
WHERE kind = 'launch' AND code IN ('tasks', 'gang', 'requested') AND latency_s IS NOT NULL AND at >= ? ORDER BY id
"""
