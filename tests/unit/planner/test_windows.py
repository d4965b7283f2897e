"""Cron windows: open at a moment or not, through weeks, time zones and changed clocks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from rayfleet.model import Window
from rayfleet.planner.windows import closes_at, is_open, next_change, opened_at

BERLIN = "Europe/Berlin"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def moment(text: str, zone: str = "UTC", *, fold: int = 0) -> float:
    """Return `2026-03-02 08:30` on the clock of a zone as seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


OFFICE = Window("0 8 * * MON-FRI", 10 * HOUR_S, BERLIN)


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-03-02 07:59:59.9", None),  # a Monday
        ("2026-03-02 08:00", "2026-03-02 08:00"),  # the first moment belongs to it
        ("2026-03-02 12:34:56", "2026-03-02 08:00"),
        ("2026-03-02 17:59:59.9", "2026-03-02 08:00"),
        ("2026-03-02 18:00", None),  # the last one does not
        ("2026-03-07 12:00", None),  # a Saturday
        ("2026-07-01 08:00", "2026-07-01 08:00"),  # summer time
    ],
)
def test_it_is_open_from_its_firing_for_its_duration(at: str, opened: str | None) -> None:
    expected = None if opened is None else moment(opened, BERLIN)
    assert opened_at(OFFICE, moment(at, BERLIN)) == expected
    assert is_open(OFFICE, moment(at, BERLIN)) is (opened is not None)


def test_the_zone_decides_which_hour_is_meant() -> None:
    in_utc = Window("0 8 * * *", HOUR_S)
    assert is_open(in_utc, moment("2026-01-05 08:30"))
    assert not is_open(OFFICE, moment("2026-01-05 06:59", "UTC"))  # 07:59 in Berlin
    assert is_open(OFFICE, moment("2026-01-05 07:00", "UTC"))
    assert is_open(OFFICE, moment("2026-07-06 06:00", "UTC"))  # summer: 08:00 in Berlin


def test_a_window_may_outlast_midnight_and_its_next_firing() -> None:
    weekend = Window("0 20 * * FRI", 2.5 * DAY_S)
    assert opened_at(weekend, moment("2026-03-08 19:00")) == moment("2026-03-06 20:00")
    assert not is_open(weekend, moment("2026-03-09 08:00"))
    overlapping = Window("0 * * * *", 90 * 60.0)
    assert opened_at(overlapping, moment("2026-03-02 12:10")) == moment("2026-03-02 12:00")  # the newest counts


def test_what_fires_in_the_hour_that_is_skipped_fires_right_after_it() -> None:
    night = Window("30 2 * * *", HOUR_S, BERLIN)  # 2026-03-29: 01:59:59 is followed by 03:00
    assert opened_at(night, moment("2026-03-29 03:10", BERLIN)) == moment("2026-03-29 03:00", BERLIN)
    assert not is_open(night, moment("2026-03-29 01:59", BERLIN))
    assert not is_open(night, moment("2026-03-29 04:00", BERLIN))


def test_what_fires_in_the_hour_that_comes_twice_fires_once() -> None:
    night = Window("30 2 * * *", 2 * HOUR_S, BERLIN)  # 2026-10-25: 02:59:59 is followed by 02:00
    first = moment("2026-10-25 02:30", BERLIN)
    for again in ("02:10", "02:30", "02:50"):
        assert opened_at(night, moment(f"2026-10-25 {again}", BERLIN, fold=1)) == first
    assert not is_open(night, moment("2026-10-25 03:30", BERLIN))  # two hours later by any clock but the wall's


def test_many_firings_in_the_hour_that_comes_twice() -> None:
    quarters = Window("*/15 * * * *", 60.0, BERLIN)
    for fold in (0, 1):
        at = moment("2026-10-25 02:15", BERLIN, fold=fold)
        assert opened_at(quarters, at + 30.0) == at


def test_it_tells_when_it_changes_next() -> None:
    before, inside = moment("2026-03-02 07:00", BERLIN), moment("2026-03-02 09:00", BERLIN)
    assert closes_at(OFFICE, before) is None
    assert next_change(OFFICE, before) == moment("2026-03-02 08:00", BERLIN)
    assert closes_at(OFFICE, inside) == next_change(OFFICE, inside) == moment("2026-03-02 18:00", BERLIN)
    assert next_change(OFFICE, moment("2026-03-06 18:00", BERLIN)) == moment("2026-03-09 08:00", BERLIN)


def test_every_change_is_told_and_nothing_changes_between() -> None:
    """Through four days, one of which has 25 hours: eight openings a day, each with its end."""
    odd = Window("7,53 3-5,22 * * *", 13 * 60.0, BERLIN)
    at, end = moment("2026-10-23 00:00", BERLIN), moment("2026-10-27 00:00", BERLIN)
    states: list[bool] = []
    while (then := next_change(odd, at)) is not None and then < end:
        during = {is_open(odd, at + part * (then - at)) for part in (0.0, 0.3, 0.99)}
        assert len(during) == 1, datetime.fromtimestamp(at, UTC)
        states += during
        at = then
    assert states == [False, True] * (4 * 8)


@pytest.mark.parametrize(
    "window",
    [
        Window("nonsense", HOUR_S),
        Window("0 8 * *", HOUR_S),
        Window("* * */20 * 1L", HOUR_S),  # a valid line that never fires
        Window("0 8 * * *", HOUR_S, "Europe/Atlantis"),
        Window("0 8 * * *", HOUR_S, "Europe"),
        Window("0 8 * * *", HOUR_S, ""),
    ],
)
def test_what_cannot_be_read_or_never_fires_never_opens(window: Window) -> None:
    assert opened_at(window, moment("2026-03-02 08:30")) is None
    assert next_change(window, moment("2026-03-02 08:30")) is None


@pytest.mark.parametrize("now", [-1e15, -1e10, 1e15, 4e11])
def test_moments_without_a_calendar_are_outside_of_every_window(now: float) -> None:
    always = Window("* * * * *", HOUR_S)
    assert opened_at(always, now) is None
    assert next_change(always, now) is None


def test_the_beginning_of_time_has_a_calendar() -> None:
    assert opened_at(Window("* * * * *", HOUR_S), 0.0) == 0.0
    assert opened_at(Window("0 0 1 1 *", HOUR_S), 1800.0) == 0.0
    assert opened_at(Window("0 0 29 2 *", DAY_S), 0.0) is None  # the newest was in 1968


def test_the_calendar_has_a_first_and_a_last_moment() -> None:
    always = Window("* * * * *", HOUR_S)
    assert [is_open(always, now) for now in (-1e9 - 1.0, -1e9, 1e11, 1e11 + 1.0)] == [False, True, True, False]
