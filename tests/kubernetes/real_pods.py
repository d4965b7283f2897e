"""Pods that really run on this machine, as tests write them down and look at them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.manifests import Json

from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec

NODE = NodeSpec("machine", cpu="8", memory="16Gi", labels={"kind": "machine"})
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces and mounts need root")


class Desk:
    """kubectl in one namespace, whose pods run on this machine."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *argv, stdin=stdin)

    def run(self, name: str, *containers: Json, **spec: Any) -> None:
        """Apply a pod of these containers; their image is a word."""
        body = {
            "nodeSelector": {"kind": "machine"},
            "terminationGracePeriodSeconds": 3,
            "containers": [{"name": f"c{n}", "image": "none", **each} for n, each in enumerate(containers)],
            **spec,
        }
        metadata = {"name": name, "labels": {"app": name}, "annotations": {"colour": "red"}}
        self.kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}),
        )

    def ready(self, name: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    def logs(self, name: str, *more: str) -> str:
        return self.kubectl("logs", name, *more)

    def status(self, name: str) -> Any:
        return json.loads(self.kubectl("get", "pod", name, "-o", "json"))["status"]


def sh(script: str, **more: Any) -> Json:
    """Return a container of one shell script."""
    return {"command": ["sh", "-c", script], **more}


def disk(name: str, folder: Path) -> Json:
    """Return a volume of its own storage class that is a folder of this machine."""
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(folder)}}
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata,
        "spec": {**spec, "storageClassName": name},
    }


@contextmanager
def forwarded(plane: ControlPlane, namespace: str, target: str, port: int) -> Iterator[str]:
    """Forward a port of a pod or of a Service's pod to this machine with kubectl; yield the address."""
    words = ["kubectl", "-n", namespace, "port-forward", target, "--address", "127.0.0.1", f":{port}"]
    with subprocess.Popen(
        words, env=plane.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as forwarding:
        try:
            assert forwarding.stdout is not None
            yield forwarding.stdout.readline().split()[2]  # Forwarding from ADDRESS -> PORT
        finally:
            forwarding.terminate()
