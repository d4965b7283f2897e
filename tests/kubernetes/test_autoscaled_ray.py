"""A RayCluster applied with kubectl becomes a real Ray cluster that its actors scale: the walk-through of the guide.

Real are the control plane, the operator, Ray, the autoscaler beside the head, and every process in the pods.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]

MADE = """
import sys, ray
ray.init(address="auto", namespace="guide", log_to_driver=False, logging_level="error")

@ray.remote(num_cpus=float(sys.argv[2]))
class Actor:
    pass

Actor.options(name=sys.argv[1], lifetime="detached").remote()
"""
ENDED = """
import sys, ray
ray.init(address="auto", namespace="guide", log_to_driver=False, logging_level="error")
ray.kill(ray.get_actor(sys.argv[1]))
"""
BOOT_S = 120.0


@pytest.fixture(scope="module")
def machine(plane: ControlPlane) -> Iterator[ProcessKubelet]:
    """This machine as a node, on which `ray`, `python` and `rayfleet` are those of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    if "PYTHONPATH" in os.environ:
        entries = os.environ["PYTHONPATH"].split(os.pathsep)
        variables["PYTHONPATH"] = os.pathsep.join(str(Path(entry).resolve()) for entry in entries)
    with Background(ProcessKubelet(plane.access, [NODE], variables=variables, heartbeat_s=5)) as kubelet:
        yield kubelet.it
    plane.kubectl("delete", "node", "machine")


def pod(name: str, **limits: str) -> Any:
    """Return a pod template whose container is this machine's own programs."""
    container = {"name": name, "image": "none", "imagePullPolicy": "IfNotPresent", "resources": {"limits": limits}}
    spec = {"nodeSelector": {"kind": "machine"}, "terminationGracePeriodSeconds": 5, "containers": [container]}
    return {"spec": spec}


def raycluster() -> Any:
    """Return the guide's cluster: a head without processors, workers of one each."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": "demo"},
        "spec": {
            "rayVersion": "2.60.0",
            "enableInTreeAutoscaling": True,
            "autoscalerOptions": {"idleTimeoutSeconds": 8, "resources": {"limits": {"cpu": "200m", "memory": "256Mi"}}},
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": pod("ray-head", cpu="1", memory="2Gi")},
            "workerGroupSpecs": [
                {
                    "groupName": "small-group",
                    "replicas": 0,
                    "minReplicas": 0,
                    "maxReplicas": 3,
                    "rayStartParams": {},
                    "template": pod("ray-worker", cpu="1", memory="1Gi"),
                }
            ],
        },
    }


@pytest.mark.timeout(580)
def test_actors_scale_the_cluster_up_and_down(
    plane: ControlPlane, machine: ProcessKubelet, namespace: str, tmp_path: Path
) -> None:
    apply_crds(plane)
    desk = Desk(plane, namespace)
    with operator(plane, tmp_path):
        desk.apply(raycluster())
        (head,) = eventually(lambda: desk.names("pods", "-l", "ray.io/node-type=head"))
        eventually(lambda: all(one["ready"] for one in containers(desk, head)), within_s=BOOT_S)
        assert desk.workers() == []

        def run(program: str, *argv: str) -> str:
            return desk.kubectl("exec", head, "-c", "ray-head", "--", "python", "-c", program, *argv)

        for count, name in enumerate(("actor1", "actor2"), start=1):
            run(MADE, name, "1")
            eventually(lambda count=count: len(desk.workers()) == count, within_s=BOOT_S)  # type: ignore[misc]
        eventually(
            lambda: "2/2" in desk.kubectl("get", "pods").replace("Running", "") and ready(desk) == 2, within_s=BOOT_S
        )
        status = desk.kubectl("exec", head, "-c", "ray-head", "--", "ray", "status")
        assert "2.0/2.0 CPU" in status
        run(MADE, "too-big", "2")
        log = desk.kubectl("logs", head, "-c", "autoscaler")
        assert "autoscaler_started" in log
        for left, name in ((1, "actor1"), (0, "actor2")):
            run(ENDED, name)
            eventually(lambda left=left: len(desk.workers()) == left, within_s=BOOT_S)  # type: ignore[misc]
        assert desk.get("raycluster", "demo")["spec"]["workerGroupSpecs"][0]["replicas"] == 0
        desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
        eventually(lambda: desk.names("pods") == [])


@pytest.mark.timeout(580)
def test_actors_scale_a_cluster_that_the_operator_scales_itself(
    plane: ControlPlane, machine: ProcessKubelet, namespace: str, tmp_path: Path
) -> None:
    """No autoscaler is beside the head; a token is asked for; the operator is started again in between."""
    apply_crds(plane)
    desk = Desk(plane, namespace)
    cluster = raycluster()
    cluster["spec"]["authOptions"] = {"mode": "token"}

    def run(program: str, *argv: str) -> str:
        return desk.kubectl("exec", head, "-c", "ray-head", "--", "python", "-c", program, *argv)

    with operator(plane, tmp_path, "--autoscaling", "central"):
        desk.apply(cluster)
        (head,) = eventually(lambda: desk.names("pods", "-l", "ray.io/node-type=head"))
        eventually(lambda: [one["ready"] for one in containers(desk, head)] == [True], within_s=BOOT_S)
        run(MADE, "actor1", "1")
        eventually(lambda: ready(desk) == 1, within_s=BOOT_S)
        first = desk.workers()
        claims = desk.get("configmap", "demo-autoscaler-ledger")["metadata"]["ownerReferences"]
        assert [owner["kind"] for owner in claims] == ["RayCluster"]
    with operator(plane, tmp_path, "--autoscaling", "central"):
        run(MADE, "actor2", "1")
        eventually(lambda: ready(desk) == 2, within_s=BOOT_S)
        assert set(first) < set(desk.workers())
        run(MADE, "too-big", "2")
        status = eventually(lambda: shown(desk, head, "2.0/2.0 CPU"))
        assert "{'CPU': 2.0}" in status
        eventually(lambda: {"ScalingUp", "CannotFit"} <= reasons(desk))
        for left, name in ((1, "actor1"), (0, "actor2")):
            run(ENDED, name)
            eventually(lambda left=left: len(desk.workers()) == left, within_s=BOOT_S)  # type: ignore[misc]
        assert "ScalingDown" in reasons(desk)
        desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
        eventually(lambda: desk.names("pods") == [])
        eventually(lambda: "demo-autoscaler-ledger" not in desk.names("configmaps"))
    log = (tmp_path / "operator.log").read_text()
    assert f"cluster='{namespace}/demo'" in log
    assert "autoscaler_failed" not in log


def shown(desk: Desk, head: str, wanted: str) -> str:
    """Return what `ray status` prints once it says what is wanted, "" before."""
    text = desk.kubectl("exec", head, "-c", "ray-head", "--", "ray", "status")
    return text if wanted in text else ""


def reasons(desk: Desk) -> set[str]:
    """Return the reasons of all events that RayClusters have."""
    return {one["reason"] for one in desk.get("events")["items"] if one["involvedObject"]["kind"] == "RayCluster"}


def containers(desk: Desk, name: str) -> Any:
    """Return the statuses of a pod's containers."""
    return desk.get("pod", name)["status"]["containerStatuses"]


def ready(desk: Desk) -> int:
    """Return how many workers the RayCluster's status counts as ready."""
    return int(desk.get("raycluster", "demo")["status"]["readyWorkerReplicas"])
