"""What makes a default cluster grow and shrink in the guides: tasks, actors, people."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

import pytest
from tests.guides.desk import IDLE_S, Cluster
from tests.guides.entries import typed

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

THREE_AT_ONCE = """
import ray, time
ray.init()

@ray.remote(num_cpus=1)
def where():
    time.sleep(2)
    return ray.get_runtime_context().get_node_id()

print(len(set(ray.get([where.remote() for _ in range(3)]))))
"""
REQUEST = """
import ray, sys
from ray.autoscaler.sdk import request_resources
ray.init()
request_resources(num_cpus=int(sys.argv[1]))
"""


def test_first_cluster_has_the_default_ports(cluster: Cluster) -> None:
    """`ray start --head --port=6379` in the guide; the fixture has seen that they were taken if they could be."""
    ports = [cluster.env["RAY_ADDRESS"], cluster.client, cluster.env["RAY_API_SERVER_ADDRESS"]]
    usual = [port.rpartition(":")[2] for port in ports] == ["6379", "10001", "8265"]
    assert usual == cluster.default_ports


def test_no_monitor(cluster: Cluster) -> None:
    commands = cluster.desk.processes().values()
    assert sum("gcs_server" in command for command in commands) == 1
    assert sum("rayfleet.launcher.controller" in command for command in commands) == 1
    assert not [command for command in commands if "/autoscaler/" in command]


def test_architecture(cluster: Cluster) -> None:
    cluster.until_workers()
    cluster.desk.well("rayfleet", "scale", "cpu1", "3", "--wait")
    workers = cluster.until_workers("cpu1", "cpu1", "cpu1")
    assert all(worker["resources"]["object_store_memory"] > 0 for worker in workers)
    assert cluster.program(THREE_AT_ONCE) == "3\n"
    cluster.desk.well("rayfleet", "scale", "cpu1", "--clear")
    cluster.until_workers()


def test_by_hand(cluster: Cluster) -> None:
    """A pool that is held at a size ignores the idle time-out; a request of a driver's brings a machine too."""
    cluster.until_workers()
    cluster.desk.well("rayfleet", "scale", "cpu2", "1", "--wait")
    cluster.until(lambda machines: any(m["pool"] == "cpu2" and m["idle_s"] > IDLE_S + 1 for m in machines), "idle")
    (held,) = cluster.until_workers("cpu2")
    assert held["phase"] == "READY"
    cluster.desk.well("rayfleet", "scale", "cpu2", "0", "--wait")
    cluster.until_workers()
    cluster.desk.well("rayfleet", "scale", "cpu2", "--clear")
    cluster.program(REQUEST, "1")
    cluster.until_workers("cpu1")
    cluster.program(REQUEST, "0")
    cluster.until_workers()


def test_use_above_a_threshold(cluster: Cluster) -> None:
    """One CPU of one in use is above a half: a second machine comes though nothing waits."""
    cluster.until_workers()
    cluster.desk.well("rayfleet", "set", "scale_up_utilization:CPU=0.5")
    cluster.program(typed("detached_actor"), "above")
    cluster.until_workers("cpu1", "cpu1")
    cluster.desk.well("rayfleet", "set", "--clear", "scale_up_utilization:CPU")
    cluster.until_workers("cpu1")
    cluster.program(typed("terminate_detached_actor"), "above")
    cluster.until_workers()


def test_use_below_a_threshold(cluster: Cluster) -> None:
    """An idle machine is kept while the others of its pool would be fuller than wanted without it, and leaves after."""
    cluster.until_workers()
    cluster.desk.well("rayfleet", "scale", "cpu1", "2", "--wait")
    cluster.program(typed("detached_actor"), "below")
    cluster.desk.well("rayfleet", "set", "scale_down_utilization=0.6")
    cluster.desk.well("rayfleet", "scale", "cpu1", "--clear")
    cluster.until(lambda machines: any(m["pool"] == "cpu1" and m["idle_s"] > IDLE_S + 1 for m in machines), "idle")
    assert [machine["phase"] for machine in cluster.until_workers("cpu1", "cpu1")] == ["READY", "READY"]
    cluster.desk.well("rayfleet", "set", "--clear", "scale_down_utilization")
    cluster.until_workers("cpu1")
    cluster.program(typed("terminate_detached_actor"), "below")
    cluster.until_workers()


