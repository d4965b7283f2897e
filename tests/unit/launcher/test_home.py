"""One private folder per cluster, and which cluster a word means."""

from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.launcher.errors import LauncherError, NoCluster, SeveralClusters, UnknownCluster
from rayfleet.launcher.home import Home


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    return tmp_path


def made(name: str, *, up: bool = False) -> Home:
    home = homes.create(name)
    home.write(home.config, f"cluster_name: {name}\n")
    if up:
        home.write(home.controller, "{}")
    return home


def test_the_folder_is_private_and_where_xdg_says(state: Path) -> None:
    home = homes.create("one")
    assert home.path == state / "rayfleet" / "clusters" / "one"
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.logs.stat().st_mode & 0o777 == 0o700


def test_a_relative_state_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert homes.root() == tmp_path / ".local" / "state" / "rayfleet" / "clusters"


def test_files_are_replaced_whole_and_readable_by_the_user_alone() -> None:
    home = made("one")
    home.write(home.config, "new")
    assert home.config.read_text() == "new"
    assert home.config.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in home.path.iterdir()) == ["cluster.yaml", "logs"]


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "-x", "a b", "x" * 64, "é"])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(LauncherError, match="cannot be the name"):
        homes.create(name)


def test_a_folder_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(LauncherError, match="cannot be made") as caught:
        homes.create("one")
    assert "XDG_STATE_HOME" in caught.value.hint


def test_an_unknown_name_is_answered_with_a_likely_one() -> None:
    made("training")
    with pytest.raises(UnknownCluster, match="'trxining'") as caught:
        homes.find("trxining")
    assert caught.value.hint == "did you mean training?"


def test_an_unknown_name_is_answered_with_all_names() -> None:
    made("b")
    made("a")
    with pytest.raises(UnknownCluster) as caught:
        homes.find("zzzzzz")
    assert caught.value.hint == "known: a, b"


@pytest.mark.parametrize("word", ["{there}", "{there}/", "../../../project", ".", "", "a/../a"])
def test_a_path_is_no_name_of_a_cluster(word: str, tmp_path: Path) -> None:
    made("a")
    there = tmp_path / "project"
    there.mkdir()
    (there / "cluster.yaml").write_text("cluster_name: a\n")
    with pytest.raises(UnknownCluster):
        homes.find(word.format(there=there))


def test_without_a_name_the_only_one_that_is_up_is_meant() -> None:
    made("down")
    up = made("up", up=True)
    assert known.choose(None) == up


def test_without_a_name_and_none_up_it_says_how_to_start_one() -> None:
    made("down")
    with pytest.raises(NoCluster, match=r"no cluster is up on this machine \(down: down\)") as caught:
        known.choose(None)
    assert caught.value.hint == "start one: rayfleet up"


def test_without_a_name_and_several_up_all_are_named() -> None:
    made("a", up=True)
    made("b", up=True)
    with pytest.raises(SeveralClusters, match="a, b"):
        known.choose(None)


def test_inside_of_a_cluster_that_one_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    made("a", up=True)
    inside = made("b", up=True)
    monkeypatch.setenv(known.CLUSTER_VARIABLE, "b")
    assert known.choose(None) == inside


def test_a_cluster_that_went_down_is_not_meant_by_its_old_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    up = made("a", up=True)
    made("b")
    monkeypatch.setenv(known.CLUSTER_VARIABLE, "b")
    assert known.choose(None) == up


@pytest.mark.parametrize(
    ("words", "needed", "expected"),
    [
        ([], 0, (None, [])),
        (["one"], 0, ("one", [])),
        (["one"], 1, (None, ["one"])),
        (["one", "cpu"], 1, ("one", ["cpu"])),
        (["cpu", "3"], 2, (None, ["cpu", "3"])),
        (["cpu", "3"], 1, (None, ["cpu", "3"])),
        (["fleet.yaml", "cpu", "3"], 2, ("fleet.yaml", ["cpu", "3"])),
    ],
)
def test_the_first_word_may_be_the_cluster(
    words: list[str], needed: int, expected: tuple[str | None, list[str]]
) -> None:
    made("one")
    assert known.split(words, needed) == expected
