"""The default ledger: one SQLite file beside the cluster's other files.

    claims    id, position, JSON                            written by the loop alone, only what changed
    backoffs  position, JSON
    orders    id, at, JSON                                  added by anybody, removed when answered
    meta      serial, revision (grows with every save), spent_usd and spent_at (0: not known),
              launched (JSON: when, how many; no row: none)

Every save is one transaction that has reached the disk when `save` returns (WAL, synchronous=FULL),
so a claim exists before its provider is called, whatever happens to the process or the machine.
SQLite blocks, so all of it runs in one thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from rayfleet.contracts import LedgerUnavailable, Record
from rayfleet.model import Backoff, Claim, Order, Spent
from rayfleet.model.codec import CodecError, from_json, to_json

T = TypeVar("T")

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_WAL_TRIES = 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (id TEXT PRIMARY KEY, position INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS backoffs (position INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('serial', 0), ('revision', 0), ('spent_usd', 0), ('spent_at', 0);
"""
_HINTS = {
    "full": "free some space on its disk; nothing is launched until then",
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "check that its folder exists and is writable for this user",
    "locked": "another program holds it; end that program",
    "not a database": "it is damaged or not ours; move it away, running machines are adopted again",
    "malformed": "it is damaged; move it away, running machines are adopted again",
    "i/o error": "check the disk that it is on",
}


class SqliteLedger:
    """Durable memory of one cluster in the file `path`. Opened on first use."""

    def __init__(self, path: Path | str) -> None:
        """Remember the path; no I/O yet."""
        self._file = _File(Path(path))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rayfleet-ledger")

    async def load(self) -> Record:
        """Return all that is held."""
        return await self._run(self._file.load)

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        """Make claims, back-offs and serial of `record` the held ones; on disk when it returns."""
        await self._run(lambda: self._file.save(record, answered))

    async def add_order(self, order: Order) -> None:
        """Add or replace an order; on disk when it returns."""
        await self._run(lambda: self._file.add_order(order))

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._run(self._file.close)
        self._thread.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _File:
    """The blocking half. Keeps the last record, because only the loop changes claims: reading costs one look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None
        self._record = Record()
        self._positions: dict[str, int] = {}
        self._revision = -1

    def load(self) -> Record:
        with self._errors_named(), self._connection() as db:
            db.execute("BEGIN")  # one view of all tables
            meta = dict(db.execute("SELECT key, value FROM meta"))
            orders = _values(Order, db.execute("SELECT data FROM orders ORDER BY at, rowid"))
            if meta["revision"] != self._revision:
                self._read_all(db, meta)
            db.execute("COMMIT")
        held = self._record
        if orders != held.orders:
            self._record = replace(held, orders=orders)
        return self._record

    def _read_all(self, db: sqlite3.Connection, meta: dict[str, Any]) -> None:
        claims = _values(Claim, db.execute("SELECT data FROM claims ORDER BY position"))
        backoffs = _values(Backoff, db.execute("SELECT data FROM backoffs ORDER BY position"))
        self._positions = dict(db.execute("SELECT id, position FROM claims"))
        spent = Spent(meta["spent_usd"], meta["spent_at"]) if meta["spent_at"] else None
        launched = tuple((float(at), int(count)) for at, count in json.loads(meta.get("launched") or "[]"))
        self._record = Record(claims, backoffs, self._record.orders, meta["serial"], spent, launched)
        self._revision = meta["revision"]

    def save(self, record: Record, answered: tuple[str, ...]) -> None:
        with self._errors_named(), self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            meta = dict(db.execute("SELECT key, value FROM meta"))
            if meta["revision"] != self._revision:  # first save, or another controller was at work in between
                self._read_all(db, meta)
            revision = meta["revision"] + 1
            positions = _write_claims(db, record.claims, self._record.claims, self._positions)
            if record.backoffs != self._record.backoffs:
                db.execute("DELETE FROM backoffs")
                db.executemany("INSERT INTO backoffs VALUES (?, ?)", _rows(record.backoffs))
            db.executemany("DELETE FROM orders WHERE id = ?", [(order,) for order in answered])
            db.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'serial'", (record.serial,))
            if record.spent is not None:
                spent = (record.spent.usd, record.spent.at)
                db.execute("UPDATE meta SET value = ? WHERE key = 'spent_usd'", spent[:1])
                db.execute("UPDATE meta SET value = ? WHERE key = 'spent_at'", spent[1:])
            if record.launched != self._record.launched:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('launched', ?)", (json.dumps(record.launched),))
            db.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (revision,))
            db.execute("COMMIT")
        standing = tuple(order for order in self._record.orders if order.id not in answered)
        serial = max(record.serial, self._record.serial)
        self._record = replace(record, orders=standing, serial=serial, spent=record.spent or self._record.spent)
        self._positions, self._revision = positions, revision

    def add_order(self, order: Order) -> None:
        with self._errors_named(), self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (order.id, order.at, to_json(order)))
            db.execute("COMMIT")

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection; whatever goes wrong inside leaves no transaction behind."""
        if self._open is None:
            self._open = _open(self._path)
        try:
            yield self._open
        except BaseException:
            with suppress(sqlite3.Error):
                self._open.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, CodecError) as error:
            raise LedgerUnavailable(f"ledger {self._path}: {error}{_hint(str(error))}") from error


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        version = _version(db)
        _use_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        if version < SCHEMA_VERSION:
            # IMMEDIATE: a plain BEGIN fails at once, without waiting, when another process makes the tables just now.
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch a new file to WAL. SQLite refuses that at once, without waiting, while another process does the same."""
    for _ in range(_WAL_TRIES):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            db.execute("BEGIN IMMEDIATE")  # this one waits until the other process is done; any other error is raised
            db.execute("ROLLBACK")
        else:
            return
    raise sqlite3.OperationalError("database is locked")


def _version(db: sqlite3.Connection) -> int:
    """Return the schema's version, 0 for a new file; a newer one than ours is refused, not guessed at."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"was written by a newer rayfleet (schema {version}, here {SCHEMA_VERSION})")
    return version


