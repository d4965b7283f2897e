"""What a controller inherits from the shell that starts it."""

import re
from pathlib import Path

import pytest

import rayfleet
from rayfleet.contracts import StartScript
from rayfleet.launcher import daemon
from rayfleet.providers.process import identity
from rayfleet.wire.user_data import user_data

_ROOM = Path(rayfleet.__file__).parent
_OF_A_MACHINE = {identity.CLUSTER, identity.CLUSTER_TAG, identity.MACHINE_ID, identity.MACHINE_DIR}


def test_a_controller_gets_the_shell_s_variables_but_not_those_of_another_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK", "https://hooks.example.com/x")
    for name in ("RAYFLEET_MACHINE_ID", "RAYFLEET_CLUSTER", "RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "of another")
    found = daemon.environment()
    assert found["SLACK_WEBHOOK"] == "https://hooks.example.com/x"
    assert "of another" not in found.values()
    assert daemon.environment("demo")["RAYFLEET_CLUSTER"] == "demo"


def test_a_controller_is_told_how_its_log_is_to_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_LOG_FORMAT", "json")
    assert daemon.environment()["RAYFLEET_LOG_FORMAT"] == "json"


def _read_in(*rooms: str) -> set[str]:
    """Return the variables of rayfleet's own that these rooms name, but not those that tell where a machine is."""
    files = [path for room in rooms for path in (_ROOM / room).rglob("*.py")]
    names = {name for path in files for name in re.findall(r'"(RAYFLEET_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    return names - _OF_A_MACHINE - {"RAYFLEET_NODE"}


def test_a_controller_gets_whatever_a_provider_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    names = _read_in("providers", "wire/coordinator") | {"RAYFLEET_OF_A_PROVIDER_ELSEWHERE"}
    assert {"RAYFLEET_ALIYUN_ENDPOINT", "RAYFLEET_COORDINATOR_TOKEN"} <= names
    for name in names:
        monkeypatch.setenv(name, "told")
    assert names <= {name for name, value in daemon.environment().items() if value == "told"}


def test_a_controller_gets_nothing_of_what_a_machine_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    written = user_data(StartScript(("true",)), cluster="other", own_id="hostname")
    names = (
        set(re.findall(r"export (RAYFLEET_[A-Z_]+)=", written)) | _OF_A_MACHINE | {"RAYFLEET_NODE", "RAYFLEET_ADDRESS"}
    )
    for name in names:
        monkeypatch.setenv(name, "of another")
    assert not names & set(daemon.environment())
