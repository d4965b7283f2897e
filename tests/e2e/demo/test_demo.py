"""`rayfleet demo` as a user runs it: it ends well with exact numbers, and nothing stays behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.demo.leftovers import processes_of

pytestmark = [pytest.mark.ray, pytest.mark.e2e]

DEMO = (sys.executable, "-m", "rayfleet", "demo")
OK, NOT_OK, INTERRUPTED = 0, 1, 130
ENDING_S = 60.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of the test's own; whatever is alive of it afterwards is an error."""
    folder = tmp_path / "state"
    yield folder
    assert processes_of(folder) == []


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1"}


@pytest.mark.timeout(240)
def test_the_demo_ends_well_with_exact_numbers(state: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--json", "--sleep", "1"],
        env=environment(state), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    lines = ended.stdout.splitlines()
    assert len(lines) == 1, ended.stdout + ended.stderr
    told = json.loads(lines[0])

    assert (told["problems"], ended.returncode) == ([], OK), ended.stderr
    assert told["ok"] is True
    assert told["nodes_peak"] == 4
    assert told["tasks_done"] == 15 + 3 + 1
    assert told["left_behind"] == 0
    tasks, actors, placement = told["workloads"]
    assert [tasks["tasks_done"], actors["tasks_done"], placement["tasks_done"]] == [15, 0, 4]
    assert [actors["nodes_peak"], placement["nodes_peak"]] == [2, 4]
    assert 1 <= tasks["nodes_peak"] <= 4
    for times in (told, *told["workloads"]):
        assert 0 < times["demand_to_launch_s"]["p50"] <= times["demand_to_launch_s"]["max"]
        assert 0 < times["launch_to_node_s"]["p50"] <= times["launch_to_node_s"]["max"]
        assert times["scale_down_s"] > 0
    assert told["first_task_s"] > tasks["launch_to_node_s"]["p50"] / 2
    assert list((state / "rayfleet" / "clusters").iterdir()) == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("word", "signal_number"),
    [
        pytest.param(" begins ", signal.SIGINT, id="while the head boots"),
        pytest.param(" launches ", signal.SIGINT, id="while workers boot"),
        pytest.param(" joined ", signal.SIGTERM, id="while tasks start"),
    ],
)
def test_an_interrupted_demo_leaves_nothing(state: Path, word: str, signal_number: int) -> None:
    with subprocess.Popen(
        DEMO, env=environment(state), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        seen = next((line for line in demo.stdout if word in line), "")
        demo.send_signal(signal_number)
        rest, errors = demo.communicate(timeout=ENDING_S)
    assert seen, f"{word!r} was never printed"
    assert demo.returncode == INTERRUPTED, rest + errors
    assert "interrupted; nothing is left" in errors
    assert processes_of(state) == []
    assert list((state / "rayfleet" / "clusters").iterdir()) == []


@pytest.mark.timeout(180)
def test_a_demo_that_is_killed_takes_its_cluster_with_it(state: Path) -> None:
    with subprocess.Popen(DEMO, env=environment(state), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any(" joined " in line for line in demo.stdout)
        demo.kill()
    deadline = time.monotonic() + ENDING_S
    while (left := processes_of(state)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []
