"""Whatever goes wrong in a command ends as one block, with the exit code that it deserves."""

import sqlite3

import pytest
import typer

from rayfleet.cli.failures import TRACEBACK_VARIABLE, explained
from rayfleet.config import ConfigInvalid, Problem
from rayfleet.contracts import EngineDown, Flaky, JobsUnavailable, LedgerUnavailable
from rayfleet.launcher.errors import ControllerDied, InvalidOrder, LauncherError, TookTooLong
from rayfleet.reports.history import HistoryUnavailable
from rayfleet.wire.ssh.session import LoginRefused, Unreachable


def ended(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as caught, explained():
        raise error
    return int(caught.value.exit_code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (LauncherError("no", "do this"), 2),
        (InvalidOrder("no", "do this"), 2),
        (ControllerDied("it died"), 1),
        (TookTooLong("not yet"), 1),
        (ConfigInvalid([Problem("is wrong", "a.b", "file.yaml", 3, 5)]), 2),
        (EngineDown("no answer"), 1),
        (JobsUnavailable("no answer"), 1),
        (LedgerUnavailable("disk full"), 1),
        (HistoryUnavailable("damaged"), 1),
        (Flaky("try again"), 1),
        (Unreachable("no answer"), 1),
        (PermissionError(13, "not yours"), 1),
        (sqlite3.Error("strange"), 1),
        (typer.Exit(7), 7),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert ended(error) == code


def test_a_hint_stands_below_its_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ended(LauncherError("first\nsecond", "do this"))
    assert capsys.readouterr().err == "error: first\n       second\n hint: do this\n"


def test_a_machine_that_does_not_let_us_in_is_no_mistake_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    ended(LoginRefused("h does not let me in"))
    told = capsys.readouterr().err
    assert "h does not let me in" in told
    assert "should not happen" not in told


def test_what_should_not_happen_asks_for_a_report_and_can_be_traced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRACEBACK_VARIABLE, raising=False)
    ended(ZeroDivisionError("division by zero"))
    quiet = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in quiet
    assert f"{TRACEBACK_VARIABLE}=1" in quiet
    assert "Traceback" not in quiet
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    ended(ZeroDivisionError("division by zero"))
    assert "Traceback" in capsys.readouterr().err
