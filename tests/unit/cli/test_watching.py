"""`status --watch` for programs: one object after the other, until Ctrl-C."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.model import TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History
from rayfleet.testing.snapshots import pool, snapshot


def test_what_is_watched_by_a_program_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    of = snapshot(pool("cpu4", CPU=4, max_workers=3))

    async def record() -> None:
        history = History(home.history)
        await history.write(TickReport(7, "one", of, plan(of)))
        await history.close()

    asyncio.run(record())
    command = [sys.executable, "-m", "rayfleet", "status", "one", "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())["tick"] == 7
            watching.send_signal(signal.SIGINT)
            _, errors = watching.communicate()
        finally:
            watching.kill()
    assert (watching.returncode, errors) == (0, "")
