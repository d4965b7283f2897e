"""What goes wrong around an operator on a real control plane: nothing is lost, nothing is made twice."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds, operator
from tests.kubernetes.test_operator import raycluster
from tests.kubernetes.waiting import eventually
from tests.unit.kube_operator.raycluster.clusters import group

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

pytestmark = pytest.mark.kubernetes

ONE_MORE = '[{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 3}]'


@pytest.fixture
def desk(plane: ControlPlane, kubelet: Background[StatusKubelet], namespace: str) -> Desk:
    apply_crds(plane)
    return Desk(plane, namespace)


@contextmanager
def leading(plane: ControlPlane, folder: Path) -> Iterator[Popen[bytes]]:
    """Run an operator that is at work."""
    folder.mkdir()
    with operator(plane, folder) as running:
        eventually(lambda: "operator_ready" in log_of(folder))
        yield running


def log_of(folder: Path) -> str:
    return (folder / "operator.log").read_text(encoding="utf-8")


def test_of_two_operators_the_second_goes_on_when_the_first_is_killed(
    plane: ControlPlane, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    with leading(plane, tmp_path / "first") as first, operator(plane, tmp_path / "second"):
        desk.apply(raycluster(group("small", 2)))
        desk.until_state("ready")
        before = desk.workers()
        assert "leading" not in log_of(tmp_path / "second")
        first.kill()
        first.wait(10)
        desk.kubectl("patch", "raycluster", "demo", "--type=json", "-p", ONE_MORE)
        eventually(lambda: "operator_ready" in log_of(tmp_path / "second"))
        eventually(lambda: len(desk.workers()) == 3)
        assert set(before) < set(desk.workers())
        eventually(lambda: desk.get("raycluster", "demo")["status"]["readyWorkerReplicas"] == 3)
        assert len(desk.workers()) == 3


@pytest.mark.parametrize("crash", [False, True])
def test_clusters_come_up_through_a_restart_of_the_api_server(
    plane: ControlPlane, desk: Desk, tmp_path: Path, crash: bool
) -> None:
    names = ("a", "b", "c")
    with leading(plane, tmp_path / "one") as running:
        desk.apply(*(raycluster(group("small", 2), name=name) for name in names))
        plane.stop_api_server(crash=crash)
        time.sleep(2)  # the operator meets the closed door
        plane.start_api_server()
        for name in names:
            desk.until_state("ready", name)
            assert len(desk.workers(name)) == 2
        assert len(desk.names("pods")) == 9
        assert running.poll() is None
        assert "reconcile_failed" not in log_of(tmp_path / "one")


def test_what_a_drained_node_ran_is_replaced_on_another(plane: ControlPlane, desk: Desk, tmp_path: Path) -> None:
    def nodes() -> dict[str, str]:
        chosen = desk.get("pods", "-l", "ray.io/cluster=demo,ray.io/node-type=worker")["items"]
        running: list[Any] = [pod for pod in chosen if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in running}

    def moved() -> bool:
        # Again, as administrators do: a scheduler that has yet to hear of the closed node may put the new pod there.
        plane.kubectl("drain", drained, "--force", "--delete-emptydir-data", "--pod-selector=ray.io/cluster=demo")
        seen = nodes()
        return len(seen) == 2 and drained not in seen.values() and all(seen.values())

    with leading(plane, tmp_path / "one"):
        desk.apply(raycluster(group("small", 2)))
        desk.until_state("ready")
        before = nodes()
        drained = min(before.values())
        evicted = {name for name, node in before.items() if node == drained}
        try:
            eventually(moved)
            assert evicted.isdisjoint(nodes())
            assert set(before) - evicted <= set(nodes())
            eventually(lambda: desk.get("raycluster", "demo")["status"]["readyWorkerReplicas"] == 2)
        finally:
            plane.kubectl("uncordon", drained)
