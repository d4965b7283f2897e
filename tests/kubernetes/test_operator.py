"""The operator on a real control plane, with pods that pretend: what kubectl shows, and what stays behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.waiting import eventually
from tests.unit.kube_operator.raycluster.clusters import container, group

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import CommandFailed, ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def running(
    plane: ControlPlane, kubelet: Background[StatusKubelet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """An operator that runs while this file's tests do; its folder."""
    folder = tmp_path_factory.mktemp("operator")
    apply_crds(plane)
    with operator(plane, folder):
        eventually(lambda: "operator_ready" in (folder / "operator.log").read_text())
        yield folder


@pytest.fixture
def desk(plane: ControlPlane, running: Path, namespace: str) -> Desk:
    return Desk(plane, namespace)


def raycluster(*groups: Any, name: str = "demo", **spec: Any) -> Any:
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head", cpu="1", memory="1Gi")]}}}
    body = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": list(groups), **spec}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": name}, "spec": body}


def test_from_apply_to_ready_as_kubectl_shows_it(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 2), enableInTreeAutoscaling=True))
    status = desk.until_state("ready")
    assert (status["desiredWorkerReplicas"], status["readyWorkerReplicas"]) == (2, 2)
    shown = desk.kubectl("get", "rayclusters").splitlines()
    assert shown[0].split("  ")[0] == "NAME"
    assert [word for word in shown[0].split("   ") if word.strip()][1:4] != []
    for column in ("DESIRED WORKERS", "AVAILABLE WORKERS", "STATUS", "AGE"):
        assert column in shown[0]
    assert shown[1].split()[:4] == ["demo", "2", "2", "ready"]
    assert desk.names("services") == ["demo-head-svc"]
    head = desk.get("pods", "-l", "ray.io/node-type=head")["items"][0]
    assert [one["name"] for one in head["spec"]["containers"]] == ["ray-head", "autoscaler"]
    assert head["spec"]["serviceAccountName"] == "demo"


def test_deleted_it_leaves_nothing(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 1), enableInTreeAutoscaling=True))
    desk.until_state("ready")
    desk.kubectl("delete", "raycluster", "demo", "--timeout=60s")
    for kind in ("pods", "services", "roles", "rolebindings"):
        eventually(lambda kind=kind: desk.names(kind) == [])  # type: ignore[misc]


def test_scaled_by_hand(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 1)))
    desk.until_state("ready")
    patch = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": %d}]'
    for count in (3, 1):
        desk.kubectl("patch", "raycluster", "demo", "--type=json", "-p", patch % count)
        eventually(lambda count=count: len(desk.workers()) == count)  # type: ignore[misc]
    eventually(lambda: desk.get("raycluster", "demo")["status"]["readyWorkerReplicas"] == 1)


def test_suspended_and_resumed(desk: Desk) -> None:
    """KubeRay's scenario 17."""
    desk.apply(raycluster(group("small", 1)))
    desk.until_state("ready")
    desk.kubectl("patch", "raycluster", "demo", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    desk.until_state("suspended")
    assert desk.names("pods") == []
    desk.kubectl("patch", "raycluster", "demo", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    desk.until_state("ready")


def test_a_quota_that_is_full_is_told(desk: Desk) -> None:
    """KubeRay's scenario 18."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    desk.apply(quota)
    eventually(lambda: desk.get("resourcequota", "none").get("status", {}).get("hard"))
    desk.apply(raycluster(group("small", 1)))

    def failure() -> Any:
        conditions = desk.get("raycluster", "demo").get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == "ReplicaFailure"), None)

    told = eventually(failure)
    assert (told["status"], told["reason"]) == ("True", "FailedCreateHeadPod")
    assert "exceeded quota" in told["message"]
    events = [event["reason"] for event in desk.get("events")["items"]]
    assert "FailedCreateHeadPod" in events
    desk.kubectl("delete", "resourcequota", "none")
    desk.until_state("ready")


def test_a_pod_that_is_deleted_comes_back_under_another_name(desk: Desk) -> None:
    desk.apply(raycluster(group("small", 2)))
    desk.until_state("ready")
    lost, kept = desk.workers()
    desk.kubectl("delete", "pod", lost, "--wait=false")
    eventually(lambda: len(desk.workers()) == 2 and lost not in desk.workers())
    assert kept in desk.workers()


def test_what_the_schema_forbids_is_refused_with_its_place(desk: Desk) -> None:
    wrong = raycluster({**group("small"), "replicas": "many"})
    with pytest.raises(CommandFailed, match="replicas"):
        desk.apply(wrong)


def test_a_job_runs_through_its_cluster(desk: Desk) -> None:
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "train"},
        "spec": {"entrypoint": "true", "rayClusterSpec": raycluster(group("small", 1))["spec"]},
    }
    desk.apply(job)
    eventually(lambda: desk.get("rayjob", "train").get("status", {}).get("jobDeploymentStatus") == "Running")
    status = desk.get("rayjob", "train")["status"]
    assert status["rayClusterName"] in desk.names("rayclusters")
    eventually(lambda: desk.names("jobs") == ["train"])
    desk.kubectl("delete", "rayjob", "train", "--timeout=60s")
    for kind in ("rayclusters", "jobs", "pods"):
        eventually(lambda kind=kind: desk.names(kind) == [])  # type: ignore[misc]
