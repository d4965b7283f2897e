"""`rayfleet up` at an emulated cloud, whose machines are real hosts: a real Ray cluster, and go.

The tests of this file are one story, in this order: they share one cluster for each cloud, which the last one ends.
"""

import json

import pytest
from tests.e2e.remote.cloud import Cloud

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.timeout(400)]

MEETING = """
import ray
ray.init(logging_level="error")

@ray.remote(num_cpus=1)
class Guest:
    def where(self):
        return ray.util.get_node_ip_address()

guests = [Guest.remote() for _ in range(3)]
print("met:", " ".join(sorted(ray.get([guest.where.remote() for guest in guests]))))
"""
"""Three actors at once: each node has one CPU, so they need three nodes."""


def test_up_makes_a_head_by_one_launch(cloud: Cloud) -> None:
    ran = cloud.rayfleet("up", "cloud.yaml", "--json", "--timeout", "300")
    assert json.loads(ran.stdout)["workers"] == 0
    (head,) = cloud.living()
    assert head.head
    assert len(cloud.launches()) == 1
    assert cloud.rayfleet("get-head-ip", "cloud.yaml").stdout.split() == [head.address]
    assert "1 head" in cloud.rayfleet("exec", "cloud.yaml", "ray status").stdout


def test_demand_makes_workers_which_start_themselves_by_their_user_data(cloud: Cloud) -> None:
    (cloud.folder / "meeting.py").write_text(MEETING, encoding="utf-8")
    ran = cloud.rayfleet("submit", "cloud.yaml", "meeting.py")
    launched = cloud.living()
    assert f"met: {' '.join(sorted(each.address for each in launched))}" in ran.stdout
    assert len(launched) == 3
    assert all(b"ray start" in each.user_data or b"gunzip" in each.user_data for each in launched if not each.head)


def test_idle_workers_are_terminated(cloud: Cloud) -> None:
    cloud.until(lambda: len(cloud.living()) == 1)
    cloud.machines.settle()
    assert list(cloud.machines.running()) == [cloud.living()[0].address]


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)  # other emulators' hosts cannot be stopped and started again
def test_suspended_its_head_is_stopped_and_resumed_it_is_the_same(cloud: Cloud) -> None:
    """What is on its disk is there again, it was not set up anew, and Ray runs."""
    cloud.rayfleet("exec", "cloud.yaml", "echo precious >> ~/set_up")
    before, launches = cloud.rayfleet("get-head-ip", "cloud.yaml").stdout, len(cloud.launches())
    rests = json.loads(cloud.rayfleet("suspend", "cloud.yaml", "--json").stdout)
    assert (rests["ok"], rests["released"]) == (True, 0)
    cloud.machines.settle()
    assert cloud.machines.running() == {}
    assert [each.head for each in cloud.living()] == [True]
    assert "is suspended since" in cloud.rayfleet("status", "cloud.yaml").stdout
    assert json.loads(cloud.rayfleet("resume", "--json").stdout)["cluster"] == "cloudy"
    assert cloud.rayfleet("get-head-ip", "cloud.yaml").stdout == before
    found = cloud.rayfleet("exec", "cloud.yaml", "cat ~/set_up; ray status").stdout
    assert "set up\nprecious\n" in found
    assert "1 head" in found
    assert len(cloud.launches()) == launches


def test_workers_that_files_are_copied_to_are_set_up_over_ssh_by_the_head(cloud: Cloud) -> None:
    """They let the head in by the cluster's own key, which their user-data brings."""
    (cloud.folder / "data").write_text("from the laptop", encoding="utf-8")
    cloud.write(file_mounts={"/opt/data": "data"}, worker_setup_commands=["cat /opt/data > ~/copied"])
    cloud.rayfleet("up", "cloud.yaml", "--yes", "--no-restart", "--min-workers", "1", "--json")
    (worker,) = [each for each in cloud.living() if not each.head]
    host = cloud.machines.host(worker.address)
    assert host.run(["sh", "-c", "cat ~/copied"]).stdout == "from the laptop"
    assert b"ray start" not in worker.user_data
    assert b"gunzip" not in worker.user_data


def test_down_leaves_nothing(cloud: Cloud) -> None:
    """No instance in the emulator, no process on any host; and it may be asked for again."""
    assert json.loads(cloud.rayfleet("down", "cloud.yaml", "--json").stdout)["ok"]
    assert cloud.is_empty()
    again = json.loads(cloud.rayfleet("down", "cloud.yaml", "--json").stdout)
    assert (again["released"], again["ok"]) == (0, True)
    tokens = cloud.launches()
    assert len(tokens) == len(set(tokens))
