"""A RayCluster applied with kubectl becomes a real Ray cluster that its actors scale: the walk-through of the guide.

Every command of KubeRay's autoscaling guide, in its order. Real are the control plane, helm, the operator in its pod,
Ray, the autoscaler beside the head, and every process in the pods.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk
from tests.kubernetes.real_pods import NEEDS_ROOT
from tests.kubernetes.real_ray import (
    Head,
    group,
    install_operator,
    machine,
    pod,
    raycluster,
    until_ready_workers,
    until_workers,
)
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.control_plane import ControlPlane

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]

NAME = "raycluster-autoscaler"
SAMPLES = "/home/ray/samples"
MADE = """
import sys, ray

@ray.remote(num_cpus=float(sys.argv[2]) if sys.argv[2:] else 1)
class Actor:
    pass

ray.init(namespace="default_namespace")
Actor.options(name=sys.argv[1], lifetime="detached").remote()
"""
ENDED = """
import sys, ray

ray.init(namespace="default_namespace")
ray.kill(ray.get_actor(sys.argv[1]))
"""
RAY_PODS = "-l=ray.io/is-ray-node=yes"


@pytest.fixture
def operating(plane: ControlPlane, namespace: str) -> Iterator[Desk]:
    """This machine as a node, and the operator as helm installs it."""
    with machine(plane):
        yield install_operator(plane, namespace)


def guides_cluster() -> tuple[Any, Any]:
    """Return the guide's RayCluster and the ConfigMap with its two programs, which the head sees as files."""
    scripts = {"detached_actor.py": MADE, "terminate_detached_actor.py": ENDED}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ray-example"}, "data": scripts}
    head = pod("ray-head", cpu="1", memory="2Gi")
    head["spec"]["containers"][0]["volumeMounts"] = [{"mountPath": SAMPLES, "name": "ray-example-configmap"}]
    items = [{"key": name, "path": name} for name in scripts]
    volume = {"name": "ray-example-configmap", "configMap": {"name": "ray-example", "items": items}}
    head["spec"]["volumes"] = [volume]
    options = {"idleTimeoutSeconds": 8, "resources": {"limits": {"cpu": "200m", "memory": "256Mi"}}}
    spec = {"enableInTreeAutoscaling": True, "autoscalerOptions": options}
    return raycluster(group(3), name=NAME, head=head, **spec), config


@pytest.mark.timeout(580)
def test_the_walk_through_of_the_guide(plane: ControlPlane, operating: Desk, tmp_path: Path) -> None:
    """KubeRay's scenario 1, and an actor that no worker could hold."""
    desk, head = operating, Head(operating, NAME)
    desk.apply(*guides_cluster())
    ready = head.until_ready()
    assert [line.split()[:3] for line in desk.kubectl("get", "pods", RAY_PODS).splitlines()[1:]] == [
        [ready, "2/2", "Running"]
    ]
    assert "ray-example" in desk.kubectl("get", "configmaps")

    for count, name in enumerate(("actor1", "actor2"), start=1):
        head.types("python3", f"{SAMPLES}/detached_actor.py", name)
        until_workers(desk, count, NAME)
    until_ready_workers(desk, 2, NAME)
    eventually(lambda: actors(head) == {"actor1": "ALIVE", "actor2": "ALIVE"})
    assert len(desk.kubectl("get", "pods", RAY_PODS).splitlines()) == 1 + 3
    assert "2.0/2.0 CPU" in head.types("ray", "status")

    head.types("python3", f"{SAMPLES}/detached_actor.py", "too-big", "2")
    eventually(lambda: "{'CPU': 2.0}: 1+" in head.types("ray", "status"))

    for left, name in ((1, "actor1"), (0, "actor2")):
        head.types("python3", f"{SAMPLES}/terminate_detached_actor.py", name)
        until_workers(desk, left, NAME)
    assert actors(head)["too-big"] == "PENDING_CREATION"
    assert desk.get("raycluster", NAME)["spec"]["workerGroupSpecs"][0]["replicas"] == 0
    status = head.types("ray", "status")
    assert "0B/" in status, status
    log = desk.kubectl("logs", ready, "-c", "autoscaler", "--tail=20")
    assert "autoscaler_started" in desk.kubectl("logs", ready, "-c", "autoscaler")
    assert log.strip()

    desk.kubectl("delete", "raycluster", NAME, "--timeout=60s")
    desk.kubectl("delete", "configmap", "ray-example")
    plane.helm("uninstall", "operator", "-n", desk.namespace)
    eventually(lambda: nothing_is_left(desk))


def actors(head: Head) -> dict[str, str]:
    """Return name -> state of the actors that live or are to live, as `ray list actors` shows them."""
    lines = head.types("ray", "list", "actors", "--filter", "state!=DEAD").splitlines()
    rows = [line.split() for line in lines if " Actor " in line]
    return {row[5]: row[3] for row in rows}


def nothing_is_left(desk: Desk) -> bool:
    """Check that only what every namespace has is there."""
    kinds = "pods,services,deployments,replicasets,rayclusters,roles,rolebindings,serviceaccounts,configmaps,leases"
    found = desk.kubectl("get", kinds, "-o", "name").split()
    assert sorted(found) == ["configmap/kube-root-ca.crt", "serviceaccount/default"]
    return True
