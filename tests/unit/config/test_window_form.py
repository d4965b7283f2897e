"""Windows in files: cron lines, time zones and durations, checked word by word."""

import pytest

from rayfleet.config.document import Document
from rayfleet.config.forms import validate
from rayfleet.config.window_form import WindowForm, window, window_to_json
from rayfleet.model import Window


def problems_of(**keys: object) -> list[str]:
    _, problems = validate(WindowForm, Document(dict(keys), "", "w.yaml"))
    return [f"{problem.message} ({problem.hint})" if problem.hint else problem.message for problem in problems]


def test_a_window_is_read_and_written_back() -> None:
    given = {"cron": "0  8 * * MON-FRI", "duration_s": 36000, "time_zone": "Europe/Berlin"}
    form, problems = validate(WindowForm, Document(given, "", "w.yaml"))
    assert form is not None
    assert not problems
    assert window(form) == Window("0 8 * * MON-FRI", 36000, "Europe/Berlin")
    assert window_to_json(window(form)) == {**given, "cron": "0 8 * * MON-FRI"}
    assert window_to_json(Window("0 8 * * *", 60.0)) == {"cron": "0 8 * * *", "duration_s": 60.0}


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 8 * *", "must have five fields (minute, hour, day of the month, month, day of the week), not '0 8 * *'"),
        ("0 0 8 * * *", "must have five fields"),
        ("61 8 * * *", "is no cron line: bad minute in '61 8 * * *'"),
        ("0 8 31 2 *", "is no cron line: bad day-of-month"),
        ("* * */20 * 1L", "never fires: '* * */20 * 1L'"),
        (5, "must be text, not 5"),
    ],
)
def test_a_line_that_is_none_is_told(cron: object, said: str) -> None:
    (problem,) = problems_of(cron=cron, duration_s=60)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berln", "there is no time zone 'Europe/Berln' (did you mean Europe/Berlin?)"),
        ("../../etc/passwd", "there is no time zone '../../etc/passwd' (such as UTC or Europe/Berlin)"),
        ("Europe", "there is no time zone 'Europe'"),
        ("", "there is no time zone ''"),
    ],
)
def test_a_zone_that_does_not_exist_is_told(zone: str, said: str) -> None:
    (problem,) = problems_of(cron="0 8 * * *", duration_s=60, time_zone=zone)
    assert problem.startswith(said)


@pytest.mark.parametrize("duration_s", [0, -1, 366 * 86400 + 1])
def test_a_window_is_open_for_some_time_and_a_year_at_most(duration_s: float) -> None:
    (problem,) = problems_of(cron="0 8 * * *", duration_s=duration_s)
    assert problem.startswith("must be more than 0 and at most 31,622,400 (a year)")


def test_everything_is_told_at_once() -> None:
    assert len(problems_of(cron="x", duration_s="8h", time_zone="Mars", colour="red")) == 4
