"""One control plane for all tests of Kubernetes, a namespace for each; kubelets where a test asks for them."""

import os
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.kubernetes.waiting import eventually
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.kubelet import StatusKubelet

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "kubernetes_plane.sh"
NODES = 3
PRETENDED = "10.246"
"""The first bytes of pretended pods' addresses: not those of pods that are processes."""
REAL_PODS = {path.stem for path in HERE.glob("test_*.py") if "real_pods import" in path.read_text(encoding="utf-8")}
_numbers = count(1)


class FilesApart(LoadFileScheduling):  # type: ignore[misc]  # it comes without types
    """Shares the files among workers, but for those whose pods really run: a machine has their network once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "real pods" if Path(file).stem in REAL_PODS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesApart | None:
    """Say how files are shared among workers (`--dist loadfile`)."""
    return FilesApart(config, log) if config.getvalue("dist") == "loadfile" else None


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
    """Nodes node-1 to node-3, whose pods only pretend; a test that adds rules does so for labels of its own.

    Their addresses are not those of pods that really run, which may do so beside another worker's control plane.
    """
    with Background(StatusKubelet(plane.access, NODES, heartbeat_s=5, pod_network=PRETENDED)) as started:
        yield started


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own, ready for pods."""
    name = f"test-{next(_numbers)}"
    plane.kubectl("create", "namespace", name)
    eventually(lambda: plane.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")
