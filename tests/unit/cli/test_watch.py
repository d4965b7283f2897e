"""`events`, `top` and `health`, as a user types them."""

import asyncio
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.reports.examples import REPORT
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.engines.ray.settings import new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.launcher.home import Home
from rayfleet.loop.clock import SystemClock
from rayfleet.reports.history import History


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the cluster `demo`, which has just ticked."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    found = homes.create("demo")
    found.write(found.config, "cluster_name: demo\nprovider: {type: process}\n")
    found.write(found.controller, "{}")
    now = SystemClock().now()  # commands compare it with the real clock
    moved = replace(REPORT, snapshot=replace(REPORT.snapshot, now=now), timings=replace(REPORT.timings, acted_at=now))

    async def record() -> None:
        history = History(found.history)
        await history.write(moved)
        await history.close()

    asyncio.run(record())
    return found


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words), prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result


def test_events_are_listed(home: Home) -> None:
    told = run("events").stdout
    assert told.splitlines()[0].split() == ["TIME", "WHAT", "POOL", "HOW", "AND", "WHY"]
    assert "launch 1 cpu4: 2 tasks wait for machines" in told
    assert run("events", "demo", "--kind", "error").stdout == "nothing like it\n"
    found = json.loads(run("events", "--kind", "drain", "--since", "10m", "--json").stdout)
    assert [(event["kind"], event["subject"], event["code"]) for event in found] == [("drain", "c3", "idle")]
    assert json.loads(run("events", "--pool", "gpu1", "--kind", "launch", "--json").stdout) == []
    assert run("events", "--record", str(home.path), "-n", "1").stdout.count("\n") == 2


def test_events_of_a_kind_that_is_none(home: Home) -> None:
    assert "did you mean launch?" in run("events", "--kind", "lunch", code=2).stderr
    assert "--since 'soon' is no moment" in run("events", "--since", "soon", code=2).stderr


def test_events_are_followed_by_programs(home: Home) -> None:
    command = [sys.executable, "-m", "rayfleet", "events", "demo", "--follow", "--json", "--kind", "drain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["kind"] == "drain"
            following.send_signal(signal.SIGINT)
            _, errors = following.communicate()
        finally:
            following.kill()
    assert (following.returncode, errors) == (0, "")


def test_without_a_terminal_top_is_one_block(home: Home) -> None:
    told = run("top").stdout
    assert told.startswith("demo  ")
    assert [title for title in ("NODES", "RESOURCES", "WAITING", "DOING", "EVENTS") if title not in told] == []
    found = json.loads(run("top", "demo", "--json").stdout)
    assert found["status"]["cluster"] == "demo"
    assert "WARNING: the controller of demo is gone" in told
    assert found["events"][-1]["kind"] == "trouble"


def test_a_cluster_that_nobody_answers_for_is_not_healthy(home: Home) -> None:
    """Its controller has just ticked, but there is no head."""
    settings = new_settings("demo", home.path)
    replace(settings, host="127.0.0.1", ports=replace(settings.ports, gcs_port=1)).save()  # nobody listens there
    result = run("health", code=1)
    assert "BAD   head: Ray's GCS at 127.0.0.1:1 does not answer" in result.stdout
    assert "ok    controller: the controller ticked " in result.stdout
    assert "CPUs are free" in result.stdout
    told = json.loads(run("health", "demo", "--cpus", "1000", "--json", code=1).stdout)
    assert (told["ok"], [check["ok"] for check in told["checks"]]) == (False, [False, True, False])
    assert told["cpus"]["wanted"] == 1000


def test_no_cluster_at_all_is_an_answer_and_a_wrong_name_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert "no cluster is up" in run("health", code=1).stderr
    assert "no cluster is called 'x'" in run("health", "x", code=2).stderr
