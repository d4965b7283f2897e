"""A cluster from a file, beside the default one: the guides' `ray up`, `attach`, `submit`, `down`, and its head's end.

Two clusters are up here, so commands name theirs; all of Ray's are typed for the second, and each answers for itself.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.guides.conftest import RESIDENT
from tests.guides.desk import Answer, Cluster, Desk, together

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

NAME = "my-ray-cluster"
FILE = f"""\
cluster_name: {NAME}
max_workers: 10
idle_timeout_minutes: 1
upscaling_speed: 1.0
provider:
  type: process
monitoring_config:
  prometheus:
    enabled: true
    port: 9090
available_node_types:
  ray.head.default:
    resources: {{"CPU": 1}}
  ray.worker.cpu:
    min_workers: 0
    max_workers: 5
    resources: {{"CPU": 2}}
"""
SCRIPT = """
import ray

ray.init()
print("CPUs:", ray.cluster_resources().get("CPU", 0.0))
"""
SEVERAL = 2
JOB = "ray job submit -- python $FOLDER/script.py"
COMMANDS = (
    "ray status",
    "ray summary actors",
    "ray summary tasks",
    "ray memory",
    "ray list actors",
    "ray list nodes",
    "ray logs cluster --node-id=$HEAD",
    JOB,
    "python -c 'import ray; ray.init(); print(sorted(ray.available_resources()))'",
    'python -c \'import ray; ray.init("auto"); print(ray.get_actor("resident", "guides"))\'',
    "python -c 'import ray; ray.init(\"ray://$CLIENT\"); print(len(ray.nodes()))'",
)


@pytest.fixture(scope="module")
def both(cluster: Cluster) -> Iterator[tuple[Cluster, Cluster]]:
    """The default cluster and one of a file."""
    desk = cluster.desk
    desk.write("cluster.yaml", FILE)
    desk.write("script.py", SCRIPT)
    try:
        assert f"cluster {NAME} is up" in desk.well("rayfleet", "up", "cluster.yaml")
        second = Cluster(desk, NAME, named=True)
        second.program(RESIDENT)
        second.until_jobs_start()
        yield Cluster(desk, "default", cluster.default_ports, named=True), second
    finally:
        desk.well("rayfleet", "down", NAME)


@pytest.fixture
def second(both: tuple[Cluster, Cluster]) -> Cluster:
    return both[1]


def test_up(second: Cluster) -> None:
    assert second.head["pool"] == "ray.head.default"
    assert second.head["resources"]["CPU"] == 1
    assert second.until_workers() == []


def test_attach(desk: Desk, second: Cluster) -> None:
    said = desk.well("rayfleet", "attach", "cluster.yaml", entered="ray status\nexit\n")
    assert "1 ray.head.default" in said


def test_submit(desk: Desk, second: Cluster) -> None:
    said = desk.well("rayfleet", "submit", "cluster.yaml", "script.py")
    assert "CPUs: 1.0" in said


def test_metrics_are_at_the_port_of_the_file(desk: Desk, second: Cluster) -> None:
    told = json.loads(desk.well("rayfleet", "metrics", NAME, "--json"))
    assert told["url"].endswith(":9090/metrics")
    with urlopen(told["url"], timeout=30) as answer:
        figures = answer.read().decode()
    assert (
        f'autoscaler_active_nodes{{Namespace="default",NodeType="ray.head.default",RayClusterName="{NAME}"' in figures
    )


# ---- two clusters ----------------------------------------------------------------------------------------------------

Told = dict[tuple[str, str, str], Answer]


@pytest.fixture(scope="module")
def told(both: tuple[Cluster, Cluster]) -> Told:
    calls = {}
    for each in both:
        head, client = each.head["node_id"], each.client
        for command in COMMANDS if each.name == NAME else ("ray status", "ray list nodes"):
            line = command.replace("$HEAD", head).replace("$CLIENT", client).replace("$FOLDER", str(each.desk.folder))
            calls[each.name, "shell", command] = partial(each.by_shell, line)
        calls[each.name, "exec", "ray status"] = partial(each.by_exec, "ray status")
        calls[each.name, "run", "ray status"] = partial(each.by_run, "ray status")
    return together(calls)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_works_for_the_second(told: Told, command: str) -> None:
    answer = told[NAME, "shell", command]
    assert answer.code == 0, answer.text


def test_each_answers_for_itself(told: Told, both: tuple[Cluster, Cluster]) -> None:
    for way in ("shell", "exec", "run"):
        assert re.search(r"^ 1 head$", told["default", way, "ray status"].out, re.MULTILINE)
        assert re.search(r"^ 1 ray\.head\.default$", told[NAME, way, "ray status"].out, re.MULTILINE)
    for each in both:
        assert each.head["node_id"] in told[each.name, "shell", "ray list nodes"].out
    assert "'CPU'" in told[NAME, "shell", COMMANDS[-3]].out
    assert "CPUs: 1.0" in told[NAME, "shell", JOB].out
    addresses = {each.env["RAY_ADDRESS"] for each in both}
    assert len(addresses) == len(both)


def test_without_a_name_it_is_asked_which(desk: Desk, second: Cluster) -> None:
    answer = desk.run("rayfleet", "exec", "ray status")
    assert answer.code == SEVERAL
    assert f"several clusters are up: default, {NAME}" in answer.err


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_update(desk: Desk, second: Cluster) -> None:
    """The changed file is applied, and the head goes on as it is. The guide's flag is for other computers."""
    refused = desk.run("rayfleet", "up", "cluster.yaml", "--restart-only")
    assert (refused.code, "--restart-only are for clusters on other computers" in refused.err) == (2, True)
    node = second.head["node_id"]
    desk.write("cluster.yaml", FILE.replace("min_workers: 0", "min_workers: 1"))
    desk.well("rayfleet", "up", "cluster.yaml")
    second.until_workers("ray.worker.cpu")
    assert second.head["node_id"] == node


