"""A RayCluster applied with kubectl becomes a real Ray cluster that its actors scale: the walk-through of the guide.

Every command of KubeRay's autoscaling guide, in its order. Real are the control plane, helm, the operator in its pod,
Ray, the autoscaler beside the head, and every process in the pods.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk
from tests.kubernetes.real_pods import NEEDS_ROOT
from tests.kubernetes.real_ray import (
    OPERATOR,
    Head,
    group,
    installed_operator,
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


@pytest.fixture
def operating(plane: ControlPlane, namespace: str) -> Iterator[Desk]:
    """This machine as a node, and the operator as helm installs it."""
    with machine(plane), installed_operator(plane, namespace) as desk:
        yield desk


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


@pytest.mark.timeout(900)
def test_the_walk_through_of_the_guide(plane: ControlPlane, operating: Desk, tmp_path: Path) -> None:
    """KubeRay's scenario 1, and an actor that no worker could hold."""
    desk, head = operating, Head(operating, NAME)
    file = tmp_path / "ray-cluster.autoscaler.yaml"
    file.write_text("\n---\n".join(json.dumps(thing) for thing in guides_cluster()), encoding="utf-8")
    desk.kubectl("apply", "-f", str(file))
    head.until_ready()
    columns = ("-o", "custom-columns=POD:metadata.name", "--no-headers")
    pod_name = desk.kubectl("get", "pods", "--selector=ray.io/node-type=head", *columns).strip()
    assert [line.split()[:3] for line in ray_pods(desk)] == [[pod_name, "2/2", "Running"]]
    assert "ray-example" in desk.kubectl("get", "configmaps")

    def inside(*words: str) -> str:
        return desk.kubectl("exec", "-it", pod_name, "--", *words)

    for count, name in enumerate(("actor1", "actor2"), start=1):
        inside("python3", f"{SAMPLES}/detached_actor.py", name)
        until_workers(desk, count, NAME)
    until_ready_workers(desk, 2, NAME)
    eventually(lambda: actors(inside("ray", "list", "actors")) == {"actor1": "ALIVE", "actor2": "ALIVE"})
    assert len(ray_pods(desk)) == 3
    assert "2.0/2.0 CPU" in head.types("ray", "status")

    inside("python3", f"{SAMPLES}/detached_actor.py", "too-big", "2")
    eventually(lambda: "{'CPU': 2.0}: 1+" in head.types("ray", "status"))

    for left, name in ((1, "actor1"), (0, "actor2")):
        inside("python3", f"{SAMPLES}/terminate_detached_actor.py", name)
        until_workers(desk, left, NAME)
    assert actors(inside("ray", "list", "actors"))["too-big"] == "PENDING_CREATION"
    assert desk.get("raycluster", NAME)["spec"]["workerGroupSpecs"][0]["replicas"] == 0
    watched(desk, head)

    desk.kubectl("delete", "-f", str(file), "--timeout=60s")
    plane.helm("uninstall", OPERATOR, "-n", desk.namespace)
    eventually(lambda: nothing_is_left(desk))


def ray_pods(desk: Desk) -> list[str]:
    """Return the lines that show Ray's pods."""
    return desk.kubectl("get", "pods", "-l=ray.io/is-ray-node=yes").splitlines()[1:]


def watched(desk: Desk, head: Head) -> None:
    """Look at the autoscaler by both methods of the guide: with no worker left, nothing is used."""
    status = desk.kubectl("exec", head.name, "-it", "-c", "ray-head", "--", "ray", "status")
    for part in ("Node status", "Pending:", "Recent failures:", "Usage:", "Demands:"):
        assert part in status, status
    assert " CPU" not in status.split("Usage:")[1].split("Demands:")[0], status
    log = desk.kubectl("logs", head.name, "-c", "autoscaler")
    assert "autoscaler_started" in log
    assert len(log.splitlines()[-20:]) > 1
    explained(desk)


def explained(desk: Desk) -> None:
    """Ask the autoscaler's record from outside: why no pod comes for the actor that none could hold, and what was."""
    cluster = f"k8s:/{desk.namespace}/{NAME}"

    def rayfleet(*words: str) -> str:
        return desk.plane.command(sys.executable, "-m", "rayfleet", *words)

    assert "no pool can ever hold {CPU: 2}" in rayfleet("why", cluster, "--shape", "CPU=2")
    told = json.loads(rayfleet("history", cluster, "--json"))
    assert {"launch", "release"} <= {event["kind"] for event in told}, told
    assert "release" in rayfleet("events", cluster, "--kind", "release")
    assert json.loads(rayfleet("health", cluster, "--cpus", "0", "--json"))["ok"]
    heads = json.loads(rayfleet("list", "nodes", cluster, "-f", "is_head_node=True", "--json"))
    assert [row["state"] for row in heads["rows"]] == ["ALIVE"]
    assert "gcs_server.out" in rayfleet("logs", cluster, "gcs*")


def actors(table: str) -> dict[str, str]:
    """Return name -> state of the actors that live or are to live, as `ray list actors` shows them."""
    rows = [line.split() for line in table.splitlines() if " Actor " in line]
    return {row[5]: row[3] for row in rows if row[3] != "DEAD"}


def nothing_is_left(desk: Desk) -> bool:
    """Check that only what every namespace has is there."""
    kinds = "pods,services,deployments,replicasets,rayclusters,roles,rolebindings,serviceaccounts,configmaps,leases"
    found = desk.kubectl("get", kinds, "-o", "name").split()
    assert sorted(found) == ["configmap/kube-root-ca.crt", "serviceaccount/default"]
    return True
