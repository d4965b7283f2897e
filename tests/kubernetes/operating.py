"""The operator as its users run it: a process of its own, by a kubeconfig, on the CRDs of this project."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.access import kubeconfig
from rayfleet.testing.kubernetes.control_plane import ControlPlane

CRDS = Path(__file__).parents[2] / "deploy" / "helm" / "rayfleet-operator" / "crds"


@contextmanager
def operator(plane: ControlPlane, folder: Path, *argv: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run an operator inside the block; its log is `operator.log` in `folder`."""
    config = folder / "kubeconfig.json"
    config.write_text(kubeconfig(plane.access))
    settings = {**os.environ, "KUBECONFIG": str(config), **environment}
    with (folder / "operator.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "rayfleet", "operator", *argv], env=settings, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def apply_crds(plane: ControlPlane) -> None:
    """Apply this project's CRDs and wait until the API server serves them."""
    plane.kubectl("apply", "-f", str(CRDS))
    for path in sorted(CRDS.glob("*.yaml")):
        plane.kubectl("wait", "--for=condition=Established", f"crd/{path.stem}", "--timeout=30s")


class Desk:
    """kubectl in one namespace."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *argv, stdin=stdin)

    def apply(self, *things: Any) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(things)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def names(self, *what: str) -> list[str]:
        return [one["metadata"]["name"] for one in self.get(*what)["items"]]

    def workers(self, name: str = "demo") -> list[str]:
        return self.names("pods", "-l", f"ray.io/cluster={name},ray.io/node-type=worker")

    def until_state(self, state: str, name: str = "demo") -> Any:
        """Wait until a RayCluster is in a state; return its status."""

        def look() -> Any:
            status = self.get("raycluster", name).get("status") or {}
            return status if status.get("state", "") == state else None

        return eventually(look)
