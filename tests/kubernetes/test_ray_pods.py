"""A real Ray cluster whose nodes are pods: what the operator's tests stand on."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE, Desk, sh

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]

HEAD = "exec ray start --head --block --num-cpus=0 --include-dashboard=false --node-ip-address=$IP"
WORKER = """
until grep -q "\\shead\\s" /etc/hosts; do sleep 0.2; done
until ray health-check --address head:6379 2>/dev/null; do sleep 0.5; done
exec ray start --address=head:6379 --block --num-cpus=2 --node-ip-address=$IP
"""
TASKS = """
import ray
ray.init(address="auto", log_to_driver=False, logging_level="error")

@ray.remote(num_cpus=1)
def where():
    return ray.util.get_node_ip_address()

print(*sorted(set(ray.get([where.remote() for _ in range(4)]))))
"""
MEMORY = {"name": "shm", "emptyDir": {"medium": "Memory"}}
IP = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


@pytest.fixture(scope="module")
def machine(plane: ControlPlane) -> Iterator[ProcessKubelet]:
    """This machine as a node, on which `ray` and `python` are those of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    with Background(ProcessKubelet(plane.access, [NODE], variables=variables, heartbeat_s=5)) as kubelet:
        yield kubelet.it
    plane.kubectl("delete", "node", "machine")


@pytest.mark.timeout(240)
def test_head_and_worker_become_a_ray_cluster(plane: ControlPlane, machine: ProcessKubelet, namespace: str) -> None:
    """With Ray's default ports in every pod, and tasks on the worker's address."""
    desk = Desk(plane, namespace)
    shared = {"env": [IP], "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}
    probe = {
        "exec": {"command": ["ray", "health-check"]},
        "periodSeconds": 2,
        "timeoutSeconds": 20,
        "failureThreshold": 30,
    }
    desk.run("head", sh(HEAD, readinessProbe=probe, **shared), volumes=[MEMORY])
    desk.kubectl("expose", "pod", "head", "--port=6379", "--cluster-ip=None")
    desk.run("worker", sh(WORKER, **shared), volumes=[MEMORY])
    desk.kubectl("wait", "--for=condition=Ready", "pod/head", "--timeout=55s")
    address = desk.status("worker")["podIP"]
    assert desk.kubectl("exec", "head", "--", "python", "-c", TASKS).split()[-1] == address
