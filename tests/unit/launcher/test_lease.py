"""At most one process controls a cluster, and a note of a process that is gone is not believed."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.errors import AlreadyControlled
from rayfleet.launcher.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return homes.create("one")


HOLD = """
import sys
from rayfleet.launcher import home, lease
with lease.lease(home.Home(home.root() / "one")):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold() -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_controller_refuses_and_names_the_first(home: Home) -> None:
    with hold() as first:
        try:
            with pytest.raises(AlreadyControlled, match=f"process {first.pid} on .*, since 20"), lease.lease(home):
                pass
            assert not lease.is_free(home)
            found = lease.controller(home)
            assert found is not None
            assert found.process.pid == first.pid
        finally:
            first.kill()


def test_the_lease_ends_with_its_holder_however_that_ends(home: Home) -> None:
    with hold() as first:
        first.kill()
        first.wait()
    assert lease.is_free(home)
    assert lease.controller(home) is None
    assert lease.holder(home) is not None
    assert home.is_up
    with lease.lease(home, "down"):
        found = lease.controller(home)
        assert found is not None
        assert (found.process.pid, found.role) == (os.getpid(), "down")


def test_who_only_looks_holds_nothing(home: Home) -> None:
    with lease.lease(home):
        pass
    with home.lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert lease.is_free(home)


def test_a_zombie_holds_nothing(home: Home) -> None:
    with hold() as first:
        first.kill()
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        assert lease.controller(home) is None


def test_a_pid_that_was_given_away_is_somebody_else(home: Home) -> None:
    with lease.lease(home):
        told = json.loads(home.controller.read_text())
        told["process"]["started"] += 1
        home.controller.write_text(json.dumps(told))
        assert lease.controller(home) is None


def test_a_process_of_another_boot_or_host_is_not_ours(home: Home) -> None:
    with lease.lease(home):
        good = json.loads(home.controller.read_text())
        for key in ("boot", "host"):
            home.controller.write_text(json.dumps({**good, key: "another"}))
            assert lease.controller(home) is None
        home.controller.write_text(json.dumps(good))
        assert lease.controller(home) is not None
    assert lease.controller(home) is None  # we live on, without the lease


@pytest.mark.parametrize("text", ["", "[]", "{", '{"process": 1}', '{"process": {"pid": 1}}'])
def test_half_a_note_is_nobody(home: Home, text: str) -> None:
    home.controller.write_text(text)
    assert lease.holder(home) is None
    with lease.lease(home):
        assert lease.controller(home) is not None


def test_nothing_is_signalled_but_the_very_process(home: Home) -> None:
    with hold() as first:
        found = lease.controller(home)
        assert found is not None
        first.kill()
        first.wait()
        assert not found.send(signal.SIGTERM)
