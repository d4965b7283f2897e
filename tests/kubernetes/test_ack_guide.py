"""The walk-through of Alibaba Cloud's guide to Ray on ACK, from its second helm install to its two ECI workers.

Real are the control plane, helm and the charts, the operator in its pod, kubectl, Ray, its job command and its client,
and every process in the pods. What stands in for the cloud: `tests.kubernetes.node_pool` for ACK's cluster autoscaler,
`tests.kubernetes.eci` for the virtual node; their machines are this one by other names. Tasks sleep for seconds and not
for two minutes as in the guide; Redis is another file's (test_fault_tolerance.py).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.kubernetes.eci import LABEL, VIRTUAL_NODE, eci
from tests.kubernetes.node_pool import NodePool, at_work
from tests.kubernetes.operating import Desk
from tests.kubernetes.real_pods import NEEDS_ROOT, forwarded
from tests.kubernetes.real_ray import BOOT_S, CHARTS, LABELLED, Head, operated, until_workers
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, NEEDS_ROOT]

FIRST, SECOND = "myfirst-ray-cluster", "mysecond-ray-cluster"
POOL = NodeSpec("machine", cpu="4", memory="64Gi", labels=LABELLED)  # an operator, a head and two workers
MORE = NodeSpec("pool", cpu="1", memory="16Gi", labels=LABELLED)
PORTS = {"10001/TCP", "8265/TCP", "8080/TCP", "6379/TCP", "8000/TCP"}
COUNTER = """
import ray
ray.init()

@ray.remote(num_cpus=1)
class Counter:
    def __init__(self):
        self.counter = 0

    def increment(self):
        self.counter += 1

    def get_counter(self):
        return f"test_counter got {self.counter}"

counter = Counter.remote()
for _ in range(100):
    counter.increment.remote()
    print(ray.get(counter.get_counter.remote()))
"""
TASKS = """
import socket, sys, time
import ray
ray.init(log_to_driver=False, logging_level="error")
seconds = float(sys.argv[2])

@ray.remote(num_cpus=1)
def where():
    time.sleep(seconds)
    return socket.gethostbyname(socket.gethostname())

print("ran on", *ray.get([where.remote() for _ in range(int(sys.argv[1]))]))
"""
CLIENT = """
import sys
import ray
with ray.init(sys.argv[1], logging_level="error"):
    print("from outside", ray.get(ray.remote(num_cpus=1)(lambda: 6 * 7).remote()))
"""


@pytest.fixture(scope="module")
def cloud(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background[ProcessKubelet]]:
    """A node pool of one machine, a virtual node, and the operator."""
    with operated(plane, "kuberay-system", POOL, VIRTUAL_NODE) as kubelet, eci(plane, tmp_path_factory.mktemp("eci")):
        yield kubelet


def install(desk: Desk, release: str, values: Any, folder: Path) -> Head:
    """Install a release as the guide does; workers go after some seconds, and their machine is the pool's."""
    scaling = {"head": {"nodeSelector": LABELLED, "autoscalerOptions": {"idleTimeoutSeconds": 8}}}
    file = folder / "values.yaml"
    file.write_text(json.dumps({**scaling, **values}), encoding="utf-8")
    desk.plane.helm("install", release, str(CHARTS / "ray-cluster"), "-n", desk.namespace, "-f", str(file))
    return Head(desk, release)


