"""A tick in a dozen numbers, and the record of them."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.model import Market, NodeFact, OfferKey, Phase, Resources, TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History, HistoryReader, HistoryUnavailable
from rayfleet.reports.measures import (
    AT_LEAST_EVERY_S,
    AT_MOST_EVERY_S,
    Measuring,
    PoolCounts,
    from_text,
    measure,
    to_text,
)
from rayfleet.testing.snapshots import NOW, claim, offer, pool, snapshot, tasks

POOL = pool("w", CPU=4, offers=(offer(0.1, spot=True), offer(0.4)))
TOTAL = {"CPU": 4, "node:10.0.0.1": 1}
SPOT = OfferKey("w", market=Market.SPOT)


def report(used: float = 1, at: float = NOW, waiting: int = 9) -> TickReport:
    seen = snapshot(
        POOL,
        claim(
            "m1", SPOT, usd_per_hour=0.1, node=NodeFact.ALIVE, total={"CPU": 4, "node:10.0.0.1": 1}, used={"CPU": used}
        ),
        claim("m2", SPOT, Phase.BOOTING, usd_per_hour=0.1),
        claim("m3", OfferKey("w")),
        tasks(waiting, CPU=1),
    )
    seen = replace(seen, now=at)
    return TickReport(1, "a", seen, plan(seen))


def test_a_report_in_numbers() -> None:
    found = measure(report())
    assert found.pools == {"w": PoolCounts(ready=2, starting=1)}
    assert (found.waiting, found.unpriced) == (9, 1)
    assert found.needed == Resources.of({"CPU": 10})
    assert (found.used, found.total) == (Resources.of({"CPU": 1}), Resources.of({"CPU": 4}))
    assert found.coming == Resources.of({"CPU": 4})
    assert (found.usd_per_hour, found.on_demand_usd_per_hour) == (0.2, 0.8)
    assert found.count("ready") == 2


def test_a_measure_is_its_row() -> None:
    found = measure(report())
    assert from_text(found.at, to_text(found)) == found


def test_rows_are_written_as_numbers_change_and_now_and_then() -> None:
    measuring = Measuring()
    moments = [
        (NOW, 1, True),
        (NOW + 0.5, 2, False),  # too soon
        (NOW + AT_MOST_EVERY_S, 2, True),
        (NOW + AT_MOST_EVERY_S + 10, 2, False),  # the same
        (NOW + AT_MOST_EVERY_S + AT_LEAST_EVERY_S, 2, True),
        (NOW - 100, 2, True),  # the clock was set back
    ]
    assert [measuring.row(report(used, at)) is not None for at, used, _ in moments] == [w for _, _, w in moments]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    history = History(tmp_path / "history.sqlite")
    for number in range(100):
        await history.write(report(waiting=number, at=NOW + 10 * number))
    await history.close()
    return tmp_path / "history.sqlite"


async def test_a_record_has_them_since_a_moment(path: Path) -> None:
    reader = HistoryReader(path)
    assert [found.waiting for found in reader.measures()] == list(range(100))
    assert [found.waiting for found in reader.measures(NOW + 970)] == [97, 98, 99]
    assert reader.measures(NOW + 2_000) == ()


async def test_of_many_some_are_chosen_the_last_among_them(path: Path) -> None:
    found = HistoryReader(path).measures(most=10)
    assert [each.waiting for each in found] == list(range(9, 100, 10))


async def test_a_record_of_before_has_none(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE measures")
    assert HistoryReader(path).measures() == ()
    assert HistoryReader(path.with_name("none")).measures() == ()


async def test_damaged_rows_are_said(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE measures SET data = '{}'")
    with pytest.raises(HistoryUnavailable, match="another release"):
        HistoryReader(path).measures()
