"""One control plane for all tests of Kubernetes, a namespace for each; kubelets where a test asks for them."""

import os
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.kubernetes.waiting import eventually

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

SCRIPT = Path(__file__).parents[2] / "scripts" / "kubernetes_plane.sh"
NODES = 3
_numbers = count(1)


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the control plane's programs; fails with what to do where it is not built."""
    if "RAYFLEET_KUBERNETES" in os.environ:
        return Path(os.environ["RAYFLEET_KUBERNETES"])
    found = subprocess.run([SCRIPT, "--where"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(found.stderr.strip(), pytrace=False)
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def plane(programs: Path) -> Iterator[ControlPlane]:
    """A control plane that all tests share."""
    with ControlPlane(programs) as started:
        yield started


@pytest.fixture(scope="session")
def kubelet(plane: ControlPlane) -> Iterator[Background[StatusKubelet]]:
    """Nodes node-1 to node-3, whose pods only pretend; a test that adds rules does so for labels of its own."""
    with Background(StatusKubelet(plane.access, NODES, heartbeat_s=5)) as started:
        yield started


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own, ready for pods."""
    name = f"test-{next(_numbers)}"
    plane.kubectl("create", "namespace", name)
    eventually(lambda: plane.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")
