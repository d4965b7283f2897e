"""One reading for all who look, made again when the file has changed."""

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayfleet.dashboard.readings.shared import KEPT, Readings
from rayfleet.reports.history import HistoryReader, HistoryUnavailable

PLENTY_S = 20.0
MANY = 40
"""More than a loop has threads."""


@dataclass
class Counting:
    """Reads nothing, and counts how often it was asked; `clock` runs on while it does."""

    clock: list[float]
    takes_s: float = 0.0
    calls: int = 0

    def __call__(self, reader: HistoryReader) -> int:
        self.calls += 1
        self.clock[0] += self.takes_s
        return self.calls


def grow(file: Path, size: int | None) -> None:
    """Change a file so that everybody can see it; None: remove it."""
    if size is None:
        file.unlink()
    else:
        file.write_bytes(b"1" * size)


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"damaged" * 1000)
    return path


async def test_a_file_that_has_not_changed_is_read_once_for_all(clock: list[float], file: Path) -> None:
    readings, make = Readings(lambda: clock[0]), Counting(clock)
    assert await asyncio.gather(*(readings.of(file, "x", make) for _ in range(20))) == [1] * 20
    clock[0] += 10
    assert await readings.of(file, "x", make) == 1


async def test_a_change_is_read(clock: list[float], file: Path) -> None:
    readings, make = Readings(lambda: clock[0]), Counting(clock)
    await readings.of(file, "x", make)
    file.with_name("history.sqlite-wal").write_bytes(b"22")
    clock[0] += 1
    assert await readings.of(file, "x", make) == 2


async def test_what_takes_long_is_not_read_all_the_time(clock: list[float], file: Path) -> None:
    readings, make = Readings(lambda: clock[0]), Counting(clock, takes_s=2.0)
    await readings.of(file, "x", make)
    for size, later in enumerate((1.0, 4.9, 0.2), 2):
        grow(file, size)
        clock[0] += later
        await readings.of(file, "x", make)
    assert make.calls == 2


async def test_how_often_may_be_limited(clock: list[float], file: Path) -> None:
    readings, make = Readings(lambda: clock[0]), Counting(clock)
    for size in range(1, 11):
        grow(file, size)
        await readings.of(file, "x", make, every_s=5.0)
        clock[0] += 1
    assert make.calls == 2


async def test_what_is_derived_is_made_once_from_each_source() -> None:
    readings, made = Readings(lambda: 0.0), list[int]()
    one, two = object(), object()
    for source in (one, one, two, two):
        await readings.derived("x", source, lambda: made.append(1))
    assert len(made) == 2


async def test_a_reading_that_fails_is_tried_again(clock: list[float], file: Path) -> None:
    readings = Readings(lambda: clock[0])
    with pytest.raises(HistoryUnavailable):
        await readings.of(file, "x", HistoryReader.latest)
    grow(file, None)
    assert await readings.of(file, "x", HistoryReader.latest) is None


async def test_old_readings_are_forgotten(clock: list[float], file: Path) -> None:
    readings, make = Readings(lambda: clock[0]), Counting(clock)
    for number in range(KEPT + 1):
        await readings.of(file, number, make)
    await readings.of(file, KEPT, make)
    assert make.calls == KEPT + 1
    await readings.of(file, 0, make)
    assert make.calls == KEPT + 2


async def test_a_record_that_is_locked_does_not_hold_up_another(file: Path) -> None:
    readings, unlocked = Readings(), threading.Event()
    locked = [
        asyncio.create_task(readings.of(file, number, lambda _: unlocked.wait(PLENTY_S))) for number in range(MANY)
    ]
    await asyncio.sleep(0)
    other = file.with_name("other.sqlite")
    other.write_bytes(b"1")
    try:
        assert await asyncio.wait_for(readings.of(other, "x", lambda _: "read"), PLENTY_S / 2) == "read"
    finally:
        unlocked.set()
        await asyncio.gather(*locked)


async def test_what_failed_after_long_is_not_tried_at_once(clock: list[float], file: Path) -> None:
    readings, tries = Readings(lambda: clock[0]), list[float]()

    def locked(_: HistoryReader) -> int:
        tries.append(clock[0])
        clock[0] += 5.0
        raise HistoryUnavailable("database is locked")

    for _ in range(30):
        with pytest.raises(HistoryUnavailable, match="locked"):
            await readings.of(file, "x", locked, every_s=60.0)
        clock[0] += 1.0
    assert tries == [100.0, 120.0]
    clock[0] += 15.0
    assert await readings.of(file, "x", lambda _: 1) == 1