def test_parameters(desk: Desk, second: Cluster) -> None:
    """All four, from the file as it was changed above, and while it runs."""
    second.until_workers("ray.worker.cpu")
    changes = ["ray.worker.cpu.min_workers=0", "max_workers=3", "idle_timeout_s=2", "upscaling_speed=2.0"]
    desk.well("rayfleet", "set", NAME, *changes)
    second.until_workers()
    status = desk.well("rayfleet", "status", NAME)
    for change in changes[1:]:
        assert f"set {change.partition('=')[0]} {float(change.partition('=')[2]):g}" in status.replace(".0,", ",")
    too_many = desk.run("rayfleet", "scale", NAME, "ray.worker.cpu", "6")
    assert (too_many.code, "at most 5 machines" in too_many.err) == (2, True)


def test_head_comes_back(desk: Desk, second: Cluster) -> None:
    """Kill -9 of all of it: the head is started again by itself, and what the GCS had written down is there."""
    job = desk.well("rayfleet", "submit", "--no-wait", "cluster.yaml", "script.py").strip()
    before = second.head
    killed = [pid for pid in desk.processes() if is_of_machine(pid, before["machine_id"])]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    second.until(lambda machines: any(is_new_head(machine, before) for machine in machines), "a head again")
    deadline = time.monotonic() + 60
    while job not in second.by_shell("ray job list").text:  # the job server is up a moment later than the node
        assert time.monotonic() < deadline, "the new head does not know the job of before"
    assert "CPUs: 1.0" in desk.well("rayfleet", "submit", "cluster.yaml", "script.py")


def is_of_machine(pid: int, machine: str) -> bool:
    """Say whether a process says in its environment that it is of that machine."""
    try:
        return f"RAYFLEET_MACHINE_ID={machine}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def is_new_head(machine: dict[str, Any], before: dict[str, Any]) -> bool:
    """Say whether a machine is a head that is ready, and another node than before."""
    return bool(machine["head"] and machine["phase"] == "READY" and machine["node_id"] not in (None, before["node_id"]))


def test_down(desk: Desk, both: tuple[Cluster, Cluster]) -> None:
    """It ends, whole; the other cluster is as it was."""
    assert f"cluster {NAME} is down" in desk.well("rayfleet", "down", "cluster.yaml")
    states = {line.split()[0]: line.split()[1] for line in desk.well("rayfleet", "list").splitlines()[1:]}
    assert states == {"default": "up", NAME: "down"}
    assert not [command for command in desk.processes().values() if NAME in command]
    assert both[0].by_exec("ray status").code == 0
