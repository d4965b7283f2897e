"""What a controller inherits from the shell that starts it."""

import pytest

from rayfleet.launcher import daemon


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
