"""`suspend` and `resume` as they are typed: which cluster is meant, and what is told of one that is suspended."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.contracts import Login
from rayfleet.launcher import home as homes
from rayfleet.launcher import known, suspension
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote import where
from rayfleet.launcher.remote.where import Where
from rayfleet.launcher.spec import pools_text
from rayfleet.launcher.suspension import Stage

NODE = {"node_config": {"InstanceType": "m5.large"}}
FAR = {
    "cluster_name": "far",
    "provider": {"type": "aws", "region": "us-west-2"},
    "auth": {"ssh_user": "me"},
    "head_node_type": "head",
    "available_node_types": {"head": NODE, "w": NODE},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """There is no cluster yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def far(**changes: Any) -> Home:
    """Return a cluster elsewhere that is up."""
    home = homes.create("far")
    home.write(home.config, json.dumps({**FAR, **changes}))
    where.save(home, Where("aws", "i-1", "10.0.0.1", "10.0.0.1", Login("me")))
    return home


def here(name: str) -> Home:
    """Return a cluster of this machine that is down."""
    home = homes.create(name)
    home.write(home.config, pools_text(name, {"cpu": {"resources": {"CPU": 1}}}))
    return home


def typed(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result.output


def test_status_of_what_is_suspended() -> None:
    home = far()
    noted = suspension.note(home, Stage.SUSPENDED)
    said = typed("status", "far")
    assert said.startswith("cluster far is suspended since 20")
    assert "rayfleet resume far" in said
    assert json.loads(typed("status", "far", "--json")) == {
        "cluster": "far",
        "state": "suspended",
        "since": noted.since,
    }


@pytest.mark.parametrize(
    ("stage", "words"),
    [(Stage.SUSPENDING, "half suspended: that was begun at 20"), (Stage.RESUMING, "half resumed, suspended since 20")],
)
def test_half_of_it_is_told_as_such(stage: Stage, words: str) -> None:
    suspension.note(far(), stage)
    assert words in typed("status", "far")
    assert words in typed("list")
    (entry,) = json.loads(typed("list", "--json"))
    assert entry["state"] == stage.value


def test_a_damaged_note_is_half_of_it() -> None:
    home = far()
    home.write(home.suspended, "{")
    assert "half suspended" in typed("status", "far")


@pytest.mark.parametrize("words", [("exec", "far", "ls"), ("logs", "far"), ("get-head-ip", "far"), ("why", "far")])
def test_no_verb_waits_for_a_head_that_is_stopped(words: tuple[str, ...]) -> None:
    suspension.note(far(), Stage.SUSPENDED)
    said = typed(*words, code=2)
    assert "error: cluster far is suspended since" in said
    assert "hint: rayfleet resume far" in said


@pytest.mark.parametrize("words", [("scale", "near", "cpu", "1"), ("run", "--cluster", "near", "--", "true")])
def test_nor_for_nodes_here_that_have_ended(words: tuple[str, ...]) -> None:
    suspension.note(here("near"), Stage.SUSPENDED)
    assert "error: cluster near is suspended since" in typed(*words, code=2)


def test_without_a_word_the_only_one_that_is_suspended() -> None:
    far()
    suspension.note(here("near"), Stage.SUSPENDED)
    assert known.choose(None).name == "far"
    assert known.choose_resting(None).name == "near"
    suspension.note(homes.find("far"), Stage.SUSPENDED)
    assert "several clusters are suspended: far, near" in typed("resume", code=2)
    suspension.clear(homes.find("far"))
    suspension.clear(homes.find("near"))
    assert "no cluster is suspended" in typed("resume", code=2)


def test_no_other_verb_means_what_is_suspended_without_naming_it() -> None:
    """Least of all `down`, after which the head's disk is gone."""
    suspension.note(far(), Stage.SUSPENDED)
    here("near")
    assert "no cluster is up on this machine (suspended: far; down: near)" in typed("down")
    assert homes.find("far").is_suspended
    assert "hint: rayfleet resume far" in typed("status", code=2)


def test_what_is_down_is_neither_suspended_nor_resumed() -> None:
    here("near")
    assert "cluster near is down, there is nothing to suspend" in typed("suspend", "near", code=2)
    assert "cluster near is down, not suspended" in typed("resume", "near", code=2)
    assert "no cluster is up" in typed("suspend", code=2)
    assert not homes.find("near").is_suspended


def test_machines_that_cannot_be_stopped_are_refused_with_what_there_is_instead() -> None:
    far(provider={"type": "external", "module": "somewhere.Provider"})
    said = typed("suspend", "far", code=2)
    assert "cannot be suspended: machines of provider external cannot be stopped and kept" in said
    assert "rayfleet down far gives everything back" in said
    assert not homes.find("far").is_suspended


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_help_has_examples(verb: str) -> None:
    assert f"rayfleet {verb} aws.yaml" in typed(verb, "--help")


@pytest.mark.parametrize("verb", ["suspend", "resume"])
def test_context_is_for_kubernetes(verb: str) -> None:
    far()
    assert "--context is for clusters in Kubernetes" in typed(verb, "far", "--context", "kind", code=2)
