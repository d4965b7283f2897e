"""`list`, `summary` and `memory`: as a user types them, against a pretend dashboard of Ray."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli import inside
from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import known, looking
from rayfleet.launcher.home import Home
from rayfleet.testing.ray_dashboard import RayDashboard, Trouble

NODE = "a1" * 28
ACTORS = [
    {"actor_id": f"{number:032x}", "class_name": "Counter", "state": "ALIVE" if number else "DEAD", "job_id": "0100",
     "name": "", "node_id": NODE, "pid": 100 + number, "required_resources": {"CPU": 1.0, "memory": 2.0**30},
     "num_restarts": "2", "death_cause": None if number else {"x_context": {"error_message": "killed by ray.kill"}}}
    for number in range(3)
]  # fmt: skip
ROWS: dict[str, list[dict[str, Any]]] = {
    "nodes": [{"node_id": NODE, "node_ip": "10.0.0.1", "is_head_node": True, "state": "ALIVE",
               "resources_total": {"CPU": 4.0, "memory": 2.0**30, "node:10.0.0.1": 1.0}, "start_time_ms": 1000}],
    "actors": ACTORS,
    "jobs": [{"job_id": "01000000", "submission_id": "raysubmit_1", "type": "SUBMISSION", "status": "RUNNING",
              "entrypoint": "python train.py"}],
    "tasks": [{"task_id": "t1", "name": "f", "type": "NORMAL_TASK", "state": "RUNNING", "worker_pid": 7}],
    "placement_groups": [{"placement_group_id": "g1", "state": "PENDING", "stats": {"scheduling_state": "QUEUED"},
                          "bundles": [{"unit_resources": {"CPU": 1.0}, "node_id": None}] * 2}],
    "objects": [{"object_id": "o1", "object_size": 2**20, "reference_type": "LOCAL_REFERENCE", "type": "DRIVER",
                 "pid": 9, "ip": "10.0.0.1", "call_site": "train.py:3", "task_status": "NIL"}],
    "workers": [{"worker_id": "w1", "worker_type": "WORKER", "is_alive": False, "exit_type": "USER_ERROR",
                 "exit_detail": "boom", "pid": 11, "node_id": NODE}],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    found = homes.create("c")
    found.write(found.config, "cluster_name: c\nprovider: {type: process}\n")
    found.write(found.controller, "{}")
    return found


@pytest.fixture
def ray(home: Home) -> Iterator[RayDashboard]:
    """Return the dashboard of cluster `c`, which is up."""
    served = RayDashboard(token="sesame", tables=ROWS)
    with served.in_background(home.path):
        yield served


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words), prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["nodes"], ["NODE ID", NODE, "ALIVE", "CPU: 4, memory: 1GiB", "1 nodes"]),
        (["actors"], ["Counter", "CPU: 1, memory: 1GiB", "killed by ray.kill", "  2  ", "3 actors"]),
        (["jobs"], ["raysubmit_1", "SUBMISSION", "python train.py", "1 jobs"]),
        (["tasks"], ["t1", "NORMAL_TASK", "RUNNING", "1 tasks"]),
        (["placement-groups"], ["g1", "PENDING", "{CPU: 1} * 2 (0 placed)", "QUEUED", "1 placement groups"]),
        (["placement_groups", "c"], ["g1"]),
        (["objects"], ["o1", "1MiB", "DRIVER 9 at 10.0.0.1", "train.py:3"]),
        (["workers"], ["w1", "USER_ERROR: boom", "no"]),
        (["actors", "-f", "state=alive", "--limit", "1"], ["1 of 2 actors, 3 in all: --limit shows more"]),
        (["actors", "--filter", "state!=ALIVE"], ["1 actors, 3 in all", "DEAD"]),
        (["actors", "--detail", "--limit", "1"], ["actor:\n  actor_id: 0000", "  death_cause: killed by ray.kill"]),
        (["nodes", "--detail"], ["  start_time_ms: 01-01 ", "  resources_total: {'CPU': 4.0"]),
    ],
)
def test_what_is_listed(ray: RayDashboard, words: list[str], shown: list[str]) -> None:
    told = run("list", *words).stdout
    assert [text for text in shown if text not in told] == [], told


@pytest.mark.parametrize("kind", list(looking.TABLES))
def test_rows_for_programs_have_rays_own_names(ray: RayDashboard, kind: str) -> None:
    told = json.loads(run("list", kind, "c", "--json").stdout)
    rows = ROWS[kind.replace("-", "_")]
    assert (told["kind"], told["total"], told["matching"], told["cut"]) == (kind, len(rows), len(rows), False)
    for row, ours in zip(rows, told["rows"], strict=True):
        same = {key for key in row if key in ours and ours[key] == row[key]}
        assert len(same) >= 2, ours


def test_without_a_word_the_clusters_are_listed(home: Home) -> None:
    assert "c        no controller" in run("list").stdout
    assert [each["name"] for each in json.loads(run("list", "--json").stdout)] == ["c"]


def test_a_cut_answer_says_so_to_programs(ray: RayDashboard) -> None:
    told = json.loads(run("list", "actors", "--limit", "2", "--json").stdout)
    assert (len(told["rows"]), told["total"], told["cut"]) == (2, 3, True)


def test_what_ray_says_is_missing_goes_beside_the_answer(ray: RayDashboard) -> None:
    ray.warnings["objects"] = ["Callsite is not being recorded."]
    result = run("list", "objects")
    assert "note: Callsite is not being recorded." in result.stderr
    assert "Callsite" not in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["list", "nods"], 2, "did you mean nodes?"),
        (["list", "actors", "c", "more"], 2, "'more' is one word too many"),
        (["list", "actors", "--filter", "state"], 2, "is not KEY=VALUE"),
        (["list", "actors", "--filter", "colour=red"], 2, "colour is not supported"),
        (["list", "actors", "--limit", "0"], 2, "--limit"),
        (["list", "actors", "d"], 2, "no cluster is called 'd'"),
        (["summary", "jobs"], 2, "there is no summary of 'jobs'"),
        (["summary"], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_is_refused(ray: RayDashboard, words: list[str], code: int, message: str) -> None:
    assert message in run(*words, code=code).stderr


def test_a_head_that_does_not_answer_ends_with_1(ray: RayDashboard) -> None:
    ray.trouble = Trouble.FAILS
    for words in (["list", "nodes"], ["summary", "tasks"], ["memory"]):
        said = run(*words, code=1).stderr
        assert "Failed to query data from GCS" in said
        assert "hint: " in said


def test_a_cluster_that_is_down(home: Home) -> None:
    home.forget_ray()
    assert "c is down" in run("list", "nodes", code=2).stderr


def test_summaries(ray: RayDashboard) -> None:
    told = run("summary", "actors").stdout
    assert "Counter" in told
    assert "ALIVE: 2, DEAD: 1" in told
    assert json.loads(run("summary", "tasks", "c", "--json").stdout)["rows"] == [
        {"name": "f", "type": "NORMAL_TASK", "state_counts": {"RUNNING": 1}}
    ]
    site = {"total_objects": 2, "total_size_mb": 3.0, "total_num_workers": 1, "total_num_nodes": 1,
            "ref_type_counts": {"LOCAL_REFERENCE": 2}}  # fmt: skip
    ray.summaries["objects"] = {"summary": {"train.py:3": site}, "total_objects": 2}
    told = run("summary", "objects").stdout
    assert [text for text in ("3MiB", "LOCAL_REFERENCE: 2", "train.py:3", "total_objects: 2") if text not in told] == []
    ray.totals["tasks"] = 9
    assert "not all of 9 were counted" in run("summary", "tasks").stderr


def test_memory(ray: RayDashboard) -> None:
    store = {"objectStoreBytesUsed": str(2**20), "objectStoreBytesAvail": str(2**22), "spilledBytesTotal": str(2**30)}
    raylet = {"nodeId": NODE, "state": "ALIVE", "nodeManagerAddress": "10.0.0.1", "storeStats": store}
    ray.node_pages = [{"raylet": raylet, "mem": [2**34, 2**33, 50.0, 2**33]}]
    told = run("memory").stdout
    shown = ("a1a1a1a1", "1MiB of 4MiB", "25%", "1GiB", "8GiB of 16GiB", "o1", "train.py:3", "1 objects")
    assert [text for text in shown if text not in told] == [], told
    assert "o1" not in run("memory", "--stats-only").stdout
    found = json.loads(run("memory", "c", "--json").stdout)
    assert found["nodes"][0]["store_capacity_bytes"] == 2**22
    assert found["largest"]["rows"][0]["object_id"] == "o1"


def test_the_words_of_the_command_line_are_those_of_the_room_below() -> None:
    assert {word.replace("_", "-") for word in inside.TABLES} == set(looking.TABLES)
    assert inside.SUMMARIES == looking.SUMMARIES


def test_the_token_is_shown_to_nobody(ray: RayDashboard) -> None:
    ray.token = "another"
    result = run("list", "nodes", code=1)
    assert "sesame" not in result.output
    assert "Unauthorized" in result.stderr


def test_memory_that_ray_has_not_looked_at_is_not_shown_as_0(ray: RayDashboard) -> None:
    raylet = {"nodeId": NODE, "state": "ALIVE", "nodeManagerAddress": "10.0.0.1"}
    ray.node_pages = [{"raylet": raylet | {"resourcesTotal": {"objectStoreMemory": 2.0**30}}}]
    row = next(line for line in run("memory", "--stats-only").stdout.splitlines() if "10.0.0.1" in line)
    assert row.split("10.0.0.1")[1].split() == ["?", "of", "1GiB", "?", "?", "?", "of", "?"]
    (node,) = json.loads(run("memory", "--json").stdout)["nodes"]
    assert (node["store_used_bytes"], node["spilled_bytes"], node["memory_used_bytes"]) == (None, None, None)
