"""What a Ray cluster knows outlives its head: in a real Redis, and on a volume; afterwards nothing of it is left.

Real are the control plane, the operator in its pod, Redis, Ray, its job command, and every process in the pods.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes import real_pods
from tests.kubernetes.operating import Desk
from tests.kubernetes.real_pods import NEEDS_ROOT, disk, sh
from tests.kubernetes.real_ray import (
    BOOT_S,
    CHARTS,
    LABELLED,
    Head,
    operated,
    raycluster,
    until_ready_workers,
    until_workers,
)
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, NEEDS_ROOT]

PASSWORD = "guess-me"
REDIS = "exec redis-server --bind 0.0.0.0 --requirepass \"$PASSWORD\" --save '' --dir /tmp"
KEYS = {"name": "demo-raycluster-redis", "key": "password"}  # the secret's name as the ACK guide has it
START = "import sys, ray; ray.init(namespace='ft', log_to_driver=False, logging_level='error')\n"
MADE = (
    START
    + """
import os

@ray.remote(num_cpus=1)
class Counter:
    def __init__(self):
        self.count = 0

    def more(self):
        self.count += 1
        return self.count

actor = Counter.options(name=sys.argv[1], lifetime="detached").remote()
"""
)
COUNTED = START + "print('counted', ray.get(ray.get_actor(sys.argv[1]).more.remote(), timeout=50))"
ENDED = START + "ray.kill(ray.get_actor(sys.argv[1]))"
KILL_GCS = "kill -9 $(pgrep -x gcs_server)"  # of this container: it sees no other processes


@pytest.fixture(scope="module")
def operating(plane: ControlPlane) -> Iterator[None]:
    with operated(plane, "fault-tolerance"):
        yield


@pytest.fixture
def desk(plane: ControlPlane, operating: None, namespace: str) -> Desk:
    return Desk(plane, namespace)


def redis(desk: Desk) -> None:
    """Start a Redis with a password, as a pod behind a Service."""
    literals = ("--from-literal=address=redis:6379", f"--from-literal=password={PASSWORD}")
    desk.kubectl("create", "secret", "generic", KEYS["name"], *literals)
    runner = real_pods.Desk(desk.plane, desk.namespace)
    runner.run("redis", sh(REDIS, env=[{"name": "PASSWORD", "valueFrom": {"secretKeyRef": KEYS}}]))
    desk.kubectl("expose", "pod", "redis", "--port=6379", "--cluster-ip=None")
    runner.ready("redis")


def keys(desk: Desk) -> list[str]:
    """Return what Redis holds."""
    ask = f"REDISCLI_AUTH='{PASSWORD}' redis-cli --scan"
    return desk.kubectl("exec", "redis", "--", "sh", "-c", ask).split()


def counted(head: Head, actor: str) -> int:
    """Have an actor count one further; return how far it is."""
    return int(eventually(lambda: head.python(COUNTED, actor), within_s=BOOT_S).split("counted")[1].split()[0])


def restarts(head: Head) -> int:
    """Return how often the head's Ray was started again in its pod."""
    (one,) = [one for one in head.status()["containerStatuses"] if one["name"] == "ray-head"]
    return int(one["restartCount"])


@pytest.mark.timeout(900)
def test_actors_outlive_the_head_and_scaling_goes_on(desk: Desk, tmp_path: Path) -> None:
    """KubeRay's scenarios 14, 21 and 22, on a cluster of the chart, whose keys go when it is uninstalled."""
    redis(desk)
    scaling = {"idleTimeoutSeconds": 8}
    values = {
        "gcsFaultTolerance": {"enable": True},
        "head": {"restartPolicy": "Always", "nodeSelector": LABELLED, "autoscalerOptions": scaling},
        "worker": {"replicas": 0, "maxReplicas": 2, "nodeSelector": LABELLED},
    }
    (tmp_path / "values.yaml").write_text(json.dumps(values), encoding="utf-8")
    chart = str(CHARTS / "ray-cluster")
    desk.plane.helm("install", "demo", chart, "-n", desk.namespace, "-f", str(tmp_path / "values.yaml"))
    head = Head(desk)
    first = head.until_ready()
    (cluster,) = desk.kubectl("get", "rayclusters.ray.io", "demo").splitlines()[1:]
    assert cluster.split()[:3] == ["demo", "0", "0"]
    assert f"{first} 2/2 Running" in " ".join(desk.kubectl("get", "pod").split())
    head.python(MADE, "one")
    (worker,) = until_workers(desk, 1)
    assert counted(head, "one") == 1

    head.types("sh", "-c", KILL_GCS)
    eventually(lambda: restarts(head) == 1)
    assert head.until_ready() == first
    assert counted(head, "one") == 2

    desk.kubectl("delete", "pod", first, "--wait=false")
    eventually(lambda: head.name != first, within_s=BOOT_S)
    head.until_ready()
    assert counted(head, "one") == 3
    assert desk.workers() == [worker]
    head.python(MADE, "two")
    until_workers(desk, 2)
    assert counted(head, "two") == 1
    until_ready_workers(desk, 2)
    head.python(ENDED, "one")
    (left,) = until_workers(desk, 1)
    assert left != worker

    assert any(desk.get("raycluster", "demo")["metadata"]["uid"] in key for key in keys(desk))
    desk.plane.helm("uninstall", "demo", "-n", desk.namespace)
    eventually(lambda: desk.names("rayclusters") == [], within_s=BOOT_S)
    assert keys(desk) == []
    eventually(lambda: desk.names("pods") == ["redis"] and desk.names("jobs") == [])


@pytest.mark.timeout(900)
def test_state_on_a_volume_and_a_token_at_the_door(desk: Desk, tmp_path: Path) -> None:
    """KubeRay's scenarios 24 and 26: a job that the right token submitted is known to the next head."""
    name = f"disk-{desk.namespace}"
    (tmp_path / "disk").mkdir()
    desk.apply(disk(name, tmp_path / "disk"))
    storage = {"backend": "rocksdb", "storage": {"storageClassName": name}}
    desk.apply(raycluster(gcsFaultToleranceOptions=storage, authOptions={"mode": "token"}))
    head = Head(desk)
    first = head.until_ready()
    submit = ("ray", "job", "submit", "--submission-id", "kept", "--", "echo", "in the first head")
    with pytest.raises(CommandFailed, match=r"(?i)unauthenticated|unauthorized|invalid.*token|401"):
        head.types("env", "RAY_AUTH_TOKEN=wrong", *submit)
    assert "in the first head" in head.types(*submit)

    desk.kubectl("delete", "pod", first, "--wait=false")
    eventually(lambda: head.name != first, within_s=BOOT_S)
    head.until_ready()
    assert "succeeded" in head.types("ray", "job", "status", "kept").lower()
    assert (tmp_path / "disk" / "kv").exists()

    desk.kubectl("delete", "raycluster", "demo", "--timeout=58s")
    eventually(lambda: desk.names("persistentvolumeclaims") == [])
    desk.plane.kubectl("delete", "persistentvolume", name)
