"""What `up` and `down` run on a head: one at a time, and nothing that outlives the machine's part in the cluster."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rayfleet.launcher import daemon, lease
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote import head
from rayfleet.launcher.remote.login import KEY
from rayfleet.loop.clock import SystemClock
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.virtual_time import run_virtual

CONFIG = {"cluster_name": "one", "provider": {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = homes.create("one")
    found.write(found.config, json.dumps(CONFIG))
    return found


async def stop() -> dict[str, Any]:
    """Stop it where no host is asked for anything."""
    return await head.stop("one", lambda _spec, _home, _login: FakeProvider(FakePlace(SystemClock()), name="local"))


def test_a_stop_waits_for_a_start_that_a_killed_up_has_left_behind(home: Home) -> None:
    async def story() -> None:
        async with head.alone(home):
            stopping = asyncio.create_task(stop())
            await asyncio.sleep(5)
            assert not stopping.done()
        assert await stopping == {"stopped": False}

    run_virtual(story())


def test_a_stop_leaves_no_secret_on_the_head(home: Home) -> None:
    for name in (KEY, "ray-token", "ray.json"):
        home.write(home.path / name, "secret")
    run_virtual(stop())
    assert {path.name for path in home.path.iterdir()} == {"cluster.yaml", "head.lock", "logs"}


def secrets_of(home: Home) -> set[str]:
    return {path.name for path in home.path.glob("alert-secret-*")}


def test_a_start_leaves_only_the_secrets_that_alerts_still_need(home: Home) -> None:
    """Also where the controller goes on by the same configuration: an earlier release has left them."""
    folder = "file:~/.local/state/rayfleet/clusters/one"
    alerting = {"slack_webhook": f"{folder}/alert-secret-0", "urls": [f"{folder}/alert-secret-10"]}
    home.write(home.config, json.dumps({**CONFIG, "monitoring_config": {"alerting": alerting}}))
    for number in (0, 1, 2, 10):
        home.write(home.path / f"alert-secret-{number}", "secret")
    home.write(home.path / KEY, "key")
    home.write(home.path / "controlled", head.digest_of(home, head.settings_of(home)))
    with lease.lease(home):
        assert run_virtual(head.start("one"))["started"] is False
    assert secrets_of(home) == {"alert-secret-0", "alert-secret-10"}
    assert (home.path / KEY).exists()
    home.forget_alert_secrets()
    assert secrets_of(home) == set()


def test_the_machine_that_launches_is_no_head(home: Home) -> None:
    home.write(home.remote, "{}")
    with pytest.raises(LauncherError, match="this machine launches one"):
        run_virtual(head.start("one"))


def test_what_is_waited_for_before_there_is_a_report(home: Home) -> None:
    told = head.state("one")
    assert (told["controlled"], told["workers"], told["said"]) == (False, 0, [])
    assert told["step"] is not None
    assert told["passed_over"] == {}
    assert lease.controller(home) is None


def test_a_controller_has_nothing_of_others_and_the_mark_of_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the mark it ends with the head when that is given back without having been asked."""
    monkeypatch.setenv("RAYFLEET_CLUSTER", "other")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not [name for name in daemon.environment() if name in ("RAYFLEET_CLUSTER", "RAY_ADDRESS")]
    assert daemon.environment("one")["RAYFLEET_CLUSTER"] == "one"
    monkeypatch.setenv("RAYFLEET_LOG_FORMAT", "json")
    assert daemon.environment()["RAYFLEET_LOG_FORMAT"] == "json", "which is meant for it"


def test_the_ledger_of_another_head_is_no_ledger_of_this_one(home: Home) -> None:
    """A host of one's own keeps its files from one cluster's life to the next."""
    head.begin_anew_on(home, "host1-a")
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "history.sqlite"):
        (home.path / name).write_text("", encoding="utf-8")
    head.begin_anew_on(home, "host1-a")
    assert home.ledger.exists()
    head.begin_anew_on(home, "host1-b")
    assert {path.name for path in home.path.iterdir()} == {"cluster.yaml", "head-machine", "history.sqlite", "logs"}
