"""Ray's own commands on a default cluster: on the head (`rayfleet exec`), and in another shell (`rayfleet env`)."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from pathlib import Path

import pytest
from tests.guides.desk import Answer, Cluster, together
from tests.guides.entries import typed

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

NODE = "NODE"
JOB = "ray job submit -- python -c 'import ray; ray.init(); print(ray.cluster_resources())'"
COMMANDS = (
    "ray status",
    "ray summary actors",
    "ray summary tasks",
    "ray memory",
    "ray list actors",
    "ray logs cluster",
    f"ray logs cluster --node-id={NODE}",
    JOB,
)
ONLY_HELP = ("ray logs", f"ray logs --node-id={NODE}")
"""What this Ray answers with its help, wherever it is typed."""
USAGE = 2
Told = dict[tuple[str, str], Answer]


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Told:
    """What each command says, both ways. They are slow, so they are typed in two shells at a time."""
    cluster.until_workers()
    head = cluster.head["node_id"]
    ways = {"exec": cluster.by_exec, "shell": cluster.by_shell}
    asked = [(way, command) for way in ways for command in COMMANDS] + [("exec", command) for command in ONLY_HELP]
    return together({(way, command): partial(ways[way], command.replace(NODE, head)) for way, command in asked})


@pytest.fixture(params=["exec", "shell"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def well(told: Told, way: str, command: str) -> str:
    answer = told[way, command]
    assert answer.code == 0, answer.text
    return answer.out


def test_status(told: Told, way: str) -> None:
    said = well(told, way, "ray status")
    assert re.search(r"^Idle:\n( .*\n)* 1 head$|^Active:\n( .*\n)* 1 head$", said, re.MULTILINE)
    assert "Pending:\n (no pending nodes)\nRecent failures:\n (no failures)" in said
    assert "(no resource demands)" in said


def test_summary_actors(told: Told, way: str, cluster: Cluster) -> None:
    said = well(told, way, "ray summary actors")
    assert re.search(r"Resident +ALIVE: 1", said)
    assert re.search(r"Resident +- +ALIVE: 1", cluster.desk.well("rayfleet", "summary", "actors"))


def test_summary_tasks(told: Told, way: str, cluster: Cluster) -> None:
    said = well(told, way, "ray summary tasks")
    assert re.search(r"small_task +FINISHED: 3 +NORMAL_TASK", said)
    assert re.search(r"small_task +NORMAL_TASK +FINISHED: 3", cluster.desk.well("rayfleet", "summary", "tasks"))


def test_memory(told: Told, way: str, cluster: Cluster) -> None:
    said = well(told, way, "ray memory")
    assert "ray::Resident" in said or re.search(r"\b300\d{3}\.?\d* ", said)
    assert "1 objects" in said
    assert re.search(r"29\d\.?\d*KiB +LOCAL_REFERENCE", cluster.desk.well("rayfleet", "memory"))


def test_list_actors(told: Told, way: str) -> None:
    said = well(told, way, "ray list actors")
    columns = ("ACTOR_ID", "CLASS_NAME", "STATE", "JOB_ID", "NAME")
    header = next(line for line in said.splitlines() if "ACTOR_ID" in line)
    assert [word for word in header.split() if word in columns] == list(columns)
    assert re.search(r"Resident +ALIVE +\w+ +resident", said)


def test_logs(told: Told, way: str, cluster: Cluster) -> None:
    alone = told["exec", "ray logs"]
    assert "Usage: ray logs" in alone.text
    files = well(told, way, "ray logs cluster")
    for file in ("gcs_server.out", "raylet.out", "monitor.log", "autoscaler.log"):
        assert f"- {file}" in files
        assert cluster.desk.run("rayfleet", "logs", file).code == 0


def test_logs_of_a_node(told: Told, way: str, cluster: Cluster) -> None:
    alone = told["exec", f"ray logs --node-id={NODE}"]
    assert (alone.code, "No such option" in alone.err) == (USAGE, True)
    assert "- raylet.out" in well(told, way, f"ray logs cluster --node-id={NODE}")
    ours = cluster.desk.well("rayfleet", "logs", f"--node-id={cluster.head['node_id']}")
    assert re.search(r"^raylet +raylet\.out$", ours, re.MULTILINE)


def test_job_submit(told: Told, way: str) -> None:
    said = well(told, way, JOB)
    assert "node:__internal_head__" in said
    assert re.search(r"Job 'raysubmit_\w+' succeeded", said)


# ---- the autoscaler's own words --------------------------------------------------------------------------------------


def shapes(text: str) -> list[str]:
    """Return lines without their numbers, and without the comment marks of a guide."""
    lines = (line.removeprefix("#").removeprefix(" ") if line.startswith("#") else line for line in text.splitlines())
    return [re.sub(r"[\d.]+([KMG]i)?B?", "N", line.replace("head-group", "head")) for line in lines if line.strip()]


@pytest.mark.parametrize("output", ["status_output", "ack_status_output"])
def test_status_in_the_guides_words(cluster: Cluster, output: str) -> None:
    cluster.until_workers()
    said = shapes(cluster.desk.well("rayfleet", "status"))
    wanted = shapes(typed(output))
    assert [line for line in said if line in wanted] == wanted


@pytest.mark.parametrize("file", ["monitor.log", "autoscaler.log"])
def test_log_files(cluster: Cluster, file: str) -> None:
    """`tail -f` as the guide types it, where the cluster is the first of this machine; Ray's own command elsewhere."""
    if cluster.default_ports:
        said = followed(f"/tmp/ray/session_latest/logs/{file}")
    else:
        said = cluster.by_exec(f"ray logs {file}").out
    wanted = {line for line in shapes(typed("log_output")) if "INFO" not in line and "======" not in line}
    assert wanted <= set(shapes(said))
    assert "======== Autoscaler status" in said
    assert re.search(r"The autoscaler took [\d.]+ seconds to complete the update iteration\.", said)


def followed(path: str) -> str:
    """Return the end of a file, as far as `tail -f` prints it at once."""
    assert Path(path).exists()
    with subprocess.Popen(["tail", "-n", "200", "-f", path], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        lines = []
        for line in tail.stdout:
            lines.append(line)
            if "The autoscaler took" in line and "no nodes" not in line and len(lines) > 20:
                break
        tail.terminate()
    return "".join(lines)
