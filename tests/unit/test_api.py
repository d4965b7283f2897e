"""The public names of the package, and what they refuse before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest

import rayfleet
from rayfleet import api
from rayfleet.launcher.errors import NoCluster
from rayfleet.launcher.known import CLUSTER_VARIABLE


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)


def test_what_is_listed_is_what_there_is() -> None:
    assert set(rayfleet.__all__) == {*api.__all__, "__version__"} == set(dir(rayfleet))
    assert all(getattr(rayfleet, name).__doc__ for name in api.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = rayfleet.nosuch


def test_importing_the_package_loads_none_of_its_rooms() -> None:
    code = "import sys, rayfleet; print(*[m for m in sys.modules if m.startswith(('rayfleet.', 'ray.', 'pydantic'))])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


def test_the_api_needs_no_ray_until_it_is_used() -> None:
    code = "import sys, rayfleet.api; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("call", [rayfleet.status, rayfleet.set_policy, rayfleet.request_resources])
def test_without_a_cluster_every_call_says_so(call: object) -> None:
    assert callable(call)
    with pytest.raises(NoCluster, match="no cluster is up") as caught:
        call()
    assert caught.value.hint == "start one: rayfleet up"


def test_a_file_says_itself_what_its_limits_are() -> None:
    with pytest.raises(ValueError, match="config says"):
        rayfleet.LocalCluster(config="cluster.yaml", max_workers=3)


def test_clusters_get_different_names() -> None:
    assert rayfleet.LocalCluster().name != rayfleet.LocalCluster().name


def test_ending_what_was_never_started_is_done_already() -> None:
    rayfleet.LocalCluster(name="never").stop()