# ---- tasks -----------------------------------------------------------------------------------------------------------


def hosts(cluster: Cluster, block: str) -> list[str]:
    """Run a guide's tasks, with sleeps of 3 s in place of 2 min, and return what they printed."""
    assert "time.sleep(120)" in typed(block)
    return cluster.program(typed(block).replace("time.sleep(120)", "time.sleep(3)")).splitlines()


def test_fifteen_tasks(cluster: Cluster) -> None:
    cluster.until_workers()
    before = cluster.launches()
    addresses = hosts(cluster, "fifteen_tasks")
    assert len(addresses) == 15
    assert all(re.fullmatch(r"[\d.]+", address) for address in addresses)
    assert cluster.launches() - before >= 4  # 15 CPUs in machines of at most 4
    cluster.until_workers()


def test_two_tasks(cluster: Cluster) -> None:
    cluster.until_workers()
    before = cluster.launches()
    assert len(hosts(cluster, "two_tasks")) == 2
    assert cluster.launches() > before
    cluster.until_workers()


def test_counter(cluster: Cluster) -> None:
    """All 10,000 lines, unedited. An actor's calls run in order, so the first value is 1."""
    said = cluster.program(typed("my_script")).splitlines()
    assert said == [f"test_counter got {number}" for number in range(1, 10_001)]
    shown = [line for line in typed("my_script_output").splitlines() if line.startswith("test_counter")]
    assert shown[1:] == said[: len(shown) - 1]


# ---- two actors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Story:
    """The workers after each of the guide's steps, and the list of actors in the middle."""

    one: list[dict[str, Any]]
    two: list[dict[str, Any]]
    listed: str
    after_first_end: list[dict[str, Any]]
    after_second_end: list[dict[str, Any]]


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Story:
    """Play it: each step is a program of its own, on the head."""
    cluster.until_workers()
    for name in ("detached_actor", "terminate_detached_actor"):
        cluster.desk.write(f"{name}.py", typed(name))

    def step(*words: str) -> None:
        answer = cluster.by_exec(shlex.join(["python3", *words]))
        assert answer.code == 0, answer.text

    step("detached_actor.py", "actor1")
    one = cluster.until_workers("cpu1")
    step("detached_actor.py", "actor2")
    two = cluster.until_workers("cpu1", "cpu1")
    listed = cluster.by_exec("ray list actors --filter state=ALIVE").out
    step("terminate_detached_actor.py", "actor1")
    after_first_end = cluster.until_workers("cpu1")
    step("terminate_detached_actor.py", "actor2")
    return Story(one, two, listed, after_first_end, cluster.until_workers())


def ids(workers: list[dict[str, Any]]) -> set[str]:
    return {worker["id"] for worker in workers}


def test_first_actor_brings_a_worker(story: Story) -> None:
    assert len(story.one) == 1


def test_second_actor_brings_another(story: Story) -> None:
    assert len(story.two) == 2
    assert ids(story.one) < ids(story.two)


def test_both_actors_are_listed(story: Story) -> None:
    for actor in ("actor1", "actor2"):
        assert re.search(rf"Actor +ALIVE +\w+ +{actor}\b", story.listed)


def test_first_actor_ends(story: Story) -> None:
    """The machine of the actor that ended leaves, not the other's."""
    assert ids(story.after_first_end) == ids(story.two) - ids(story.one)


def test_second_actor_ends(story: Story) -> None:
    assert story.after_second_end == []
