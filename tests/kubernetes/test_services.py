"""RayServices with real Ray Serve in pods, under requests that never stop: none is refused while clusters change.

Real are the control plane, the operator (in a pod, as it finds clusters by their names), Ray, Serve, and every process
in the pods. What leads requests to them stands in for kube-proxy and for a gateway's controller.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.kubernetes import real_ray
from tests.kubernetes.operating import Desk, apply_crds
from tests.kubernetes.real_pods import NEEDS_ROOT
from tests.kubernetes.real_ray import NEEDS_SERVE
from tests.kubernetes.users import Users
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.front import Front
from rayfleet.testing.kubernetes.gateway_api import GROUP, definitions
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, NEEDS_ROOT, NEEDS_SERVE]

APP = """
import os
from ray import serve

@serve.deployment
class Greeting:
    def __call__(self, request):
        return os.environ["RAY_CLUSTER_NAME"]

app = Greeting.bind()
"""
# In the pod's own process namespace: its /proc has no other processes.
KILLED = """
import os, signal
from pathlib import Path
(gcs,) = (path.parent.name for path in Path("/proc").glob("[0-9]*/comm") if path.read_text().strip() == "gcs_server")
os.kill(int(gcs), signal.SIGKILL)
"""
CONFIG = {
    "applications": [
        {
            "name": "greeting",
            "import_path": "greeting:app",
            "route_prefix": "/",
            "deployments": [{"name": "Greeting", "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}}],
        }
    ]
}
STEPS = {"maxSurgePercent": 50, "stepSizePercent": 25, "intervalSeconds": 5, "gatewayClassName": "test"}
BOOT_S = 240.0


@pytest.fixture(scope="module")
def machine(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessKubelet]:
    """This machine as a node, on which `ray` and `python` are those of this environment, with an application."""
    apps = tmp_path_factory.mktemp("apps")
    (apps / "greeting.py").write_text(APP)
    with real_ray.machine(plane, modules=apps) as kubelet:
        yield kubelet.it


@pytest.fixture
def desk(plane: ControlPlane, machine: ProcessKubelet, namespace: str) -> Iterator[Desk]:
    """A namespace with an operator in a pod of its own."""
    apply_crds(plane)
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions()}))
    plane.kubectl("wait", "--for=condition=Established", f"crd/httproutes.{GROUP}", "--timeout=30s")
    desk = Desk(plane, namespace)
    account = f"{namespace}:default"
    plane.kubectl(
        "create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", f"--serviceaccount={account}"
    )
    argv = [sys.executable, "-m", "rayfleet", "operator", "--namespace", namespace]
    variables = [{"name": "POD_NAMESPACE", "value": namespace}]
    container = {"name": "operator", "image": "none", "command": argv, "env": variables}
    spec = {"nodeSelector": {"kind": "machine"}, "terminationGracePeriodSeconds": 5, "containers": [container]}
    desk.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec})
    yield desk
    desk.kubectl("delete", "rayservices", "--all", "--timeout=60s")
    eventually(lambda: desk.names("pods", "-l", "ray.io/cluster") == [], within_s=BOOT_S)
    plane.kubectl("delete", "clusterrolebinding", namespace)


def rayservice(version: str, **spec: Any) -> Any:
    """Return a service on a cluster of a head alone. `version`: of the cluster; another one is another cluster."""
    container = {
        "name": "ray-head",
        "image": "none",
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
        "env": [{"name": "VERSION", "value": version}],
    }
    pod = {"nodeSelector": {"kind": "machine"}, "terminationGracePeriodSeconds": 5, "containers": [container]}
    cluster = {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": pod}},
        "workerGroupSpecs": [],
        **spec.pop("cluster", {}),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "shop"},
        "spec": {
            "serveConfigV2": json.dumps(CONFIG),
            "rayClusterConfig": cluster,
            "rayClusterDeletionDelaySeconds": 5,
            **spec,
        },
    }


def status(desk: Desk) -> Any:
    return desk.get("rayservice", "shop").get("status") or {}


def names(desk: Desk) -> tuple[str, str]:
    seen = status(desk)
    active, pending = (seen.get(f"{which}ServiceStatus") or {} for which in ("active", "pending"))
    return active.get("rayClusterName", ""), pending.get("rayClusterName", "")


def serves(desk: Desk, *others: str) -> str:
    """Wait until a cluster serves that is none of `others`; return its name."""

    def look() -> str:
        active, pending = names(desk)
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status(desk).get("conditions") or ())
        return active if ready and not pending and active not in others else ""

    return eventually(look, within_s=BOOT_S)


@contextmanager
def asked(desk: Desk, target: str) -> Iterator[tuple[Front, Users]]:
    """Have users ask what a Service or an HTTPRoute leads to, inside the block."""
    with Background(Front(desk.plane.access, desk.namespace, target)) as front:
        eventually(front.it.answers, within_s=BOOT_S)
        with Background(Users(front.it.url)) as users:
            yield front.it, users.it


@pytest.mark.timeout(580)
def test_a_cluster_is_replaced_and_nobody_is_refused(desk: Desk) -> None:
    """KubeRay's scenarios 49, 51 and 53."""
    desk.apply(rayservice("one"))
    first = serves(desk)
    with asked(desk, "service/shop-serve-svc") as (_, users):
        eventually(lambda: users.told[first] > 40)
        desk.apply(rayservice("two"))
        second = serves(desk, first)
        eventually(lambda: desk.names("rayclusters") == [second])
        now = users.told[second]
        eventually(lambda: users.told[second] > now + 40)
    assert users.refused == []
    assert set(users.told) == {first, second}
    print(f"{users.told.total()} requests answered, {len(users.refused)} refused")


