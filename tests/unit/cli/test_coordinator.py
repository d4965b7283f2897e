"""`rayfleet coordinator` as people type it: a real one on this machine, asked for what it has, started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.launcher.coordinator.store import Store
from rayfleet.wire.coordinator.terms import Take

WISH = Take("team-a", "t1", 2, ("10.0.0.1", "10.0.0.2"), "abc", "")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    for variable in ("RAYFLEET_COORDINATOR", "RAYFLEET_COORDINATOR_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@contextmanager
def running(*words: str) -> Iterator[tuple[str, list[str]]]:
    """Give the address and the first lines of a coordinator, which ends by SIGTERM with code 0."""
    command = [sys.executable, "-m", "rayfleet", "coordinator", *words, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            said = [child.stdout.readline().strip()]
            if "0.0.0.0" in words:
                said.append(child.stdout.readline().strip())
            yield f"127.0.0.1:{said[0].rpartition(':')[2]}", said
        finally:
            child.send_signal(signal.SIGTERM)
            child.stdout.read()
    assert child.returncode == 0


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["coordinator", *words], prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result.output


def test_a_pool_is_listed_kept_and_freed(tmp_path: Path) -> None:
    state = tmp_path / "books"
    with running("--ips", "10.0.0.1, 10.0.0.2", "--state", str(state)) as (address, said):
        assert said[0].startswith("2 hosts, 0 of them held; listening at 127.0.0.1:")
        table = run("hosts", "--address", address).splitlines()
        assert [line.split() for line in table[1:]] == [["10.0.0.1", "-"], ["10.0.0.2", "-"]]
    store = Store(state)
    store.save(store.load().take(WISH, 1000.0))
    with running("--state", str(state)) as (address, said):
        assert said[0].startswith("2 hosts, 2 of them held")
        rows = json.loads(run("hosts", "--address", address, "--json"))["hosts"]
        assert [(row["address"], row["cluster"], row["machine"]) for row in rows] == [
            ("10.0.0.1", "team-a", "10.0.0.1-abc"),
            ("10.0.0.2", "team-a", "10.0.0.2-abc"),
        ]
        assert "--yes takes it back" in run("free", "10.0.0.1", "--address", address, code=2)
        told = run("free", "10.0.0.1", "--address", address, "--yes", "--json")
        assert "what runs on the host goes on, and its lease stays" in told
        assert '{"host": "10.0.0.1", "was": "team-a"}' in told
        assert "is free already" in run("free", "10.0.0.1", "--address", address)
        assert "there is no host x" in run("free", "x", "--address", address, code=2)
        again = run("hosts", "--address", address)
        assert [line.split()[:2] for line in again.splitlines()[1:]] == [["10.0.0.1", "-"], ["10.0.0.2", "team-a"]]


def test_beyond_this_machine_a_token_is_made_and_asked_for(tmp_path: Path) -> None:
    """People's commands on the coordinator's own machine find it by themselves; it is never printed."""
    with running("--hosts", "a", "--host", "0.0.0.0") as (address, said):
        token = tmp_path / "state/rayfleet/coordinator/token"
        assert said[1] == f"clusters show the token in {token}: provider.coordinator_token_file"
        secret = token.read_text(encoding="utf-8")
        assert secret not in "".join(said)
        assert "a  " in run("hosts", "--address", address)
        wrong = tmp_path / "wrong"
        wrong.write_text("guess", encoding="utf-8")
        refused = run("hosts", "--address", address, "--token-file", str(wrong), code=2)
        assert "401: the token is missing or wrong" in refused
        assert secret not in refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the pool has no hosts"),
        (["--hosts", "a,a"], "a is named twice"),
        (["--hosts", "a", "--listen", "nowhere:x"], "is no address"),
        (["--hosts", "a", "--token-file", "none"], "the token in none cannot be read"),
        (["--hosts-file", "none"], "none cannot be read"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in run(*words, code=2)


def test_nobody_there() -> None:
    assert "does not answer" in run("hosts", "--address", "127.0.0.1:1", code=2)


def test_it_is_killed_and_started_again_and_knows_all(tmp_path: Path) -> None:
    """`kill -9` leaves no lock behind."""
    command = [sys.executable, "-m", "rayfleet", "coordinator", "--hosts", "a", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with running() as (_, said):
        assert said[0].startswith("1 host, 0 of them held")
