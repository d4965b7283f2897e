"""Every file in examples/ is run as its README says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.demo.leftovers import processes_of

pytestmark = [pytest.mark.ray, pytest.mark.e2e]

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
RAYFLEET = (sys.executable, "-m", "rayfleet")


def run(state: Path, *command: str, timeout_s: float = 100.0) -> str:
    """Run a command from the checkout's root as a user would, and return its output; it must end well."""
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1"}
    ended = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cluster of examples/cluster.yaml; yields its state folder."""
    state = tmp_path_factory.mktemp("state")
    try:
        assert "cluster example is up" in run(state, *RAYFLEET, "up", "examples/cluster.yaml")
        yield state
    finally:
        run(state, *RAYFLEET, "down", "example")
    assert processes_of(state) == []


def program(state: Path, script: str, *arguments: str) -> str:
    return run(state, *RAYFLEET, "run", "--", "python", f"examples/{script}", *arguments)


def test_every_example_is_in_the_readme_and_run_here() -> None:
    readme, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    for path in EXAMPLES.iterdir():
        if path.name != "README.md":
            assert f"({path.name})" in readme
            assert tests.count(path.name) > 0


def test_the_cluster_file_is_fine(tmp_path: Path) -> None:
    assert "is fine" in run(tmp_path, *RAYFLEET, "config", "check", "examples/cluster.yaml")


def test_a_file_for_a_cloud_says_what_it_would_make(tmp_path: Path) -> None:
    output = run(tmp_path, *RAYFLEET, "up", "examples/clusters/aws-minimal.yaml", "--dry-run")
    assert "create  1 x head (m5.large)" in output
    assert output.endswith("nothing was done: this was a dry run\n")


def test_tasks_say_where_they_ran(example: Path) -> None:
    output = program(example, "task_hostnames.py", "--tasks", "5", "--sleep", "0.5")
    assert [sum(line.startswith(f"task {n} ran on ") for line in output.splitlines()) for n in range(1, 6)] == [1] * 5


def test_an_actor_outlives_its_program_until_it_is_ended(example: Path) -> None:
    assert "actor1 lives on node " in program(example, "detached_actor.py", "actor1")
    actors = run(example, *RAYFLEET, "run", "--", "ray", "list", "actors", "--filter", "state=ALIVE")
    assert "actor1" in actors
    assert "actor1 was ended" in program(example, "terminate_detached_actor.py", "actor1")


def test_a_group_is_spread_and_a_label_is_found(example: Path) -> None:
    output = program(example, "spread_and_label.py")
    assert "3 bundles ran on 3 nodes" in output
    assert ", tier spot, " in output


@pytest.mark.timeout(240)
def test_the_tour_goes_to_its_end(tmp_path: Path) -> None:
    output = run(tmp_path, sys.executable, "examples/tour.py", timeout_s=200)
    assert "three bundles ran on 3 nodes" in output
    assert "the labelled task ran where tier is spot" in output
    assert "workers after" in output
    assert "three tasks ran on 2 nodes" in output
    assert "no pool can ever hold {CPU: 64}" in output
    assert output.endswith("the cluster is gone\n")
    assert processes_of(tmp_path) == []
