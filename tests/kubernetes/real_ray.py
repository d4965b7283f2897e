"""Real Ray in pods of this machine: the node, the operator as a pod, RayClusters, and programs run on their heads."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.operating import Desk, apply_crds
from tests.kubernetes.real_pods import NODE
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

BOOT_S = 240.0
"""How long a pod with real Ray may take on a slow, shared machine."""
CHECKOUT = Path(__file__).parents[2]
CHARTS = CHECKOUT / "deploy" / "helm"
OPERATOR = "kuberay-operator"
"""The release of the operator's chart, as in the guides."""
LABELLED = {"kind": "machine"}
NO_SERVE = "Ray Serve's own packages are not here: `make pods` installs them"
NEEDS_SERVE = pytest.mark.skipif(importlib.util.find_spec("starlette") is None, reason=NO_SERVE)


@contextmanager
def machine(plane: ControlPlane, *nodes: NodeSpec, modules: Path | None = None) -> Iterator[Background[ProcessKubelet]]:
    """Run this machine as these nodes, on which `ray`, `python` and `rayfleet` are those of this environment.

    `modules`: a folder of programs that Python finds there, too.
    """
    specs = nodes or (NODE,)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    entries = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    entries += [modules] if modules else []
    if entries:
        variables["PYTHONPATH"] = os.pathsep.join(map(str, entries))
    folders = [CHECKOUT, Path(sys.prefix), *entries]
    image: dict[str, Any] = {"variables": variables, "folders": folders}
    try:
        with Background(ProcessKubelet(plane.access, specs, **image, heartbeat_s=5)) as kubelet:
            yield kubelet
    finally:
        for spec in specs:
            plane.kubectl("delete", "node", spec.name, "--ignore-not-found")


@contextmanager
def installed_operator(plane: ControlPlane, namespace: str) -> Iterator[Desk]:
    """Install the operator's chart with helm; inside the block its pod looks after clusters.

    Whatever happens there, nothing of the release is left for the next test.
    """
    apply_crds(plane)  # other tests may have taken them away, and helm brings them with the first installation only
    chart = str(CHARTS / "rayfleet-operator")
    try:
        plane.helm("install", OPERATOR, chart, "-n", namespace, "--set", "nodeSelector.kind=machine")
        desk = Desk(plane, namespace)
        eventually(lambda: "1/1" in desk.kubectl("get", "pods", "-l", f"app.kubernetes.io/instance={OPERATOR}"))
        yield desk
    finally:
        plane.helm("uninstall", OPERATOR, "-n", namespace, "--ignore-not-found")


def pod(name: str, **limits: str) -> Any:
    """Return a pod template whose container is this machine's own programs."""
    container = {"name": name, "image": "none", "imagePullPolicy": "IfNotPresent", "resources": {"limits": limits}}
    return {"spec": {"nodeSelector": LABELLED, "terminationGracePeriodSeconds": 5, "containers": [container]}}


def raycluster(*groups: Any, name: str = "demo", head: Any = None, **spec: Any) -> Any:
    """Return a RayCluster whose head has no processors for work."""
    template = head or pod("ray-head", cpu="1", memory="2Gi")
    body = {"rayVersion": "2.60.0", "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": template}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name},
        "spec": {**body, "workerGroupSpecs": list(groups), **spec},
    }


def group(most: int, name: str = "small-group") -> Any:
    """Return a worker group of no pods at first, of one processor each."""
    counts = {"replicas": 0, "minReplicas": 0, "maxReplicas": most}
    return {"groupName": name, **counts, "rayStartParams": {}, "template": pod("ray-worker", cpu="1", memory="1Gi")}


class Head:
    """The head of a RayCluster that runs, reached as users do: by kubectl exec."""

    def __init__(self, desk: Desk, cluster: str = "demo") -> None:
        self.desk, self.cluster = desk, cluster

    @property
    def name(self) -> str:
        """The name of its pod. LookupError: there is none, or the old one has not gone yet."""
        (found,) = self.pods() or [""]
        if not found:
            raise LookupError("no head")
        return found

    def pods(self) -> list[str]:
        return self.desk.names("pods", "-l", f"ray.io/cluster={self.cluster},ray.io/node-type=head")

    def status(self) -> Any:
        return self.desk.get("pod", self.name)["status"]

    def until_ready(self) -> str:
        """Wait until all its containers are ready; return its name."""
        try:
            eventually(lambda: all(one["ready"] for one in self.status()["containerStatuses"]), within_s=BOOT_S)
        except AssertionError as late:
            said = self.desk.kubectl("logs", self.name, "-c", "ray-head", "--tail=20")
            raise AssertionError(f"{self.status()['containerStatuses']}\n{said}") from late
        return self.name

    def types(self, *words: str) -> str:
        """Run a program there and return what it prints."""
        return self.desk.kubectl("exec", "-it", self.name, "-c", "ray-head", "--", *words)

    def python(self, program: str, *argv: str) -> str:
        return self.types("python", "-c", program, *argv)


def until_workers(desk: Desk, count: int, cluster: str = "demo") -> list[str]:
    """Wait until the cluster has exactly so many worker pods; return their names."""
    return eventually(
        lambda: [found] if len(found := desk.workers(cluster)) == count else [],
        within_s=BOOT_S,
    )[0]


def until_ready_workers(desk: Desk, count: int, cluster: str = "demo") -> None:
    """Wait until the RayCluster's status counts exactly so many workers as ready."""

    def look() -> bool:
        return bool(desk.get("raycluster", cluster)["status"]["readyWorkerReplicas"] == count)

    eventually(look, within_s=BOOT_S)


@contextmanager
def operated(plane: ControlPlane, namespace: str, *nodes: NodeSpec) -> Iterator[Background[ProcessKubelet]]:
    """Run this machine as nodes, with the operator in a namespace of its own."""
    plane.kubectl("create", "namespace", namespace)
    with machine(plane, *nodes) as kubelet, installed_operator(plane, namespace):
        yield kubelet
    plane.kubectl("delete", "namespace", namespace, "--wait=false")
