"""Ctrl-C in commands that are over in a moment: a word, exit code 130, and nothing was done.

Each is held up where it reads: its file is a pipe that nobody writes to. Commands that take their time with a cluster
are interrupted in tests/e2e.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes

INTERRUPTED = 130


def interrupted(state: Path, pipe: Path, *words: str) -> tuple[int, str, str]:
    """Type a command that reads the pipe, press Ctrl-C while it does, and return exit code, output and errors."""
    os.mkfifo(pipe)
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1"}
    typed = [sys.executable, "-m", "rayfleet", *words]
    with (
        subprocess.Popen(typed, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command,
        pipe.open("w"),  # which waits until the command has opened the other end
    ):
        command.send_signal(signal.SIGINT)
        out, errors = command.communicate()
    return command.returncode, out, errors


@pytest.mark.parametrize("words", ["plan", "replay", "config check", "config show", "up"])
def test_a_command_that_reads_a_file(tmp_path: Path, words: str) -> None:
    pipe = tmp_path / "file.yaml"
    assert interrupted(tmp_path, pipe, *words.split(), str(pipe)) == (INTERRUPTED, "", "error: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"], "no cluster was begun"


@pytest.mark.parametrize("words", ["env blue", "run --cluster blue -- true", "exec blue true", "attach blue"])
def test_a_command_that_looks_up_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("blue")
    home.write(home.config, "cluster_name: blue\n")
    home.write(home.controller, "{}")  # as far as anybody can see, it is up
    assert interrupted(tmp_path, home.settings, *words.split()) == (INTERRUPTED, "", "error: interrupted\n")
