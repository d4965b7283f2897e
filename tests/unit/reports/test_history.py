"""The history: what is worth a record, what is read back, and that it never outgrows its size."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.unit.reports.examples import NOW, QUIET, REPORT

from rayfleet.model import Launch, OfferKey, Plan, ReasonCode, Snapshot, TickReport, reason
from rayfleet.reports.events import events_of
from rayfleet.reports.history import MAX_EVENTS, Heartbeat, History, HistoryReader, HistoryUnavailable
from rayfleet.reports.log import Log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[History]:
    made = History(path)
    yield made
    await made.close()


def later(report: TickReport, seconds: float) -> TickReport:
    """Return the same decision some time later: every idle counter and age has moved on."""
    snapshot = report.snapshot
    claims = tuple(
        replace(claim, hosts=tuple(replace(host, idle_s=host.idle_s + seconds) for host in claim.hosts))
        for claim in snapshot.claims
    )
    plan = replace(report.plan, claims=tuple(claims))
    return replace(
        report, tick=report.tick + 1, snapshot=replace(snapshot, now=NOW + seconds, claims=claims), plan=plan
    )


STEADY = replace(REPORT, plan=Plan(claims=REPORT.snapshot.claims), snapshot=replace(REPORT.snapshot, outcomes=()))


# ---- what is recorded -------------------------------------------------------------------------------


async def test_a_report_comes_back_exactly(history: History, path: Path) -> None:
    await history.write(REPORT)
    reader = HistoryReader(path)
    assert reader.latest() == REPORT
    assert reader.heartbeat() == Heartbeat(NOW, 17, 0.009000000000000001, "")
    (row,) = reader.ticks()
    assert (row.at, row.tick, row.why) == (NOW, 17, "change")
    assert reader.report(row.id) == REPORT
    assert reader.report(row.id + 1) is None


async def test_only_a_changed_decision_or_a_minute_is_recorded(history: History, path: Path) -> None:
    for seconds in (0.0, 5.0, 59.9, 60.0, 65.0):
        await history.write(later(STEADY, seconds))
    launch = Launch(OfferKey("cpu4"), ("c9",), "b9", 1, reason(ReasonCode.TASKS, tasks=1))
    await history.write(replace(later(STEADY, 66.0), plan=replace(STEADY.plan, launches=(launch,))))
    recorded = [(row.at - NOW, row.why) for row in HistoryReader(path).ticks()]
    assert recorded == [(0.0, "change"), (60.0, "minute"), (66.0, "change")]


async def test_the_newest_state_is_at_most_a_second_old_and_the_heartbeat_is_of_every_tick(
    history: History, path: Path
) -> None:
    for seconds in (0.0, 0.4, 0.8):
        await history.write(later(STEADY, seconds))
    reader = HistoryReader(path)
    latest, beat = reader.latest(), reader.heartbeat()
    assert latest is not None
    assert beat is not None
    assert latest.snapshot.now == NOW
    assert beat.at == NOW + 0.8
    await history.write(later(STEADY, 1.0))
    assert reader.latest() == later(STEADY, 1.0)


async def test_a_clock_that_is_set_back_hides_nothing(history: History, path: Path) -> None:
    await history.write(STEADY)
    await history.write(later(STEADY, -3600.0))
    reader = HistoryReader(path)
    assert reader.latest() == later(STEADY, -3600.0)
    assert [row.at - NOW for row in reader.ticks()] == [0.0, -3600.0]


async def test_a_failed_tick_is_recorded_with_its_error(history: History, path: Path) -> None:
    await history.write(replace(STEADY, error="Traceback ...\nKeyError: 'x'\n"))
    reader = HistoryReader(path)
    latest = reader.latest()
    assert latest is not None
    assert latest.error.endswith("KeyError: 'x'\n")
    assert [(event.kind, event.code, event.text) for event in reader.events()][-1] == (
        "error", "KeyError", "the tick failed: KeyError: 'x'",
    )  # fmt: skip


async def test_a_restart_goes_on(path: Path) -> None:
    for _ in range(2):
        history = History(path)
        await history.write(STEADY)
        await history.close()
    assert len(HistoryReader(path).ticks()) == 2


async def test_old_reports_make_room(path: Path) -> None:
    history = History(path, max_bytes=30_000)
    for number in range(100):
        text = "".join(chr(33 + (number * 31 + n * n) % 90) for n in range(1000))  # does not compress well
        await history.write(replace(later(STEADY, float(number)), troubles=(text,)))
    await history.close()
    rows = HistoryReader(path).ticks()
    assert 5 < len(rows) < 60
    assert rows[-1].at == NOW + 99
    size = sqlite3.connect(path)
    assert size.execute("SELECT sum(length(data)) FROM ticks").fetchone()[0] <= 30_000
    size.close()


async def test_old_events_make_room_also_when_controllers_live_for_a_short_time(history: History, path: Path) -> None:
    await history.write(REPORT)
    with sqlite3.connect(path) as db:
        rows = [(MAX_EVENTS + n, NOW, "gone", f"old-{n}", "", 1, "", "", None) for n in range(5)]
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.close()
    again = History(path)
    await again.write(later(STEADY, 1.0))
    await again.close()
    with sqlite3.connect(path) as db:
        newest, oldest = db.execute("SELECT max(id), min(id) FROM events").fetchone()
    db.close()
    assert newest >= MAX_EVENTS + 4
    assert oldest == newest - MAX_EVENTS + 1


# ---- events -----------------------------------------------------------------------------------------


async def test_every_action_is_an_event_with_its_reason(history: History, path: Path) -> None:
    await history.write(REPORT)
    told = [(event.kind, event.subject, event.code) for event in HistoryReader(path).events()]
    assert told == [
        ("failed", "c7,c8", "OutOfStock"),
        ("gone", "c4", ""),
        ("ready", "c5", "ready"),
        ("finding", "c9", "adopted"),
        ("launch", "cpu4", "tasks"),
        ("drain", "c3", "idle"),
        ("release", "c4", "still_listed"),
        ("trouble", "provider fake", ""),
    ]


async def test_events_can_be_asked_for_by_time_number_and_subject(history: History, path: Path) -> None:
    await history.write(REPORT)
    reader = HistoryReader(path)
    assert [event.subject for event in reader.events(about="c8")] == ["c7,c8"]
    assert {event.pool for event in reader.events(about="cpu4")} == {"cpu4"}
    assert len(reader.events(limit=2)) == 2
    assert reader.events(since=NOW + 1) == ()


async def test_the_time_from_demand_to_launch_is_kept(history: History, path: Path) -> None:
    await history.write(REPORT)
    minimum = Launch(OfferKey("gpu1"), ("c9",), "b9", 1, reason(ReasonCode.MIN_WORKERS, pool="gpu1", min_workers=1))
    await history.write(replace(REPORT, plan=replace(REPORT.plan, launches=(minimum,))))
    (seconds,) = HistoryReader(path).demand_to_launch_s()
    assert seconds == pytest.approx(0.022, abs=1e-6)


def test_a_trouble_that_lasts_is_told_once() -> None:
    assert [event.kind for event in events_of(REPORT, REPORT.troubles)].count("trouble") == 0


def test_a_launch_that_was_held_is_no_event() -> None:
    assert "launch" not in [event.kind for event in events_of(replace(REPORT, saved=False))]


def test_a_move_is_told_when_it_is_saved_and_not_in_every_tick_before() -> None:
    kinds = [event.kind for event in events_of(replace(REPORT, saved=False))]
    assert {"ready", "gone"}.isdisjoint(kinds)
    assert {"ready", "gone"} < {event.kind for event in events_of(REPORT)}


def test_a_quiet_tick_has_no_events() -> None:
    assert events_of(QUIET) == ()


async def test_the_log_has_a_line_per_event() -> None:
    log = Log()
    with capture_logs() as lines:
        await log.write(REPORT)
        await log.write(QUIET)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("failed", "warning"), ("gone", "info"), ("ready", "info"), ("finding", "warning"), ("launch", "info"),
        ("drain", "info"), ("release", "info"), ("trouble", "warning"),
    ]  # fmt: skip
    assert lines[4]["text"] == "launch 1 cpu4: 2 tasks wait for machines"


# ---- reading what cannot be read --------------------------------------------------------------------


def test_a_history_that_is_not_there_yet_is_empty(path: Path) -> None:
    reader = HistoryReader(path)
    assert (reader.latest(), reader.heartbeat(), reader.ticks(), reader.events()) == (None, None, (), ())


def test_a_file_without_tables_yet_is_empty(path: Path) -> None:
    sqlite3.connect(path).close()
    path.touch()
    assert HistoryReader(path).latest() is None


def test_a_damaged_file_says_so(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(HistoryUnavailable, match="move it away"):
        HistoryReader(path).latest()


async def test_a_report_of_another_release_says_so(history: History, path: Path) -> None:
    await history.write(REPORT)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE latest SET data = ?", (b"\x00\x01",))
    db.close()
    with pytest.raises(HistoryUnavailable, match="another release"):
        HistoryReader(path).latest()


async def test_a_disk_that_takes_nothing_is_the_writers_error_and_heals(tmp_path: Path) -> None:
    history = History(tmp_path / "later" / "history.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await history.write(REPORT)
    (tmp_path / "later").mkdir()
    await history.write(REPORT)
    await history.close()
    assert HistoryReader(tmp_path / "later" / "history.sqlite").latest() == REPORT


def test_snapshots_of_an_empty_cluster_are_no_special_case() -> None:
    assert events_of(TickReport(1, "x", Snapshot(), Plan())) == ()
