"""Events out of the record: chosen by kind, pool and time, and followed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from tests.unit.reports.examples import NOW, REPORT

from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.happening import chosen, followed, query
from rayfleet.launcher.home import Home
from rayfleet.model import TickReport
from rayfleet.reports.event_search import EventQuery
from rayfleet.reports.history import History


def at(moment: float, tick: int) -> TickReport:
    shifted = replace(REPORT.snapshot, now=moment, outcomes=())
    timings = replace(REPORT.timings, acted_at=moment)
    return replace(REPORT, tick=tick, snapshot=shifted, timings=timings)


async def record(home: Home, *reports: TickReport) -> None:
    history = History(home.history)
    for each in reports:
        await history.write(each)
    await history.close()


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    found = Home(tmp_path)
    await record(found, at(NOW, 1), at(NOW + 100, 2))
    return found


async def test_only_what_is_meant(home: Home) -> None:
    assert {event.kind for event in chosen(home, EventQuery())} > {"launch", "drain", "ready", "finding"}
    launches = chosen(home, query(["launch"], "", "", 10))
    assert [(event.kind, event.at) for event in launches] == [("launch", NOW), ("launch", NOW + 100)]
    assert len(chosen(home, query(["launch", "drain"], "cpu4", "", 3))) == 3
    assert chosen(home, query([], "gpu1", "", 10)) == ()
    assert chosen(home, query([], "", "10m", 10)) == ()


async def test_what_comes_is_followed_and_nothing_is_told_twice(home: Home) -> None:
    wanted = EventQuery(kinds=("launch",))
    comes: Iterator[TickReport] = iter([at(NOW + 200, 3), at(NOW + 300, 4)])
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        import asyncio
        import threading

        pauses.append(seconds)
        writer = threading.Thread(target=lambda: asyncio.run(record(home, next(comes))))
        writer.start()
        writer.join()

    found = list(islice(followed(home, wanted, pause), 4))
    assert [event.at for event in found] == [NOW, NOW + 100, NOW + 200, NOW + 300]
    assert len(pauses) == 2


def test_words_that_mean_nothing() -> None:
    with pytest.raises(LauncherError, match="no events of kind 'lunch'") as error:
        query(["lunch"], "", "", 1)
    assert error.value.hint == "did you mean launch?"
    with pytest.raises(LauncherError, match="--since 'x' is no moment"):
        query([], "", "x", 1)
