"""What `up` says about the dashboard that it starts, and when it starts none."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli import page
from rayfleet.cli.app import app
from rayfleet.launcher import lease
from rayfleet.launcher.page import Page


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv(page.VARIABLE, "on")
    (tmp_path / "rayfleet").mkdir()
    return tmp_path / "rayfleet"


@pytest.fixture
def served(folder: Path) -> None:
    """Have this very process taken for the server."""
    found = Page("http://127.0.0.1:8300/", lease.described(os.getpid(), "dashboard"))
    (folder / "dashboard.json").write_text(json.dumps(asdict(found)))


def test_the_one_that_is_there_is_told(served: None) -> None:
    assert page.started("a b") == "http://127.0.0.1:8300/c/a%20b"


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false", "no"])
def test_it_is_switched_off(served: None, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert page.started("a", unwanted=True) == ""
    monkeypatch.setenv(page.VARIABLE, value)
    assert page.started("a") == ""


def test_what_is_wrong_is_told_and_fails_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "file"))
    assert page.started("a") == ""
    told = capsys.readouterr()
    assert told.out == ""
    assert "the dashboard was not started" in told.err
    assert "hint: rayfleet dashboard starts it in this terminal" in told.err


def test_the_command_tells_the_one_in_the_background(served: None) -> None:
    answer = CliRunner().invoke(app, ["dashboard", "--no-open"])
    assert answer.exit_code == 0
    assert answer.output == "The dashboard is at http://127.0.0.1:8300/ in the background; --stop ends it\n"


def test_stop_says_that_there_is_none(folder: Path) -> None:
    assert "no dashboard is served in the background" in CliRunner().invoke(app, ["dashboard", "--stop"]).output
