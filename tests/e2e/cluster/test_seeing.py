"""What runs inside a cluster of this machine, as a user types it: list, summary, memory, logs, events, top, health."""

import json
from pathlib import Path

import pytest
from tests.e2e.cluster.fleet import Fleet, config

pytestmark = [pytest.mark.ray, pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "seen"
HOLD = """
import ray
ray.init(namespace="seen")
@ray.remote(num_cpus=1)
class Holder:
    def ready(self):
        print("printed by the holder")
Holder.options(name="holder", lifetime="detached").remote()
ray.get(ray.get_actor("holder").ready.remote())
"""


@pytest.fixture(scope="module")
def seen(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return a fleet whose cluster has one worker, on which an actor lives."""
    fleet("up", config(tmp_path_factory.mktemp("files"), NAME))
    fleet.python(HOLD, "--cluster", NAME)
    return fleet


def test_what_runs(seen: Fleet) -> None:
    told = seen.json("list", "actors", NAME, "--filter", "state=ALIVE")
    assert [(row["class_name"], row["required_resources"]) for row in told["rows"]] == [("Holder", {"CPU": 1.0})]
    nodes = seen.json("list", "nodes", "-f", "state=ALIVE")["rows"]
    known = {machine["id"]: machine["node_id"] for machine in seen.status(NAME)["machines"]}
    assert {row["node_id"] for row in nodes} == set(known.values())
    assert "Holder" in seen("summary", "actors").stdout
    assert "Holder.ready" in seen("summary", "tasks", NAME).stdout
    seen.wait(lambda: "0% " in seen("memory").stdout)  # before Ray has looked at a node there is a ? in its place
    assert "DRIVER" in seen("list", "jobs").stdout
    assert NAME in seen("list").stdout


def test_logs_of_the_worker(seen: Fleet) -> None:
    (machine,) = [each for each in seen.status(NAME)["machines"] if not each["head"]]
    files = seen.json("logs", "--node-id", machine["node_id"][:8])
    assert files["node_id"] == machine["node_id"]
    assert "raylet.out" in {file["name"] for file in files["files"]}
    of_machine = seen("logs", "worker*.out", "--node-id", machine["machine_id"], "--search", "BY THE HOLDER").stdout
    assert "printed by the holder" in of_machine
    assert seen("logs", "gcs_server.out", "--tail", "2").stdout.count("\n") == 2
    with seen.begun("logs", "worker*.out", "--node-id", machine["node_id"], "-f", "--search", "printed") as following:
        assert following.stdout is not None
        assert "printed by the holder" in following.stdout.readline()
        assert seen.interrupted(following) == ""
        assert following.returncode == 0


def test_what_an_actor_and_a_job_have_printed(seen: Fleet) -> None:
    (actor,) = seen.json("list", "actors", "-f", "state=ALIVE")["rows"]
    assert "printed by the holder" in seen("logs", "actor", "--id", actor["actor_id"]).stdout
    (seen.folder / "says.py").write_text("print('printed by the job')\n")
    job = seen("submit", "--no-wait", "says.py").stdout.strip()
    seen.wait(lambda: "printed by the job" in seen("logs", "job", "--id", job, check=False).stdout)
    assert job in seen("list", "jobs", "--filter", "type=SUBMISSION").stdout


def test_an_archive_has_what_nodes_have_written(seen: Fleet, tmp_path: Path) -> None:
    told = seen.json("archive", NAME, "--to", tmp_path, "--node-logs", "50")
    kept = Path(told["at"])
    for machine in seen.status(NAME)["machines"]:
        assert (kept / "nodes" / machine["node_id"] / "raylet.out").stat().st_size > 0
    printed = [path.read_text(encoding="utf-8") for path in kept.glob("nodes/*/worker*.out")]
    assert any("printed by the holder" in text for text in printed)
    assert [each for each in told["missing"] if each["why"] != "only its end is kept"] == []


def test_events_and_the_screen(seen: Fleet) -> None:
    kinds = [event["kind"] for event in seen.json("events", NAME)]
    assert {"launch", "ready"} <= set(kinds)
    shown = seen("top").stdout
    assert shown.startswith(f"{NAME}  ")
    assert [title for title in ("NODES", "RESOURCES", "EVENTS") if title not in shown] == []


def test_health(seen: Fleet, tmp_path: Path) -> None:
    told = seen.json("health", NAME)
    assert told["ok"]
    assert [check["name"] for check in told["checks"]] == ["head", "controller", "room"]
    assert told["cpus"]["free"] + told["cpus"]["startable"] >= 5
    short = seen("health", "--cpus", "1000", check=False)
    assert short.returncode == 1
    assert "1000 are wanted" in short.stdout
    assert json.loads(seen("health", "--cpus", "1000", "--json", check=False).stdout)["ok"] is False
