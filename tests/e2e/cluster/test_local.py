"""The Python API, in programs of their own: a cluster for a block, and for as long as its process lives."""

import os
import signal
import subprocess
import sys

import pytest
from tests.e2e.cluster.fleet import Fleet

pytestmark = pytest.mark.ray

WHOLE = """
import os, ray, rayfleet        # Ray first, as people do

def variables():
    return {name: value for name, value in os.environ.items() if name.startswith(("RAY_A", "RAYFLEET"))}

before = variables()

@ray.remote(num_cpus=1)
def double(number):
    return 2 * number

def workers(status):
    return sum(m["phase"] == "READY" and not m["head"] for m in status["machines"])

for name in ("first", "second"):     # Ray keeps tokens in memory: the second one has another
    with rayfleet.LocalCluster(pools={"one": {"CPU": 1}}, name=name, idle_timeout_s=600, max_workers=3) as cluster:
        ray.init(log_to_driver=False)
        assert ray.get(double.remote(21)) == 42
        assert os.environ["RAY_ADDRESS"] == cluster.address == cluster.env["RAY_ADDRESS"]
        if name == "first":
            rayfleet.request_resources(num_cpus=2)
            cluster.wait_for(lambda status: workers(status) == 2)
            rayfleet.request_resources(bundles=[])
            rayfleet.set_policy(idle_timeout_s=1, pools={"one": {"max_workers": 2}})
            cluster.wait_for(lambda status: workers(status) == 0)
            try:
                rayfleet.set_policy(idle_timeout=1)
            except Exception as error:
                print(type(error).__name__, error, error.hint)
        assert rayfleet.status()["cluster"] == name
    assert not ray.is_initialized()
    assert variables() == before
print("done")
"""

LASTING = """
import rayfleet, time
with rayfleet.LocalCluster(pools={"one": {"CPU": 1, }}, name="orphan"):
    print("up", flush=True)
    time.sleep(600)
"""

FAILING = """
import rayfleet
with rayfleet.LocalCluster(pools={"one": {"CPU": 1}}, name="failing"):
    raise ValueError("of the user")
"""


def test_a_block_has_a_cluster_and_leaves_nothing(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHOLE], env=fleet.environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "InvalidOrder there is no setting 'idle_timeout' did you mean idle_timeout_s?" in done.stdout
    assert done.stdout.endswith("done\n")
    assert fleet.json("list") == []


def test_an_error_in_the_block_ends_the_cluster_too(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING], env=fleet.environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert "ValueError: of the user" in done.stderr
    assert fleet.json("list") == []


def test_a_process_that_is_killed_takes_its_cluster_with_it(fleet: Fleet) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LASTING], env=fleet.environment, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        os.kill(owner.pid, signal.SIGKILL)
    fleet.wait(lambda: fleet.json("list")[0]["state"] == "down")
    fleet.assert_nothing_is_left("orphan")
