"""Kubelets that only pretend: nodes stay Ready, pods run, fail and end as told, and clients see what real ones show."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes import manifests
from tests.kubernetes.conftest import PRETENDED
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.behaviour import (
    Behaviour,
    completes,
    crashes,
    evicted,
    image_pull_error,
    never_ready,
    never_starts,
    oom_killed,
    runs,
)
from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet
from rayfleet.testing.kubernetes.nodes import NodeSpec
from rayfleet.testing.kubernetes.servers import PlaneOptions

pytestmark = pytest.mark.kubernetes

Kubelet = Background[StatusKubelet]


class Desk:
    """kubectl in one namespace, with kubelets behind it."""

    def __init__(self, plane: ControlPlane, kubelet: Kubelet, namespace: str) -> None:
        self.plane, self.kubelet, self.namespace = plane, kubelet, namespace

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *argv, stdin=stdin)

    def apply(self, manifest: str) -> None:
        self.kubectl("apply", "-f", "-", stdin=manifest)

    def get(self, what: str) -> Any:
        return json.loads(self.kubectl("get", what, "-o", "json"))

    def rule(self, app: str, behaviour: Behaviour) -> None:
        """Labels are the test's own: its namespace is part of them."""
        self.kubelet.do(lambda kubelet: kubelet.rule(self.labels(app), behaviour))

    def labels(self, app: str) -> dict[str, str]:
        return {"app": app, "test": self.namespace}

    def shown(self, name: str) -> str:
        """Return what kubectl prints of a pod: READY, STATUS, RESTARTS."""
        return " ".join(self.kubectl("get", "pod", name, "--no-headers").split()[1:4])


@pytest.fixture
def desk(plane: ControlPlane, kubelet: Kubelet, namespace: str) -> Iterator[Desk]:
    yield Desk(plane, kubelet, namespace)
    kubelet.do(lambda kubelet: kubelet.no_rules())


def test_its_nodes_are_ready(plane: ControlPlane, kubelet: Kubelet) -> None:
    def ready() -> bool:
        lines = plane.kubectl("get", "nodes", "--no-headers").splitlines()
        return [line.split()[:2] for line in lines] == [[f"node-{n}", "Ready"] for n in (1, 2, 3)]

    assert eventually(ready)


def test_a_deployment_becomes_ready_behind_its_service(desk: Desk) -> None:
    desk.apply(manifests.deployment("web", 3))
    desk.kubectl("expose", "deployment", "web", "--port=80")
    desk.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    pods = desk.get("pods")["items"]
    addresses = sorted(pod["status"]["podIP"] for pod in pods)
    assert len(set(addresses)) == 3
    assert all(address.startswith(f"{PRETENDED}.") for address in addresses)
    assert {pod["status"]["containerStatuses"][0]["state"].keys() == {"running"} for pod in pods} == {True}

    def endpoints() -> list[str]:
        subsets = desk.get("endpoints/web").get("subsets", [])
        return sorted(address["ip"] for subset in subsets for address in subset.get("addresses", []))

    eventually(lambda: endpoints() == addresses)


@pytest.mark.parametrize(
    ("behaviour", "shown"),
    [
        (never_starts(), "0/1 Pending 0"),
        (image_pull_error(), "0/1 ImagePullBackOff 0"),
        (never_ready(), "0/1 Running 0"),
        (crashes(0.1), "0/1 CrashLoopBackOff 1"),
        (crashes(0.1, back_after_s=0.1), "1/1 Running 1"),
        (evicted(0.1), "0/1 Evicted 0"),
        (completes(), "0/1 CrashLoopBackOff 1"),  # restartPolicy is Always
    ],
    ids=["never-starts", "image", "never-ready", "crash", "crash-and-back", "evicted", "ends-and-is-restarted"],
)
def test_kubectl_shows_what_became_of_a_pod(desk: Desk, behaviour: Behaviour, shown: str) -> None:
    desk.rule("one", behaviour)
    desk.apply(manifests.pod("one", desk.labels("one")))

    def as_shown() -> bool:
        assert desk.shown("one") == shown
        return True

    assert eventually(as_shown)


def test_a_container_that_is_killed_for_its_memory_says_so(desk: Desk) -> None:
    desk.apply(manifests.pod("big"))
    desk.kubectl("wait", "--for=condition=Ready", "pod/big", "--timeout=50s")
    desk.kubelet.do(lambda kubelet: kubelet.behave(desk.namespace, "big", oom_killed(0)))

    def last_state() -> Any:
        return desk.get("pod/big")["status"]["containerStatuses"][0]["lastState"].get("terminated")

    ended = eventually(last_state)
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_job_completes(desk: Desk) -> None:
    desk.kubelet.do(lambda kubelet: kubelet.rule({"app": "sum"}, completes(0.1)))
    desk.apply(manifests.job("sum"))
    desk.kubectl("wait", "--for=condition=Complete", "job/sum", "--timeout=50s")