def start(head: Head, count: int, sleep_s: float) -> subprocess.Popen[str]:
    """Begin to run tasks on the cluster, from a program on its head."""
    desk = head.desk
    words = ["kubectl", "-n", desk.namespace, "exec", head.name, "-c", "ray-head", "--", "python", "-c", TASKS]
    return subprocess.Popen(
        [*words, str(count), str(sleep_s)],
        env=desk.plane.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def addresses(running: subprocess.Popen[str]) -> list[str]:
    """Return where the tasks ran, one for each, when all have."""
    said, _ = running.communicate(timeout=BOOT_S)
    assert running.returncode == 0, said
    return said.split("ran on", 1)[1].split()


def outside(*words: str) -> str:
    """Run a program on this machine, not in a pod, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=BOOT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def looked_at_from_outside(desk: Desk) -> None:
    """The dashboard, the job command and the client, through kubectl port-forward."""
    service = f"svc/{FIRST}-head-svc"
    with forwarded(desk.plane, desk.namespace, service, 8265) as address:
        with urlopen(f"http://{address}/", timeout=30) as page:
            assert b"<title>Ray Dashboard" in page.read()
        ray = str(Path(sys.executable).parent / "ray")
        said = outside(ray, "job", "submit", "--address", f"http://{address}", "--", "echo", "a job of the guide")
        assert "a job of the guide" in said
        assert "succeeded" in said
    with forwarded(desk.plane, desk.namespace, service, 10001) as address:
        # Ray gives the client's server half a minute to start, and a busy machine may need longer at first.
        said = eventually(lambda: outside(sys.executable, "-c", CLIENT, f"ray://{address}"), within_s=BOOT_S)
        assert "from outside 42" in said


def shows(table: str) -> dict[str, str]:
    """Return what kubectl shows of operators and heads: release -> ready, status."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {name.split("-rayfleet-")[0].split("-head-")[0]: f"{ready} {status}" for name, ready, status, *_ in rows}


def nodes(desk: Desk, kind: str, release: str) -> set[str]:
    """Return the nodes of a cluster's pods."""
    found = desk.get("pods", "-l", f"ray.io/cluster={release},ray.io/node-type={kind}")["items"]
    return {one["spec"].get("nodeName", "") for one in found}


@pytest.mark.timeout(900)
def test_the_walk_through_of_the_guide(
    plane: ControlPlane, cloud: Background[ProcessKubelet], namespace: str, tmp_path: Path
) -> None:
    assert shows(plane.kubectl("get", "pod", "-n", "kuberay-system")) == {"kuberay-operator": "1/1 Running"}
    desk = Desk(plane, namespace)
    head = install(desk, FIRST, {"worker": {"nodeSelector": LABELLED}}, tmp_path)
    until_workers(desk, 1, FIRST)  # to begin with, as long as that is not idle for too long
    head.until_ready()
    assert shows(desk.kubectl("get", "pod"))[FIRST] == "2/2 Running"
    (cluster,) = desk.kubectl("get", "rayclusters.ray.io").splitlines()[1:]
    assert cluster.split()[0] == FIRST
    (service,) = [line for line in desk.kubectl("get", "svc").splitlines() if line.startswith(f"{FIRST}-head-svc")]
    assert set(service.split()[4].split(",")) == PORTS

    counts = [line for line in head.python(COUNTER).splitlines() if "test_counter got" in line]
    assert (len(counts), counts[-1]) == (100, "test_counter got 100")
    looked_at_from_outside(desk)
    with at_work(NodePool(plane, cloud, MORE, 1)) as pool:
        fifteen_tasks_fill_the_pool_and_one_machine_more(plane, head, pool)
    two_tasks_run_on_the_virtual_node(plane, tmp_path)

    plane.helm("uninstall", FIRST, "-n", namespace)
    eventually(lambda: desk.names("pods,services,roles,rolebindings") == [])


def fifteen_tasks_fill_the_pool_and_one_machine_more(plane: ControlPlane, head: Head, pool: NodePool) -> None:
    """Fifteen pods are wanted; those that have no room bring a machine; when all is done, pods and machine go."""
    desk = head.desk
    running = start(head, 15, 2.0)
    until_workers(desk, 15, FIRST)
    eventually(lambda: pool.ever and pool.ever[0] in nodes(desk, "worker", FIRST))
    assert len(addresses(running)) == 15
    until_workers(desk, 0, FIRST)
    eventually(lambda: not pool.names)
    assert not any(name in plane.kubectl("get", "nodes") for name in pool.ever)


def two_tasks_run_on_the_virtual_node(plane: ControlPlane, folder: Path) -> None:
    """In a second release in another namespace: its workers have the label, its head does not."""
    desk = Desk(plane, "second-team")
    plane.kubectl("create", "namespace", desk.namespace)
    head = install(desk, SECOND, {"worker": {"groupName": "workergroup", "labels": {LABEL: "true"}}}, folder)
    head.until_ready()
    running = start(head, 2, 5.0)
    until_workers(desk, 2, SECOND)
    eventually(lambda: nodes(desk, "worker", SECOND) == {VIRTUAL_NODE.name})
    assert VIRTUAL_NODE.name in plane.kubectl("get", "node")
    assert VIRTUAL_NODE.name in desk.kubectl("get", "pod", "-o", "wide")
    assert nodes(desk, "head", SECOND) == {POOL.name}
    assert len(addresses(running)) == 2
    until_workers(desk, 0, SECOND)
    plane.helm("uninstall", SECOND, "-n", desk.namespace)
    eventually(lambda: desk.names("rayclusters,pods") == [])
    plane.kubectl("delete", "namespace", desk.namespace, "--wait=false")
