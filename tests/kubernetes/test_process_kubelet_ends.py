"""A kubelet whose pods really run leaves nothing on the machine.

Apart from its other tests: there is one such kubelet on a machine at a time.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kubernetes.real_pods import NEEDS_ROOT, NODE, Desk, sh

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.pod_network import NetworkError, PodNetwork
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
    assert container.spec.network not in ip("netns", "list")
    assert container.first_process() is None
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    plane.kubectl("delete", "node", "machine")


KILLED = """
import asyncio, os, signal
from rayfleet.testing.kubernetes.pod_network import PodNetwork

async def make():
    network = PodNetwork()
    await network.up()
    print(network.bridge, await network.add("10.244.0.2"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(make())
"""


def ip(*argv: str) -> str:
    return subprocess.run(["ip", *argv], capture_output=True, text=True, check=True).stdout


async def up_and_down() -> None:
    network = PodNetwork()
    await network.up()
    with pytest.raises(NetworkError, match=r"another kubelet"):
        await PodNetwork().up()
    await network.down()


def test_the_next_one_clears_away_what_a_killed_one_has_left() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    bridge, namespace = killed.stdout.split()
    assert namespace in ip("netns", "list")
    asyncio.run(up_and_down())
    assert namespace not in ip("netns", "list")
    assert bridge not in ip("-o", "link")
