"""Ctrl-C in a command that waits for what it orders: from the moment that the order is written, it stands."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.launcher.home import Home
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History
from rayfleet.testing.snapshots import pool, snapshot

INTERRUPTED = 130
HOLD = """
import signal, sys
from rayfleet.launcher import home, lease
signal.signal(signal.SIGUSR1, signal.SIG_IGN)     # the call that there are new orders
with lease.lease(home.Home(home.root() / "one")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def controlled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Return a cluster with a pool cpu4 that has recorded one tick, and whose controller does nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    of = snapshot(pool("cpu4", CPU=4, max_workers=3), max_workers=8)

    async def record() -> None:
        history = History(home.history)
        await history.write(TickReport(1, "one", of, plan(of)))
        await history.close()
        ledger = SqliteLedger(home.ledger)
        await ledger.load()
        await ledger.close()

    asyncio.run(record())
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield home
        holder.kill()


def holds(file: Path, text: bytes) -> bool:
    """Say whether a file has a text in it. SQLite's write-ahead log may go at any moment."""
    try:
        return text in file.read_bytes()
    except FileNotFoundError:
        return False


def test_an_order_that_is_being_written_stands(controlled: Home) -> None:
    command = [sys.executable, "-m", "rayfleet", "scale", "one", "cpu4", "2", "--wait"]
    files = [controlled.ledger, controlled.ledger.with_name(f"{controlled.ledger.name}-wal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ordering:
        while not any(holds(file, b"scale:cpu4") for file in files):
            assert ordering.poll() is None
        ordering.send_signal(signal.SIGINT)
        out, errors = ordering.communicate()
    assert errors == "error: interrupted; the order stands\n hint: rayfleet why one cpu4\n"
    assert (ordering.returncode, out) == (INTERRUPTED, "")
