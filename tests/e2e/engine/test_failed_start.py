"""A head whose start fails, or is ended before it is up, leaves nothing in Ray's temporary directory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.e2e.engine.real_cluster import PATIENCE_S, pool

from rayfleet.engines.ray.boot import start_script
from rayfleet.engines.ray.settings import RaySettings, new_settings

pytestmark = [pytest.mark.ray, pytest.mark.timeout(150)]


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a temporary directory that other Ray uses; its path is short enough for Ray's sockets."""
    with TemporaryDirectory(prefix="rft-", dir="/tmp") as folder:
        (Path(folder) / "session_1_1/logs").mkdir(parents=True)
        (Path(folder) / "session_latest").symlink_to(Path(folder) / "session_1_1")
        yield Path(folder)


@pytest.fixture
def settings(shared: Path, tmp_path: Path) -> RaySettings:
    fresh = new_settings("failing", tmp_path / "cluster", preferred_default=False)
    settings = replace(fresh, temp_dir=str(shared))
    settings.save()
    return settings


def start(settings: RaySettings, folder: Path) -> subprocess.Popen[str]:
    script = start_script(settings, pool("head", CPU=0), head=True)
    identity = {"RAYFLEET_MACHINE_ID": "head", "RAYFLEET_MACHINE_DIR": str(folder), "RAYFLEET_CLUSTER": "failing"}
    return subprocess.Popen(
        script.argv,
        env={**os.environ, **script.env, **identity},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_only_others_are_left(shared: Path) -> None:
    assert [path.name for path in shared.glob("session_*_*")] == ["session_1_1"]
    assert (shared / "session_latest").readlink() == shared / "session_1_1"
    assert not (shared / "ray_current_cluster").exists()


def test_a_head_that_cannot_start_leaves_nothing(settings: RaySettings, shared: Path, tmp_path: Path) -> None:
    """Ray refuses so small an object store. What its logs said is in the machine's own log."""
    with start(replace(settings, object_store_bytes=1000), tmp_path) as head:
        said, _ = head.communicate(timeout=120)
    assert head.returncode not in {0, None}, said
    assert_only_others_are_left(shared)
    assert "rayfleet node: gcs_server." in said, "GCS was up by then"


def test_a_head_that_is_ended_while_it_starts_leaves_nothing(
    settings: RaySettings, shared: Path, tmp_path: Path
) -> None:
    with start(settings, tmp_path) as head:
        deadline = time.monotonic() + PATIENCE_S
        while not list(shared.glob(f"session_*_{head.pid}")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        head.send_signal(signal.SIGTERM)
        said, _ = head.communicate(timeout=60)
    assert head.returncode == 0, said
    assert_only_others_are_left(shared)
