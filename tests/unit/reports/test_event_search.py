"""Events are found by words, kinds, pools, subjects and time."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import pytest

from rayfleet.reports.event_search import EventQuery
from rayfleet.reports.events import Event
from rayfleet.reports.history import _INSERT_EVENT, _SCHEMA, HistoryReader

EVENTS = (
    Event(1.0, "launch", "gpu8", "gpu8", 2, "tasks", "launch 2 gpu8: 8 tasks wait"),
    Event(2.0, "failed", "m1,m2", "gpu8", 2, "OutOfStock", "launch of m1,m2 failed: OutOfStock: 100% full"),
    Event(3.0, "launch", "cpu4", "cpu4", 1, "tasks", "launch 1 cpu4: 1 task waits"),
    Event(4.0, "ready", "m3", "cpu4", 1, "ready", "m3 (cpu4) joined", 12.0),
    Event(5.0, "drain", "m3", "cpu4", 1, "idle", "drain m3: idle_for 60 s"),
    Event(6.0, "gone", "m33", "cpu4", 1, "idle", "m33 is gone"),
)


@pytest.fixture
def reader(tmp_path: Path) -> HistoryReader:
    path = tmp_path / "history.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(_SCHEMA)
        db.executemany(_INSERT_EVENT, [astuple(event) for event in EVENTS])
    db.close()
    return HistoryReader(path)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (EventQuery(), [1, 2, 3, 4, 5, 6]),
        (EventQuery(limit=2), [5, 6]),
        (EventQuery(before=5, limit=2), [3, 4]),
        (EventQuery(after=4), [5, 6]),
        (EventQuery(since=2.0, until=4.0), [2, 3, 4]),
        (EventQuery(kinds=("launch", "gone")), [1, 3, 6]),
        (EventQuery(codes=("idle",)), [5, 6]),
        (EventQuery(pool="gpu8"), [1, 2]),
        (EventQuery(subject="m3"), [4, 5]),
        (EventQuery(subject="m2"), [2]),
        (EventQuery(words="LAUNCH gpu8"), [1, 2]),
        (EventQuery(words="outofstock"), [2]),
        (EventQuery(words="100%"), [2]),
        (EventQuery(words="%"), [2]),
        (EventQuery(words="_"), [5]),
        (EventQuery(words="'; DROP TABLE events; --"), []),
        (EventQuery(words="launch", kinds=("launch",), pool="cpu4"), [3]),
    ],
)
def test_a_query_finds_what_it_means(reader: HistoryReader, query: EventQuery, ids: Sequence[int]) -> None:
    assert [row.id for row in reader.search(query)] == ids


def test_a_row_is_the_event(reader: HistoryReader) -> None:
    (row,) = reader.search(EventQuery(after=3, limit=1, before=5))
    assert row.event == EVENTS[3]


def test_no_record_is_nothing_found(tmp_path: Path) -> None:
    assert HistoryReader(tmp_path / "none").search(EventQuery()) == ()
