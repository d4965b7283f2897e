"""A controller that is still starting has its lease already, so orders and Ctrl-C may come before it can listen."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.home import Home

LIMIT_S = 100.0  # of a test that hangs: a busy machine takes its time to start a Python


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a cluster whose configuration is a pipe: who starts to control it waits there until somebody writes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.settings.write_text("{}")
    os.mkfifo(home.config)
    return home


@contextmanager
def controller(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "rayfleet.launcher.controller", "one", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_alive(process: subprocess.Popen[str]) -> bool:
    """Look for a moment."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.02)
    return process.returncode is None


def write_when_it_is_read(
    pipe: Path, process: subprocess.Popen[str], meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Write what is no configuration, as soon as the process, if it lives, waits for something to come."""
    while is_alive(process):
        with suppress(OSError):  # nobody reads yet
            end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            meanwhile()
            os.write(end, b"]")
            os.close(end)
            return


def test_an_order_does_not_end_a_controller_that_cannot_listen_yet(home: Home) -> None:
    with controller() as process:
        while is_alive(process) and lease.is_free(home):
            pass
        process.send_signal(signal.SIGUSR1)
        write_when_it_is_read(home.config, process)
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert errors.startswith("error: ")
    assert "cluster.yaml:1:1: is not valid YAML" in errors
    assert "Traceback" not in errors


def test_ctrl_c_before_the_controller_is_loaded_waits_for_it(home: Home, tmp_path: Path) -> None:
    """Its interpreter is held up by a pipe, once the command line has turned into it."""
    home.settings.unlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "sitecustomize.py").write_text(f"open({str(pipe)!r}).read()")
    code = (
        f"import os; from rayfleet.launcher import daemon; os.environ['PYTHONPATH'] = {str(tmp_path)!r}; "
        "daemon.become_controller('one', daemon.FOREGROUND)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        write_when_it_is_read(pipe, process, lambda: process.send_signal(signal.SIGINT))
        _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (2, "error: cluster one is down\n hint: rayfleet up one\n")


def test_who_cannot_be_controlled_is_a_mistake_of_whoever_asked(home: Home) -> None:
    home.settings.unlink()
    with controller() as process:
        _, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (2, "error: cluster one is down\n hint: rayfleet up one\n")
