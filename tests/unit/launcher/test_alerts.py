"""Alerts from outside: has the controller looked, who is told that it has not, and what fires now."""

import json
import os
from pathlib import Path

import pytest

from rayfleet.config.alerting import Rule
from rayfleet.launcher import alerts
from rayfleet.launcher import home as homes
from rayfleet.launcher.home import Home
from rayfleet.model import Plan, Policy, Snapshot, TickReport
from rayfleet.reports.history import History
from rayfleet.testing.fake_receivers import FakeReceiver

CONFIG = """
cluster_name: one
provider: {type: process}
monitoring_config:
  alerting: {slack_webhook: "env:NOT_SET_ANYWHERE", repeat_minutes: 10}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a cluster that is up, and whose controller was started at 900 and has looked at 1000."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.write(home.config, CONFIG)
    home.write(home.controller, "{}")
    os.utime(home.controller, (900.0, 900.0))
    return home


async def looked(home: Home, at: float) -> None:
    history = History(home.history)
    await history.write(TickReport(1, "one", Snapshot(at, Policy()), Plan()))
    await history.close()


@pytest.fixture
async def beating(home: Home) -> Home:
    await looked(home, 1000.0)
    return home


def told(receiver: FakeReceiver) -> list[str]:
    return [f"{notice.kind} {notice.rule}" for message in receiver.got for notice in message.notices]


def test_a_controller_that_looks_is_nothing_to_tell(beating: Home) -> None:
    receiver = FakeReceiver()
    seen = alerts.look(beating, 1004.0, [receiver])
    assert (seen.ok, seen.text, seen.looked_at) == (True, "the controller looked 4 s ago", 1000.0)
    assert receiver.got == []


def test_a_controller_that_does_not_is_told_of_once_again_later_and_when_it_does(beating: Home) -> None:
    receiver = FakeReceiver()
    seen = alerts.look(beating, 1300.0, [receiver])
    assert not seen.ok
    assert seen.text.startswith("the controller has not looked for 5 min 0 s: nothing is launched or given back")
    assert seen.told == (alerts.Told("fake"),)
    assert receiver.got[0].notices[0].since == 1000.0
    for minute in range(6, 10):
        assert not alerts.look(beating, 1000.0 + 60 * minute, [receiver]).ok
    assert told(receiver) == ["firing controller_down"]
    assert [entry.condition.rule for entry in alerts.firing(beating)] == [Rule.CONTROLLER_DOWN]
    home = beating
    os.utime(home.controller, (1600.0, 1600.0))  # it was started again
    assert alerts.look(home, 1610.0, [receiver]).ok
    os.utime(home.controller, (1700.0, 1700.0))
    assert alerts.look(home, 1710.0, [receiver]).ok
    assert told(receiver) == ["firing controller_down", "over controller_down"]
    assert alerts.firing(home) == ()


def test_one_that_has_just_been_started_has_not_looked_yet(home: Home) -> None:
    assert alerts.look(home, 910.0, []).ok
    assert not alerts.look(home, 961.0, []).ok


def test_a_cluster_that_is_down_needs_no_controller(home: Home) -> None:
    home.controller.unlink()
    seen = alerts.look(home, 1e9, [FakeReceiver()])
    assert (seen.ok, seen.text, seen.notices) == (True, "down, as somebody ordered", ())


def test_a_record_that_is_damaged_is_no_sign_of_life(home: Home) -> None:
    home.history.write_text("no database", encoding="utf-8")
    assert not alerts.look(home, 1300.0, []).ok


def test_the_people_of_the_file_are_told_and_why_that_failed(beating: Home) -> None:
    seen = alerts.look(beating, 1300.0)
    told_of = alerts.Told("slack", "the variable NOT_SET_ANYWHERE is not set where alerts are sent from")
    assert seen.told == (told_of,)
    assert json.loads(json.dumps(seen.as_json()))["told"] == [told_of.as_json()]
    assert [notice["rule"] for notice in seen.as_json()["notices"]] == ["controller_down"]


SSH = """#!/bin/sh
echo "$*" >> "$TOLD"
cat "$ANSWER" 2>/dev/null || exit 255
"""


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a cluster elsewhere, and have `ssh` be a program that notes what it is told and answers from a file."""
    from rayfleet.contracts import Login
    from rayfleet.launcher.remote import where
    from rayfleet.launcher.remote.where import Where

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH, encoding="utf-8")
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("ANSWER", str(tmp_path / "answer"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = homes.create("far")
    home.write(home.config, CONFIG)
    where.save(home, Where("local", "m1", "10.0.0.1", login=Login("me")))
    return home


def test_the_head_of_a_cluster_elsewhere_looks_and_tells_by_itself(far: Home, tmp_path: Path) -> None:
    answer = {"ok": False, "text": "late", "looked_at": 5.0, "told": [{"receiver": "slack", "ok": True, "error": ""}]}
    (tmp_path / "answer").write_text(json.dumps({"clusters": [answer]}), encoding="utf-8")
    receiver = FakeReceiver()
    seen = alerts.look(far, 1000.0, [receiver])
    assert (seen.ok, seen.text, seen.told) == (False, "late", (alerts.Told("slack"),))
    assert "alerts check far --json" in (tmp_path / "told").read_text(encoding="utf-8")
    assert receiver.got == []


def test_a_head_that_cannot_be_reached_is_told_of_from_here(far: Home) -> None:
    receiver = FakeReceiver()
    assert not alerts.look(far, 1000.0, [receiver]).ok
    assert receiver.got == []  # a line may be down for a moment
    assert not alerts.look(far, 1060.0, [receiver]).ok
    assert told(receiver) == ["firing head_down"]
    assert "the head cannot be reached over SSH" in receiver.got[0].text


def test_a_head_that_answers_again_is_told_of_and_one_that_is_lost_again_too(far: Home, tmp_path: Path) -> None:
    receiver = FakeReceiver()
    for at in (1000.0, 1060.0):
        alerts.look(far, at, [receiver])
    well = {"ok": True, "text": "the controller looked 1 s ago", "looked_at": 1119.0, "told": []}
    (tmp_path / "answer").write_text(json.dumps({"clusters": [well]}), encoding="utf-8")
    seen = [alerts.look(far, at, [receiver]) for at in (1120.0, 1180.0, 1240.0)]
    assert [each.ok for each in seen] == [True] * 3
    assert told(receiver) == ["firing head_down", "over head_down"]
    assert alerts.firing(far) == ()
    (tmp_path / "answer").unlink()
    for at in (9000.0, 9060.0):
        alerts.look(far, at, [receiver])
    assert told(receiver) == ["firing head_down", "over head_down", "firing head_down"]


@pytest.mark.parametrize("kind", ["firing", "over"])
def test_what_nobody_could_be_told_is_said_at_the_next_look(beating: Home, kind: str) -> None:
    away, there = FakeReceiver("away", failures=9), FakeReceiver()
    if kind == "over":
        alerts.look(beating, 1300.0, [there])
        there.got.clear()
        os.utime(beating.controller, (1500.0, 1500.0))
    for at in (1510.0, 1520.0):
        assert [each.error for each in alerts.look(beating, at, [away]).told] == ["it answers 503"]
    for at in (1530.0, 1540.0):
        alerts.look(beating, at, [away, there])
    assert told(there) == [f"{kind} controller_down"]


def test_a_disk_that_is_full_keeps_nobody_from_being_told(beating: Home) -> None:
    beating.alerts_check.with_name(f".{beating.alerts_check.name}.{os.getpid()}").mkdir()  # nothing is written there
    receiver = FakeReceiver()
    assert not alerts.look(beating, 1300.0, [receiver]).ok
    assert told(receiver) == ["firing controller_down"]


def test_a_cluster_that_cannot_be_looked_at_does_not_hide_the_others(beating: Home) -> None:
    broken = homes.create("broken")
    broken.write(broken.config, "cluster_name: [")
    broken.write(broken.controller, "{}")
    first, second = alerts.look_at_all([broken, beating], lambda: 1004.0)
    assert (first.cluster, first.ok) == ("broken", False)
    assert first.text.startswith("nobody can look: ")
    assert "\n" not in first.text
    assert (second.cluster, second.ok) == ("one", True)