def test_a_job_fails(desk: Desk) -> None:
    desk.kubelet.do(lambda kubelet: kubelet.rule({"app": "sum"}, completes(0.1, code=3)))
    desk.apply(manifests.job("sum"))
    desk.kubectl("wait", "--for=condition=Failed", "job/sum", "--timeout=50s")


def test_init_containers_are_done_before_the_pod_runs(desk: Desk) -> None:
    desk.apply(manifests.pod("with-init", initContainers=[{"name": "first", "image": "pretended"}]))
    desk.kubectl("wait", "--for=condition=Ready", "pod/with-init", "--timeout=50s")
    (init,) = desk.get("pod/with-init")["status"]["initContainerStatuses"]
    assert init["state"]["terminated"]["reason"] == "Completed"


def test_a_pod_that_takes_its_time_to_end_is_seen_terminating(desk: Desk) -> None:
    """No longer than its grace, though: five seconds of the thirty that it would take."""
    desk.rule("slow", runs(stops_after_s=30))
    desk.apply(manifests.pod("slow", desk.labels("slow")))
    desk.kubectl("wait", "--for=condition=Ready", "pod/slow", "--timeout=50s")
    desk.kubectl("delete", "pod", "slow", "--wait=false")
    assert desk.shown("slow") == "1/1 Terminating 0"
    eventually(lambda: desk.get("pods")["items"] == [], within_s=25)


def test_a_node_comes_with_its_labels_and_resources_and_goes(desk: Desk) -> None:
    gpus = NodeSpec("extra", resources={"nvidia.com/gpu": "2"}, labels={"test": desk.namespace})
    desk.kubelet.do(lambda kubelet: kubelet.add_node(gpus))
    wants = {"name": "main", "image": "pretended", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    desk.apply(manifests.pod("here", nodeSelector={"test": desk.namespace}, containers=[wants]))
    desk.kubectl("wait", "--for=condition=Ready", "pod/here", "--timeout=50s")
    desk.apply(manifests.pod("there", nodeSelector={"test": desk.namespace}, containers=[wants]))
    eventually(lambda: "Insufficient nvidia.com/gpu" in desk.kubectl("get", "pod", "there", "-o", "jsonpath={.status}"))
    desk.kubelet.do(lambda kubelet: kubelet.remove_node("extra"))
    assert "extra" not in desk.kubectl("get", "nodes", "-o", "name")


def test_a_lost_node_is_seen_and_its_pods_move(programs: Path) -> None:
    """On a plane of its own, which is quick to call a node lost."""
    options = PlaneOptions(node_grace_s=8, toleration_s=1)
    with (
        ControlPlane(programs, options) as plane,
        Background(StatusKubelet(plane.access, 2, heartbeat_s=1)) as kubelet,
    ):

        def by_node() -> dict[str, list[str]]:
            pods = json.loads(plane.kubectl("get", "pods", "-o", "json"))["items"]
            return {
                node: [pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == node]
                for node in ("node-1", "node-2")
            }

        plane.kubectl("wait", "--for=condition=Ready=True", "node/node-1", "node/node-2", "--timeout=50s")
        plane.kubectl("apply", "-f", "-", stdin=manifests.deployment("web", 4))
        plane.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
        assert by_node()["node-1"], "the scheduler spreads them"
        kubelet.do(lambda kubelet: kubelet.lose_node("node-1"))
        plane.kubectl("wait", "--for=condition=Ready=Unknown", "node/node-1", "--timeout=50s")
        eventually(lambda: len(by_node()["node-2"]) == 4)
        assert by_node()["node-1"], "a lost kubelet cannot say that its pods are gone"
        kubelet.do(lambda kubelet: kubelet.find_node(NodeSpec("node-1")))
        plane.kubectl("wait", "--for=condition=Ready=True", "node/node-1", "--timeout=50s")
        eventually(lambda: not by_node()["node-1"])


def test_hundreds_of_pods_come_and_go(desk: Desk) -> None:
    desk.apply(manifests.deployment("many", 300))
    desk.kubectl("rollout", "status", "deployment/many", "--timeout=55s")
    desk.kubectl("delete", "deployment", "many")
    eventually(lambda: desk.kubectl("get", "pods", "-o", "name") == "")


def test_what_it_does_not_have_it_does_not_pretend(desk: Desk) -> None:
    """Logs and exec are answered by kubelets that run something."""
    desk.apply(manifests.pod("silent"))
    desk.kubectl("wait", "--for=condition=Ready", "pod/silent", "--timeout=50s")
    with pytest.raises(CommandFailed):
        desk.kubectl("logs", "silent", "--request-timeout=3s")
