"""`rayfleet up`, `status`, `exec`, `submit`, `logs`, `down` and `kubectl rayfleet`, as users type them.

Real are the control plane, the operator, kubectl, Ray and every process in the pods.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kubernetes.operating import apply_crds, operator
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE
from tests.kubernetes.real_ray import pod
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]

HEAD = pod("ray-head", cpu="1", memory="2Gi")
WORKER = pod("ray-worker", cpu="1", memory="1Gi")
SCRIPT = """
import sys, ray
ray.init(log_to_driver=False, logging_level="error")
print("answer", ray.get(ray.remote(num_cpus=1)(lambda: 42).remote()), sys.argv[1:])
"""
PLUG_IN = "from rayfleet.cli.kubectl import main; main()"


class Person:
    """Somebody at a shell with a kubeconfig, in a folder of their own."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "raycluster.yaml"
        self.namespace = namespace
        plug_in = folder / "kubectl-rayfleet"
        plug_in.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{PLUG_IN}' \"$@\"\n")
        plug_in.chmod(0o755)
        path = f"{folder}{os.pathsep}{plane.environment['PATH']}"
        self.environment = {**plane.environment, "PATH": path, "XDG_STATE_HOME": str(folder / "state")}

    def types(self, *words: str, code: int = 0) -> str:
        """Return what a command prints, on either stream; check its exit code."""
        ran = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        said = ran.stdout + ran.stderr
        assert ran.returncode == code, said
        return said

    def rayfleet(self, *words: str, code: int = 0) -> str:
        return self.types(sys.executable, "-m", "rayfleet", *words, code=code)

    def wants(self, *, most: int) -> None:
        """Write a file with a ConfigMap and a cluster of one worker."""
        group = {"groupName": "small", "replicas": 1, "minReplicas": 1, "maxReplicas": most, "template": WORKER}
        head = {"rayStartParams": {"num-cpus": "0"}, "template": HEAD}
        meta = {"name": "demo", "namespace": self.namespace}
        spec = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [group]}
        scripts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "scripts"}, "data": {}}
        cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": meta, "spec": spec}
        self.file.write_text(f"---\n{json.dumps(scripts)}\n---\n{json.dumps(cluster)}\n")


@pytest.fixture(scope="module")
def ground(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An operator, and this machine as a node, on which `ray` and `python` are those of this environment."""
    folder = tmp_path_factory.mktemp("operator")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    apply_crds(plane)
    with (
        operator(plane, folder),
        Background(ProcessKubelet(plane.access, [NODE], variables=variables, heartbeat_s=5)),
    ):
        eventually(lambda: "operator_ready" in (folder / "operator.log").read_text())
        yield
    plane.kubectl("delete", "node", "machine")


@pytest.mark.timeout(400)
def test_from_up_to_down(plane: ControlPlane, ground: None, namespace: str, tmp_path: Path) -> None:
    person = Person(plane, namespace, tmp_path)
    person.wants(most=3)
    said = person.rayfleet("up", "raycluster.yaml", "--timeout", "150")
    assert f"create RayCluster {namespace}/demo" in said
    assert said.splitlines()[-1] == f"RayCluster {namespace}/demo is ready"

    _changed_with_consent(person)
    shown = person.types("kubectl", "rayfleet", "status", "-n", namespace)
    assert "small: 1 desired, 1 ready, 0 pending (1 to 5)" in shown
    told = json.loads(person.rayfleet("status", f"k8s:/{namespace}/demo", "--json"))
    assert (told["ready"], told["head"]["stage"]) == (True, "ready")

    said = person.rayfleet("exec", "raycluster.yaml", "echo hello from $RAY_CLUSTER_NAME; exit 7", code=7)
    assert "hello from demo" in said
    (tmp_path / "answer.py").write_text(SCRIPT)
    assert "answer 42 ['--size', '10']" in person.rayfleet("submit", "raycluster.yaml", "answer.py", "--size", "10")
    assert "ray" in person.rayfleet("logs", "raycluster.yaml", "-n", "5").lower()

    assert f"RayCluster {namespace}/demo is gone, with 2 pods" in person.rayfleet("down", "raycluster.yaml")
    left = person.types("kubectl", "get", "pods,rayclusters,configmaps", "-n", namespace, "-o", "name")
    assert left.split() in ([], ["configmap/kube-root-ca.crt"])


def _changed_with_consent(person: Person) -> None:
    """A change is named; nothing happens until somebody agrees; `kubectl apply` agrees with what was applied."""
    person.wants(most=5)
    refused = person.rayfleet("up", "raycluster.yaml", code=2)
    assert "spec.workerGroupSpecs[small].maxReplicas: 3 -> 5" in refused
    assert "nothing was changed" in refused
    person.rayfleet("up", "raycluster.yaml", "--yes")
    assert "nothing to change" in person.rayfleet("up", "raycluster.yaml")
    assert "Warning" not in person.types("kubectl", "apply", "-f", "raycluster.yaml")
