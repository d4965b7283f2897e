"""A kubelet whose pods really run leaves nothing on the machine.

Apart from its other tests: there is one such kubelet on a machine at a time.
"""

import subprocess
from pathlib import Path

import pytest
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE, Desk, sh

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

pytestmark = [pytest.mark.kubernetes, NEEDS_ROOT]


def test_nothing_is_left_of_it(plane: ControlPlane, namespace: str) -> None:
    """Neither of pods that end with it, nor of itself."""
    with Background(ProcessKubelet(plane.access, [NODE])) as kubelet:
        desk = Desk(plane, namespace)
        desk.run("stays", sh("sleep 7531"))
        desk.ready("stays")
        (pod,) = kubelet.it.pods.values()
        (container,) = pod.containers.values()
        folder = container.spec.folder
        assert folder.exists()
    assert not folder.parents[2].exists()
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert container.spec.network not in namespaces
    assert container.first_process() is None
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    plane.kubectl("delete", "node", "machine")