@pytest.mark.timeout(580)
def test_a_head_whose_gcs_is_killed_comes_back_and_nobody_is_refused(desk: Desk) -> None:
    """KubeRay's scenario 52: with Redis, workers go on to answer while the head starts again in its place."""
    redis = {"name": "redis", "image": "none", "command": ["redis-server", "--protected-mode", "no", "--save", ""]}
    pod = {"nodeSelector": {"kind": "machine"}, "terminationGracePeriodSeconds": 5, "containers": [redis]}
    desk.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "redis", "labels": {"app": "redis"}}, "spec": pod}
    )
    desk.kubectl("expose", "pod", "redis", "--port=6379", "--cluster-ip=None")
    thing = rayservice("one", excludeHeadPodFromServeSvc=True)
    cluster = thing["spec"]["rayClusterConfig"]
    cluster["headGroupSpec"]["rayStartParams"] = {"num-cpus": "0"}
    cluster["gcsFaultToleranceOptions"] = {"redisAddress": "redis:6379"}
    template = cluster["headGroupSpec"]["template"]
    cluster["workerGroupSpecs"] = [{"groupName": "small", "replicas": 1, "rayStartParams": {}, "template": template}]
    desk.apply(thing)
    first = serves(desk)
    (head,) = desk.names("pods", "-l", "ray.io/node-type=head")
    (worker,) = desk.workers(first)
    with asked(desk, "service/shop-serve-svc") as (_, users):
        eventually(lambda: users.told[first] > 40)
        desk.kubectl("exec", head, "-c", "ray-head", "--", "python", "-c", KILLED)
        eventually(lambda: restarts(desk, head) == 1, within_s=BOOT_S)
        serves(desk)
        eventually(lambda: all(one["ready"] for one in containers(desk, head)), within_s=BOOT_S)
        now = users.told[first]
        eventually(lambda: users.told[first] > now + 200)
    assert users.refused == []
    assert (desk.names("pods", "-l", "ray.io/node-type=head"), desk.workers(first)) == ([head], [worker])
    print(f"{users.told.total()} requests answered, {len(users.refused)} refused")


def containers(desk: Desk, pod: str) -> Any:
    """Return the statuses of a pod's containers."""
    return desk.get("pod", pod)["status"]["containerStatuses"]


def restarts(desk: Desk, pod: str) -> int:
    """Return how often the containers of a pod were started again."""
    return sum(one["restartCount"] for one in containers(desk, pod))


@pytest.mark.timeout(580)
def test_requests_go_over_to_the_next_cluster_by_steps(desk: Desk) -> None:
    """KubeRay's scenario 61."""
    strategy = {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": STEPS}
    limits = {"limits": {"cpu": "200m", "memory": "256Mi"}}
    more = {
        "upgradeStrategy": strategy,
        "cluster": {"enableInTreeAutoscaling": True, "autoscalerOptions": {"resources": limits}},
    }
    desk.apply(rayservice("one", **more))
    first = serves(desk)
    with asked(desk, "httproute/shop-httproute") as (front, users):
        eventually(lambda: users.told[first] > 40)
        desk.apply(rayservice("two", **more))
        shares: list[int] = []

        def look() -> bool:
            active, pending = names(desk)
            share = front.weights.get(f"{pending}-serve-svc", 0) if pending else shares[-1] if shares else 0
            if not shares or share != shares[-1]:
                shares.append(share)
            return active not in ("", first)

        eventually(look, within_s=BOOT_S)
        second = serves(desk, first)
        now = users.told[second]
        eventually(lambda: users.told[second] > now + 40)
    assert users.refused == []
    assert set(users.told) == {first, second}
    assert shares == [0, 25, 50, 75, 100]
    print(f"{users.told.total()} requests answered, {len(users.refused)} refused, by {shares}")
