"""The guides' programs that connect and look, run both ways: `rayfleet run`, and a shell after `rayfleet env`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from tests.guides.desk import Answer, Cluster, together
from tests.guides.entries import typed

pytestmark = [pytest.mark.guides, pytest.mark.ray, pytest.mark.timeout(900)]

FROM_A_TASK = """
@ray.remote(num_cpus=0)
def speak():
    print("a task speaks")

ray.get(speak.remote())
import time
time.sleep(2)
"""
REFUSED = ("both", "system_config")
"""Programs that Ray itself refuses, wherever they run."""
Told = dict[tuple[str, str], Answer]


def programs(cluster: Cluster) -> dict[str, str]:
    """Return the programs as typed; only names of hosts are those of this cluster."""
    first, debug, to_driver = typed("log_levels").splitlines()
    return {
        "connect": typed("connect").replace("head-node-ip:10001", cluster.client),
        "service": typed("connect_service").replace("ray-cluster-head-svc:10001", cluster.client),
        "health": typed("health_check"),
        "both": typed("log_levels"),
        "debug": f"{first}\n{debug}\n",
        "to_driver": f"{first}\n{to_driver}\n{FROM_A_TASK}",
        "system_config": typed("system_config"),
    }


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> Iterator[Told]:
    """What each program says, on a cluster with one worker that stays."""
    cluster.desk.well("rayfleet", "scale", "cpu1", "1", "--wait")
    texts = programs(cluster)
    for name, text in texts.items():
        cluster.desk.write(f"{name}.py", text)
    ways = {"run": cluster.by_run, "shell": cluster.by_shell}
    asked = [(way, name) for way in ways for name in texts if way == "run" or name not in REFUSED]
    yield together({(way, name): partial(ways[way], f"python {name}.py") for way, name in asked})
    cluster.desk.well("rayfleet", "scale", "cpu1", "--clear")


@pytest.fixture(params=["run", "shell"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def well(told: Told, way: str, name: str) -> Answer:
    answer = told[way, name]
    assert answer.code == 0, answer.text
    return answer


def test_connect(told: Told, way: str) -> None:
    said = well(told, way, "connect").out
    assert "'node:__internal_head__': 1.0" in said
    assert "'CPU': 1.0" in said


def test_connect_service(told: Told, way: str) -> None:
    well(told, way, "service")


def test_health(told: Told, way: str) -> None:
    assert well(told, way, "health").out == "Cluster healthy: True\n"


def test_health_of_a_cluster_that_may_have_shrunk(cluster: Cluster) -> None:
    assert "CPUs are free" in cluster.desk.well("rayfleet", "health")


def test_log_levels(told: Told, way: str) -> None:
    refused = told["run", "both"]
    assert refused.code == 1
    assert "Maybe you called ray.init twice by accident?" in refused.err
    assert "\tDEBUG " in well(told, way, "debug").err
    assert "a task speaks" in well(told, way, "to_driver").text


def test_speeds(told: Told, cluster: Cluster) -> None:
    refused = told["run", "system_config"]
    assert refused.code == 1
    assert "When connecting to an existing cluster, _system_config must not be provided." in refused.err
    said = cluster.by_exec("rayfleet set upscaling_speed=1.0 downscaling_speed=1.0")
    assert (said.code, said.out) == (0, "upscaling_speed = 1.0\ndownscaling_speed = 1.0\n")
    standing = cluster.desk.well("rayfleet", "status")
    assert "set upscaling_speed 1.0" in standing
    assert "set downscaling_speed 1.0" in standing
    cluster.desk.well("rayfleet", "set", "upscaling_speed=null", "downscaling_speed=null")
