"""Which cluster is wanted, and the configuration of one for which nobody wrote any."""

from pathlib import Path

import pytest

from rayfleet.config import ConfigInvalid
from rayfleet.launcher import home as homes
from rayfleet.launcher import spec
from rayfleet.launcher.errors import LauncherError, UnknownCluster
from rayfleet.launcher.home import Home
from rayfleet.launcher.spec import Limits

FILE = """
cluster_name: ours
provider: {type: process}
head_node_type: head
available_node_types: {head: {resources: {CPU: 0}}, small: {resources: {CPU: 2}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.yaml").write_text(FILE)
    return tmp_path


def stand(name: str, text: str, *, up: bool) -> Home:
    home = homes.create(name)
    home.write(home.config, text)
    if up:
        home.write(home.controller, "{}")
    return home


def test_a_file_names_its_cluster_and_a_user_may_name_it_otherwise() -> None:
    assert spec.resolve("ours.yaml").name == "ours"
    other = spec.resolve("ours.yaml", "other")
    assert (other.name, other.spec.name, other.text, other.fresh, other.stale) == ("other", "other", FILE, True, False)


def test_a_cluster_by_name_cannot_be_called_otherwise() -> None:
    stand("ours", FILE, up=False)
    with pytest.raises(LauncherError, match="ours has its name already") as caught:
        spec.resolve("ours", "other")
    assert caught.value.hint.endswith("ours/cluster.yaml --name other")
    assert spec.resolve("ours", "ours").name == "ours"


def test_a_cluster_that_is_up_under_another_text_is_stale() -> None:
    stand("ours", FILE, up=True)
    same = spec.resolve("ours.yaml")
    assert (same.fresh, same.stale) == (False, False)
    Path("ours.yaml").write_text(FILE.replace("CPU: 2", "CPU: 3"))
    assert spec.resolve("ours.yaml").stale
    assert not spec.resolve("ours").stale


def test_a_cluster_that_is_down_comes_back_as_it_was_by_name_only() -> None:
    stand("default", FILE, up=False)
    assert spec.resolve("default").text == FILE
    assert spec.resolve(None).text != FILE


def test_a_cluster_that_is_up_keeps_its_configuration_when_no_file_is_given() -> None:
    stand("default", FILE, up=True)
    assert spec.resolve(None).text == FILE


def test_without_a_file_there_are_pools_that_this_machine_carries() -> None:
    wanted = spec.resolve(None)
    policy = wanted.spec.policy
    assert (wanted.name, wanted.spec.provider) == ("default", "process")
    assert [pool.name for pool in policy.pools] == ["cpu1", "cpu2", "cpu4"]
    assert policy.head is not None
    assert "CPU" not in policy.head.resources
    assert policy.max_workers
    assert policy.idle_timeout_s == 60
    assert policy.upscaling_speed is None


def test_limits_of_a_cluster_without_a_file() -> None:
    text = spec.pools_text("x", {"one": {"resources": {"CPU": 1}}}, limits=Limits(7, 3))
    policy = spec.wanted(text, "pools").spec.policy
    assert (policy.max_workers, policy.idle_timeout_s) == (7, 3)
    assert spec.wanted(spec.default_text("x", Limits(7)), "pools").spec.policy.max_workers == 7


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("nosuch.yaml", LauncherError),
        ("nosuch", UnknownCluster),
        ("broken.yaml", ConfigInvalid),
        (".yaml", LauncherError),
    ],
)
def test_what_cannot_be_wanted_is_refused(word: str, error: type[Exception]) -> None:
    Path("broken.yaml").write_text("cluster_name: [\n")
    with pytest.raises(error):
        spec.resolve(word)


def test_a_cluster_that_is_down_cannot_be_assembled() -> None:
    home = stand("ours", FILE, up=False)
    with pytest.raises(LauncherError, match="ours is down"):
        spec.assemble(home)
