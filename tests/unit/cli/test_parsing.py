"""What the command line makes of words: help, versions, mistakes, exit codes. No cluster is started here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rayfleet import __version__
from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import known


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin, prog_name="rayfleet")


VERBS = [
    "up", "down", "list", "env", "run", "exec", "attach", "submit", "status", "why", "history", "logs", "scale",
    "drain", "set", "plan", "replay", "schema", "doctor", "demo", "rsync-up", "rsync-down", "monitor", "get-head-ip",
    "get-worker-ips", "dashboard", "kill-random-node", "gc", "coordinator", "metrics",
]  # fmt: skip


@pytest.mark.parametrize(
    "verb",
    [[verb] for verb in VERBS]
    + [["config", "check"], ["config", "show"], ["coordinator", "hosts"], ["coordinator", "free"]],
)
def test_every_verb_explains_itself_with_examples(verb: list[str]) -> None:
    result = run(*verb, "--help")
    assert result.exit_code == 0
    assert f"Usage: rayfleet {' '.join(verb)}" in result.stdout
    assert f"rayfleet {' '.join(verb)}" in result.stdout.partition("Examples:\n")[2].partition("\n\n")[0]


def test_the_first_page_says_how_to_start() -> None:
    result = run("--help")
    assert "rayfleet up " in result.stdout
    assert all(f"\n  {verb} " in result.stdout for verb in VERBS)


def test_the_version_is_the_packages() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "rayfleet", "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert told == run("--version").stdout == f"rayfleet {__version__}\n"


def test_the_version_costs_no_parser() -> None:
    """It is asked by scripts all the time."""
    code = "import sys; from rayfleet.cli import main; sys.argv = ['rayfleet', '-V']; main(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"typer", "rich", "pydantic", "ray", "grpc", "numpy"} & set(loaded.split())


def test_help_loads_neither_ray_nor_the_planner() -> None:
    code = "import sys, rayfleet.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"rich", "pydantic", "ray", "grpc", "numpy", "rayfleet.planner"} & set(loaded.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["up", "--nme", "x"], "No such option: --nme"),
        (["scale"], "Missing argument '[CLUSTER] POOL N'"),
        (["scale", "cpu4"], "error: scale needs a pool and a number"),
        (["scale", "cpu4", "3", "--clear"], "error: scale --clear needs a pool"),
        (["scale", "cpu4", "many"], "error: no cluster is up"),
        (["set", "idle_timeout_s"], "error: set needs KEY=VALUE"),
        (["set", "idle_timeout_s=3", "--clear"], "error: set --clear needs KEY without a value"),
        (["set", "idle_timeout_s", "--clear"], "error: no cluster is up"),
        (["drain", "a", "b"], "error: drain needs one machine"),
        (["status"], "error: no cluster is up on this machine\n hint: start one: rayfleet up"),
        (["status", "blue"], "error: no cluster is called 'blue' on this machine"),
        (["env"], "error: no cluster is up on this machine"),
        (["run", "--", "true"], "error: no cluster is up on this machine"),
        (["exec", "true"], "error: no cluster is up on this machine"),
        (["logs"], "error: no cluster is up on this machine"),
        (["plan"], "error: no cluster is up on this machine"),
        (["plan", "nosuch"], "error: there is no file nosuch"),
        (["plan", "nosuch.yaml"], "error: there is no file nosuch.yaml"),
        (["plan", "."], "error: . is a folder"),
        (["up", "nosuch.yaml"], "error: there is no file nosuch.yaml"),
        (["up", "--name", "a/b"], "error: 'a/b' cannot be the name of a cluster"),
        (["config", "check", "nosuch.yaml"], "error: there is no file nosuch.yaml"),
        (["schema", "nosuch"], "'nosuch' is not one of"),
    ],
)
def test_a_mistake_is_one_block_and_exit_code_2(words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cluster_that_is_down_is_told_from_one_that_never_was() -> None:
    home = homes.create("blue")
    home.write(home.config, "cluster_name: blue\n")
    result = run("env", "blue")
    assert result.exit_code == 2
    assert "error: cluster blue is down\n hint: rayfleet up blue" in result.stderr


def test_a_cluster_that_is_down_is_listed() -> None:
    home = homes.create("blue")
    home.write(home.config, "cluster_name: blue\n")
    assert run("list", "--json").stdout.startswith('[{"name": "blue", "state": "down"')


def test_ending_nothing_is_done_already() -> None:
    result = run("down")
    assert (result.exit_code, result.stdout) == (0, "no cluster is up on this machine\n")
    assert run("down", "--json").stdout == "[]\n"
    assert run("down", "blue").exit_code == 2


def test_nothing_listed_is_said() -> None:
    assert run("list").stdout == "no cluster was started on this machine\n"
    assert run("list", "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("rayfleet hist", {"history"}),
        ("rayfleet config ", {"check", "show"}),
        ("rayfleet status b", {"blue"}),
        ("rayfleet up --fore", {"--foreground"}),
        ("rayfleet schema s", {"scenario", "status"}),
        ("rayfleet list ac", {"actors"}),
        ("rayfleet list actors ", {"blue"}),
        ("rayfleet summary t", {"tasks"}),
        ("rayfleet memory ", {"blue"}),
    ],
)
def test_a_shell_completes_verbs_options_and_names(typed: str, offered: set[str]) -> None:
    home = homes.create("blue")
    home.write(home.config, "cluster_name: blue\n")
    words = typed.split(" ")
    asked = {"_RAYFLEET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    command = Path(sys.executable).with_name("rayfleet")
    told = subprocess.run([command], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert set(told.stdout.split()) == offered, told.stderr
