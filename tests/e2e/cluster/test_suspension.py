"""A cluster of this machine is suspended and resumed: its nodes end, its name, configuration and history stay."""

import pytest
from tests.e2e.cluster.fleet import Fleet, config

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

NAME = "resting"
WORK = """
import ray
ray.init(log_to_driver=False)
print("worked:", ray.get(ray.remote(num_cpus=1)(lambda: 1).remote()))
"""


def test_suspended_it_leaves_nothing_running_and_resumed_it_works(fleet: Fleet) -> None:
    fleet("up", config(fleet.folder, NAME))
    rests = fleet.json("suspend")
    before = len(fleet.json("history", NAME, "-n", "1000"))
    assert (rests["cluster"], rests["ok"], rests["head"]) == (NAME, True, "")
    assert rests["released"] >= 1
    fleet.assert_nothing_is_left(NAME)
    assert fleet.json("status", NAME)["state"] == "suspended"
    assert [each["state"] for each in fleet.json("list")] == ["suspended"]
    refused = fleet("run", "--cluster", NAME, "--", "true", check=False)
    assert f"rayfleet resume {NAME}" in refused.stderr

    standing = fleet.json("resume")
    assert standing["cluster"] == NAME
    assert "worked: 1" in fleet.python(WORK).stdout
    assert [each["state"] for each in fleet.json("list")] == ["up"]
    assert len(fleet.json("history", NAME, "-n", "1000")) > before > 0


def test_down_of_what_is_suspended_is_down(fleet: Fleet) -> None:
    fleet("suspend", NAME)
    assert fleet.json("down", NAME)["ok"]
    assert [each["state"] for each in fleet.json("list")] == ["down"]
    assert "down, not suspended" in fleet("resume", NAME, check=False).stderr
