"""`logs`: the controller's by default, else those of a node's Ray, against a pretend dashboard."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.launcher.home import Home
from rayfleet.launcher.logs import CONTROLLER_LOG
from rayfleet.testing.ray_dashboard import RayDashboard

HEAD, WORKER = "a1" * 28, "b2" * 28


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    found = homes.create("c")
    found.write(found.config, "cluster_name: c\nprovider: {type: process}\n")
    found.write(found.controller, "{}")
    (found.logs / CONTROLLER_LOG).write_text("one\nlaunched two\nthree\n", encoding="utf-8")
    return found


@pytest.fixture
def ray(home: Home) -> Iterator[RayDashboard]:
    """Return the dashboard of cluster `c`, which is up."""
    nodes = [
        {"node_id": HEAD, "is_head_node": True, "state": "ALIVE"},
        {"node_id": WORKER, "is_head_node": False, "state": "ALIVE"},
    ]
    logs = {
        HEAD: {"gcs_server.out": "a\nb\n", "raylet.out": "c\n"},
        "actor_id": {"f00": "acted\n"},
        "submission_id": {"raysubmit_1": "submitted\nand done\n"},
        WORKER: {"raylet.out": "1\n2\n3\n", "worker-1.err": "Traceback x\nok\n", "worker-2.err": "Traceback y\n"},
    }
    served = RayDashboard(tables={"nodes": nodes}, logs=logs, ends=True)
    with served.in_background(home.path):
        yield served


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["logs", *words], prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "one\nlaunched two\nthree\n"),
        (["c", "-n", "1"], "three\n"),
        (["--lines", "0"], ""),
        (["--search", "LAUNCHED"], "launched two\n"),
        (["--search", "e", "--tail", "1"], "three\n"),
    ],
)
def test_of_the_controller(home: Home, words: list[str], shown: str) -> None:
    assert run(*words).stdout == shown


def test_of_the_controller_for_programs(home: Home) -> None:
    assert json.loads(run("--json", "-n", "1").stdout) == {"cluster": "c", "name": "controller.log", "lines": ["three"]}
    assert run("--path").stdout.splitlines()[0].endswith(CONTROLLER_LOG)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["gcs_server.out"], "a\nb\n"),
        (["c", "raylet.out", "--node-id", "b2b2", "--tail", "2"], "2\n3\n"),
        (["raylet.out", "-id", WORKER], "1\n2\n3\n"),
        (
            ["*.err", "--node-id", "b2", "--search", "traceback"],
            "worker-1.err: Traceback x\nworker-2.err: Traceback y\n",
        ),
        (["raylet*", "--node-id", "b2"], "1\n2\n3\n"),
        (["cluster", "gcs_server.out"], "a\nb\n"),
        (["actor", "--id", "f00"], "acted\n"),
        (["actor", "c", "--id", "f00", "--follow"], "acted\n"),
        (["job", "--id", "raysubmit_1", "--tail", "1"], "and done\n"),
        (["raylet.out", "--node-id", "b2", "--follow", "-n", "1"], "3\n"),
    ],
)
def test_of_a_node(ray: RayDashboard, words: list[str], shown: str) -> None:
    assert run(*words).stdout == shown


def test_the_files_of_a_node_are_listed(ray: RayDashboard) -> None:
    told = run("--node-id", "b2").stdout
    assert told.splitlines()[0].split() == ["COMPONENT", "FILE"]
    assert len(told.splitlines()) == 4
    assert "worker-2.err" in run("worker*", "--node-id", "b2").stdout
    found = json.loads(run("--node-id", "b2", "--json").stdout)
    assert found["node_id"] == WORKER
    assert {"name": "raylet.out", "component": "raylet"} in found["files"]


def test_of_an_actor_for_programs(ray: RayDashboard) -> None:
    told = json.loads(run("actor", "--id", "f00", "--err", "--json").stdout)
    assert told == {"logs": [{"name": "actor f00", "lines": ["acted"], "cut": False}]}
    assert ray.asked[-1][1]["suffix"] == "err"


def test_the_files_of_the_head_are_those_of_the_cluster(ray: RayDashboard) -> None:
    assert "gcs_server.out" in run("cluster").stdout


def test_of_a_node_for_programs(ray: RayDashboard) -> None:
    told = json.loads(run("raylet.out", "--node-id", "b2", "-n", "1", "--json").stdout)
    assert told == {"node_id": WORKER, "logs": [{"name": "raylet.out", "lines": ["3"], "cut": True}]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gcs_server.ou"], "did you mean gcs_server.out?"),
        (["--node-id", "ffff"], "there is no node ffff"),
        (["a.out", "b"], "'b' is one word too many"),
        (["d"], "no cluster is called 'd'"),
        (["actor"], "which actor?"),
        (["actor", "--id", "f00", "--node-id", "b2"], "beside actor"),
        (["actor", "--id", "f01"], "not found"),
        (["--id", "f00"], "--id and --err are of an actor, task or job"),
        (["--follow", "--json"], "contradict each other"),
        (["*.err", "--node-id", "b2", "--follow"], "--follow follows one file, and 2 match"),
    ],
)
def test_what_cannot_be_is_refused(ray: RayDashboard, words: list[str], message: str) -> None:
    assert message in run(*words, code=2).stderr
