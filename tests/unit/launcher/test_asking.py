"""What `rayfleet why` is asked: shapes and selectors, moments of the record, files."""

import json
import time
from pathlib import Path

import pytest

from rayfleet.config import report_to_json
from rayfleet.launcher import asking
from rayfleet.launcher import home as homes
from rayfleet.launcher.asking import Asked
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.model import Resources, Snapshot, TickReport
from rayfleet.planner import plan
from rayfleet.planner.whynot import Question
from rayfleet.reports.history import History
from rayfleet.testing.snapshots import claim, pool, selectors, snapshot, tasks

SCENARIO = """
policy: {pools: [{name: small, resources: {CPU: 4}}, {name: large, resources: {CPU: 16}}]}
demand: {tasks: [{shape: {CPU: 1}, count: 3}]}
"""


def reported(of: Snapshot, tick: int) -> TickReport:
    return TickReport(tick, "one", of, plan(of))


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a cluster whose first tick had nothing to do; at the second, 100 s later, a task waited."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    history = History(home.history)
    await history.write(reported(snapshot(pool("small", CPU=4), now=1000.0), 1))
    await history.write(reported(snapshot(pool("small", CPU=4), tasks(3, CPU=1), now=1100.0), 2))
    await history.close()
    return home


# ---- questions ------------------------------------------------------------------------------------------------------


def test_a_shape_is_asked_about_with_its_selectors_and_count() -> None:
    asked = Asked(shape="CPU=2", count=5, selectors=("tier=in(a,b)", "zone=x"))
    assert asked.question == Question(Resources.of({"CPU": 2}), 5, selectors({"tier": "in(a,b)", "zone": "x"}))
    assert Asked("CPU:2").question == Question(Resources.of({"CPU": 2}))
    assert Asked("small").question is None
    assert Asked(pool="small").question is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(shape="many"), "--shape 'many' is no shape"),
        (Asked("small", count=3), "--count and --selector are about a shape"),
        (Asked("small", selectors=("a=b",)), "--count and --selector are about a shape"),
        (Asked(shape="CPU=1", selectors=("tier",)), "--selector 'tier' is not LABEL=VALUE"),
        (Asked(shape="CPU=1", selectors=("tier=in(",)), "is not one of a, !a"),
    ],
)
def test_what_is_no_question_is_said_to_be_none(asked: Asked, message: str) -> None:
    with pytest.raises(LauncherError) as caught:
        _ = asked.question
    assert message in str(caught.value)
    assert caught.value.hint


# ---- the record -----------------------------------------------------------------------------------------------------


async def test_the_newest_tick_answers_unless_another_is_named(home: Home) -> None:
    asked = Asked(shape="CPU=1")
    assert asking.from_record(home, asked).report.tick == 2
    assert asking.from_record(home, asked, tick="1").report.tick == 1
    before = asking.from_record(home, asked, tick="1").as_json(asked)
    assert (before["tick"], before["at"], before["launch"]["supposed"]) == (1, 1000.0, True)
    after = asking.from_record(home, asked).as_json(asked)
    assert (after["launch"]["supposed"], after["launch"]["launched"]) == (False, 1)
    assert after["launch"]["offers"][0]["reason"]["code"] == "chosen"


async def test_a_moment_is_answered_from_the_tick_before_it(home: Home) -> None:
    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))

    assert asking.from_record(home, Asked(), at=at(1099)).report.tick == 1
    assert asking.from_record(home, Asked(), at=at(1100)).report.tick == 2
    with pytest.raises(LauncherError, match=r"there is no record of .* or before") as caught:
        asking.from_record(home, Asked(), at=at(999))
    assert caught.value.hint.startswith("the record begins at ")


async def test_what_happened_later_is_not_told_of_an_earlier_moment(home: Home) -> None:
    assert any("launch" in line for line in asking.from_record(home, Asked("small")).lines[1:])
    assert not any("ago: launch" in line for line in asking.from_record(home, Asked("small"), tick="1").lines)


async def test_nothing_of_that_name_is_an_error_with_a_hint(home: Home) -> None:
    for asked in (Asked("smalll"), Asked(shape="CPU=1", pool="smalll")):
        with pytest.raises(LauncherError, match="there is no pool") as caught:
            asking.from_record(home, asked)
        assert caught.value.hint.startswith("did you mean small")


NOON = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("11:59", 60),
        ("11:59:30", 30),
        ("13:00", 23 * 3600),
        ("90s", 90),
        ("10m", 600),
        ("1.5h ago", 5400),
        ("-2d", 2 * 86400),
        ("2026-03-04 11:00", 3600),
        ("2026-03-03T12:00:00", 86400),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, ago_s: float) -> None:
    assert asking.moment(text, NOON) == NOON - ago_s


@pytest.mark.parametrize("text", ["soon", "25:00", "12:61", "", "10 parsecs", "nan"])
def test_what_is_no_moment_gets_an_example(text: str) -> None:
    with pytest.raises(LauncherError, match="is no moment") as caught:
        asking.moment(text, NOON)
    assert "--at 18:30" in caught.value.hint


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_scenario_is_planned_and_asked() -> None:
    told = asking.from_file(SCENARIO, "s.yaml", Asked(shape="CPU=1", pool="large"))
    assert told.launch is not None
    assert [offer["pool"] for offer in told.launch["offers"]] == ["large"]
    assert told.launch["offers"][0]["reason"]["code"] == "dearer"


def test_a_recorded_tick_answers_with_its_own_plan() -> None:
    report = reported(snapshot(pool("small", CPU=4), claim("m", "small", used={"CPU": 1})), 7)
    told = asking.from_file(json.dumps(report_to_json(report)), "tick.json", Asked("m"))
    assert told.report.tick == 7
    assert told.lines[0].startswith("m (small) is READY")
    assert told.as_json(Asked("m")) == {"subject": "m", "tick": 7, "at": 1000.0, "lines": told.lines}
