"""The forecast: what was needed a season ago, how wrong that was, and a file that lasts."""

from pathlib import Path

import pytest

from rayfleet.model import Forecast, Plan, Policy, Resources, Snapshot, TickReport
from rayfleet.reports.demand_series import BUCKET_S, DemandSeries, error_percent, expect, needed
from rayfleet.testing.snapshots import claim, gang, pool, snapshot, tasks

DAY_S = 86_400.0
DAY = 96
DAILY = Forecast(season_s=DAY_S, lead_s=900.0)


def cpus(amount: float) -> Resources:
    return Resources.of({"CPU": amount})


def office(days: int, *, growth: float = 0.0) -> dict[int, Resources]:
    """Return a series: 10 CPUs from 8 to 18 o'clock, 2 otherwise; each day larger by `growth`."""
    return {
        day * DAY + at: cpus((10 if 32 <= at < 72 else 2) * (1 + growth) ** day)
        for day in range(days)
        for at in range(DAY)
    }


def moment(day: int, hour: float) -> float:
    return day * DAY_S + hour * 3600.0


def test_what_was_needed_a_season_ago_is_expected() -> None:
    series = office(2)
    assert [(e.name, e.count, e.error_percent) for e in expect(series, DAILY, moment(2, 12))] == [("CPU", 10, 0.0)]
    assert expect(series, DAILY, moment(2, 3))[0].count == 2


def test_it_looks_ahead_as_far_as_it_is_told() -> None:
    series = office(2)
    assert expect(series, DAILY, moment(2, 7.5))[0].count == 2  # until 7:59
    assert expect(series, DAILY, moment(2, 7.75))[0].count == 10
    far = Forecast(season_s=DAY_S, lead_s=3600.0)
    assert expect(series, far, moment(2, 7.0))[0].count == 10


def test_its_error_is_the_mean_of_how_wrong_it_was() -> None:
    series = office(3, growth=0.25)
    assert error_percent(series, "CPU", DAY) == pytest.approx(20.0)
    assert expect(series, DAILY, moment(3, 12))[0].error_percent == 20.0


def test_what_was_too_wrong_or_is_not_known_is_not_forecast() -> None:
    wrong = office(3, growth=2.0)
    assert error_percent(wrong, "CPU", DAY) == pytest.approx(200 / 3)
    assert expect(wrong, DAILY, moment(3, 12)) == ()
    assert expect(office(1), DAILY, moment(1, 12)) == ()  # nothing to compare with
    assert expect({}, DAILY, moment(1, 12)) == ()
    assert error_percent(office(2), "GPU", DAY) is None


def test_hours_without_a_record_are_unknown_not_zero() -> None:
    series = {at: seen for at, seen in office(2).items() if not DAY + 40 <= at < DAY + 60}
    assert error_percent(series, "CPU", DAY) == 0.0
    assert expect(series, DAILY, moment(2, 12)) == ()
    assert expect(series, DAILY, moment(2, 17))[0].count == 10


def test_amounts_are_whole_units_and_memory_is_in_gib() -> None:
    series = {at: Resources.of({"CPU": 1.5, "memory": 2.5 * 2**30}) for at in range(2 * DAY)}
    found = [(e.name, e.shape.amounts(), e.count) for e in expect(series, DAILY, moment(2, 0))]
    assert found == [("CPU", {"CPU": 1}, 2), ("memory", {"memory": 2**30}, 3)]


def test_what_is_needed_is_what_is_in_use_and_what_waits() -> None:
    groups = gang("PACK", {"CPU": 1}, {"GPU": 1}, count=2)
    of = snapshot(pool("p", CPU=4), claim("m", "p", used={"CPU": 3}), tasks(2, CPU=0.5), groups)
    assert needed(of) == Resources.of({"CPU": 6, "GPU": 2})


# ---- the sink --------------------------------------------------------------------------------------------------------


def report(at: float, used: float, *, engine_up: bool = True) -> TickReport:
    machine = claim("m", "p", used={"CPU": used})
    return TickReport(1, "c", Snapshot(now=at, policy=Policy(), claims=(machine,), engine_up=engine_up), Plan())


async def test_it_keeps_the_most_of_every_quarter_and_survives_a_restart(tmp_path: Path) -> None:
    series = DemandSeries(tmp_path / "s.txt", DAILY)
    for day in range(2):
        for at in range(DAY):
            for part, used in enumerate((1, 4, 2)):
                await series.write(report(day * DAY_S + at * BUCKET_S + part * 300.0, used))
    await series.close()
    lines = (tmp_path / "s.txt").read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0], lines[-1]) == (2 * DAY, "0 CPU=40000", f"{2 * DAY - 1} CPU=40000")
    again = DemandSeries(tmp_path / "s.txt", DAILY)
    assert [(e.count, e.error_percent) for e in again.expect(moment(2, 12))] == [(4, 0.0)]


async def test_a_quarter_that_a_restart_cuts_is_one(tmp_path: Path) -> None:
    for used in (5, 3):
        series = DemandSeries(tmp_path / "s.txt", DAILY)
        await series.write(report(100.0, used))
        await series.close()
    assert (tmp_path / "s.txt").read_text(encoding="utf-8").splitlines()[-1] == "0 CPU=50000"


async def test_what_is_not_known_is_not_kept(tmp_path: Path) -> None:
    series = DemandSeries(tmp_path / "s.txt", DAILY)
    await series.write(report(100.0, 5, engine_up=False))
    await series.close()
    assert not (tmp_path / "s.txt").exists()


def test_a_damaged_file_costs_only_its_damaged_lines(tmp_path: Path) -> None:
    good = "".join(f"{at} CPU=20000\n" for at in range(2 * DAY))
    (tmp_path / "s.txt").write_text(f"nonsense\n{good}-3 CPU=1\n5 CPU\n7 CPU=x\n192 CP", encoding="utf-8")
    assert DemandSeries(tmp_path / "s.txt", DAILY).expect(moment(2, 12))[0].count == 2


def test_only_the_newest_seasons_are_kept(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("".join(f"{at} CPU=20000\n" for at in range(9 * DAY)), encoding="utf-8")
    DemandSeries(tmp_path / "s.txt", DAILY).expect(moment(9, 12))
    kept = (tmp_path / "s.txt").read_text(encoding="utf-8").splitlines()
    assert (len(kept), kept[-1]) == (5 * DAY + 1, f"{9 * DAY - 1} CPU=20000")