def _write_claims(
    db: sqlite3.Connection, new: tuple[Claim, ...], held: tuple[Claim, ...], positions: dict[str, int]
) -> dict[str, int]:
    """Write what differs between `new` and `held`; return the positions that are held now."""
    before = {claim.id: claim for claim in held}
    after = _placed(new, positions)
    changed = [c for c in new if before.get(c.id) != c or positions.get(c.id) != after[c.id]]
    db.executemany("DELETE FROM claims WHERE id = ?", [(gone,) for gone in before.keys() - after.keys()])
    db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", [(c.id, after[c.id], to_json(c)) for c in changed])
    return after


def _placed(claims: tuple[Claim, ...], held: dict[str, int]) -> dict[str, int]:
    """Number the claims in their order; those that keep their place keep their number, so that few rows change."""
    following = max(held.values(), default=0) + 1
    numbers = [held.get(claim.id, following + n) for n, claim in enumerate(claims)]
    if any(a >= b for a, b in pairwise(numbers)):
        numbers = list(range(len(claims)))
    return {claim.id: number for claim, number in zip(claims, numbers, strict=True)}


def _values(kind: type[T], rows: Iterable[tuple[str]]) -> tuple[T, ...]:
    return tuple(from_json(kind, data) for (data,) in rows)


def _rows(values: Iterable[Any]) -> list[tuple[int, str]]:
    return [(position, to_json(value)) for position, value in enumerate(values)]


def _hint(message: str) -> str:
    """Return what to do about SQLite's message, as the end of a sentence."""
    return next((f" ({hint})" for word, hint in _HINTS.items() if word in message.lower()), "")
