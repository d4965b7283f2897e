"""The controller's log: kept small, read from its end, followed across rotations. And shells on a cluster."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.launcher import doctor, logs, work
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.reports import log_lines

WRITE = """
import structlog
from rayfleet.launcher import home, logs
logs.configure(home.find("one"), also_here=False)
structlog.get_logger("rayfleet.test").info("something_happened", pool="cpu1", count=2)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    return home


def test_events_of_the_loop_are_lines_of_the_file(home: Home) -> None:
    """In a process of its own: logging is configured once for a whole process."""
    told = subprocess.run([sys.executable, "-c", WRITE], check=True, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("", "")
    (line,) = logs.tail(home, 10)
    assert line.endswith("INFO    rayfleet.test: event='something_happened' pool='cpu1' count=2")
    assert logging.getLogger().level != logging.INFO


WRITE_MORE = """
import logging
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("rayfleet.test").exception("it_broke", pool="cpü1")
logging.getLogger("some.library").warning("said %s", "so")
"""


def test_lines_for_programs_are_json_one_for_each_event(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_LOG_FORMAT", "JSON")
    subprocess.run([sys.executable, "-c", WRITE + WRITE_MORE], check=True, capture_output=True)
    happened, broke, said = [json.loads(line) for line in logs.tail(home, 10)]
    assert list(happened) == ["timestamp", "level", "logger", "event", "pool", "count"]
    assert happened["timestamp"].endswith("Z")
    assert (happened["level"], happened["logger"], happened["event"]) == ("info", "rayfleet.test", "something_happened")
    assert (broke["level"], broke["pool"]) == ("error", "cpü1")
    assert broke["exception"].endswith("ZeroDivisionError: division by zero")
    assert said == {**said, "level": "warning", "logger": "some.library", "event": "said so"}


def test_a_container_s_log_is_its_standard_output(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = WRITE.replace("also_here=False", "also_here=True")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    told = subprocess.run([sys.executable, "-c", watched], check=True, capture_output=True, text=True)
    assert (told.stdout.count("something_happened"), told.stderr) == (1, "")
    outside = log_lines.stream({}, marks=())
    assert outside is sys.stderr
    assert log_lines.stream({}, marks=(str(home.config),)) is sys.stdout


def test_the_end_of_a_log(home: Home) -> None:
    assert logs.tail(home, 3) == []
    (home.logs / logs.CONTROLLER_LOG).write_text("".join(f"{n}\n" for n in range(9)))
    assert logs.tail(home, 3) == ["6", "7", "8"]
    assert logs.tail(home, 0) == []


def test_the_controllers_files_come_first(home: Home) -> None:
    for name in ("a.log", "controller.log", "controller.out", "z.log"):
        (home.logs / name).write_text("")
    (home.logs / "ray").mkdir()
    assert [path.name for path in logs.paths(home)] == ["controller.log", "controller.out", "a.log", "z.log"]


def test_a_rotated_log_is_followed(home: Home) -> None:
    path = home.logs / logs.CONTROLLER_LOG
    path.write_text("old one\n")
    lines = logs.new_lines(home, position=0)
    assert next(lines) == "old one"
    path.write_text("new\n")  # shorter than what was read: another file by the same name
    assert next(lines) == "new"


def test_one_word_is_a_line_of_shell_and_several_are_a_command() -> None:
    line = subprocess.run(work.shell_command(["echo a; echo b"]), check=True, capture_output=True, text=True)
    assert line.stdout == "a\nb\n"
    words = subprocess.run(work.shell_command(["echo", "a; echo b"]), check=True, capture_output=True, text=True)
    assert words.stdout == "a; echo b\n"


def test_a_cluster_that_is_down_has_no_variables(home: Home) -> None:
    with pytest.raises(NotRunning, match="one is down"):
        work.variables(home)


@pytest.mark.parametrize(("active", "place"), [(False, 0), (True, -1)])
def test_programs_are_found_after_those_of_an_environment_that_the_user_activated(
    monkeypatch: pytest.MonkeyPatch, *, active: bool, place: int
) -> None:
    monkeypatch.setenv("PATH", "/a:/b")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    if active:
        monkeypatch.setenv("VIRTUAL_ENV", "/a")
    assert work.search_path().split(":")[place] == str(Path(sys.executable).parent)


def test_the_doctor_looks_at_everything(home: Home) -> None:
    findings = {finding.what: finding for finding in doctor.examine()}
    assert {"python", "ray", "port 6379", "memory", "/dev/shm", "open files", "disk for state"} <= findings.keys()
    assert findings["python"].state is doctor.State.OK
    assert "cluster one" not in findings
    home.write(home.controller, "{}")
    stranded = {finding.what: finding for finding in doctor.examine()}["cluster one"]
    assert stranded.state is doctor.State.BAD
    assert "rayfleet down one" in stranded.hint
