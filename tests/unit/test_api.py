"""The public names of the package, and what they refuse before anything is started."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rayfleet
from rayfleet import api
from rayfleet.engines.ray.settings import new_settings
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import InvalidOrder, LauncherError, NoCluster
from rayfleet.launcher.known import CLUSTER_VARIABLE
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import Order, TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History
from rayfleet.testing.snapshots import pool, snapshot


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)


def test_what_is_listed_is_what_there_is() -> None:
    assert set(rayfleet.__all__) == {*api.__all__, "__version__"} == set(dir(rayfleet))
    assert all(getattr(rayfleet, name).__doc__ for name in api.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        _ = rayfleet.nosuch


def test_importing_the_package_loads_none_of_its_rooms() -> None:
    code = "import sys, rayfleet; print(*[m for m in sys.modules if m.startswith(('rayfleet.', 'ray.', 'pydantic'))])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


def test_the_api_needs_no_ray_until_it_is_used() -> None:
    code = "import sys, rayfleet.api; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("call", [rayfleet.status, rayfleet.set_policy, rayfleet.request_resources])
def test_without_a_cluster_every_call_says_so(call: object) -> None:
    assert callable(call)
    with pytest.raises(NoCluster, match="no cluster is up") as caught:
        call()
    assert caught.value.hint == "start one: rayfleet up"


def test_a_file_says_itself_what_its_limits_are() -> None:
    with pytest.raises(ValueError, match="config says"):
        rayfleet.LocalCluster(config="cluster.yaml", max_workers=3)


def test_clusters_get_different_names() -> None:
    assert rayfleet.LocalCluster().name != rayfleet.LocalCluster().name


def test_ending_what_was_never_started_ends_nothing() -> None:
    home = homes.create("never")
    rayfleet.LocalCluster(name="never").stop()
    assert home.path.exists()


def test_a_path_is_no_name() -> None:
    with pytest.raises(LauncherError, match="cannot be the name of a cluster"):
        rayfleet.LocalCluster(name="/tmp")


def test_a_cluster_that_somebody_else_has_started_is_left_alone() -> None:
    home = homes.create("theirs")
    home.write(home.config, "cluster_name: theirs\n")
    home.write(home.controller, "{}")
    with pytest.raises(LauncherError, match="theirs is up already"), rayfleet.LocalCluster(name="theirs"):
        pass
    assert home.is_up
    assert home.config.read_text() == "cluster_name: theirs\n"


@pytest.mark.parametrize("wishes", [{"num_cpus": -1}, {"bundles": [{"CPU": -1}]}])
def test_nobody_wishes_for_less_than_nothing(wishes: dict[str, Any]) -> None:
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    home.write(home.controller, "{}")
    new_settings("one", home.path, preferred_default=False).save()
    with pytest.raises(ValueError, match=r"nobody can have|less than nothing"):
        rayfleet.request_resources(**wishes)


# ---- set_policy, towards a cluster whose controller only holds its lease ----------------------------------------

HOLD = """
import signal, sys
from rayfleet.launcher import home, lease
signal.signal(signal.SIGUSR1, signal.SIG_IGN)     # the call that there are new orders
with lease.lease(home.Home(home.root() / "one")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def controlled(nothing_is_up: None) -> Iterator[homes.Home]:
    """Return a cluster with a pool cpu4 that has recorded one tick, and whose controller lives."""
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\n")
    of = snapshot(pool("cpu4", CPU=4, max_workers=3), max_workers=8)

    async def record() -> None:
        history = History(home.history)
        await history.write(TickReport(1, "one", of, plan(of)))
        await history.close()

    asyncio.run(record())
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield home
        holder.kill()


def ordered(home: homes.Home) -> list[tuple[str, str, str]]:
    """Return kind, target and value of every order that waits, in the order in which they were given."""

    async def read() -> tuple[Order, ...]:
        ledger = SqliteLedger(home.ledger)
        try:
            return (await ledger.load()).orders
        finally:
            await ledger.close()

    return sorted((order.kind.value, order.target, order.value) for order in asyncio.run(read()))


def test_settings_are_ordered_as_on_the_command_line(controlled: homes.Home) -> None:
    rayfleet.set_policy(max_workers=None, pools={"cpu4": {"max_workers": 2}})
    assert ordered(controlled) == [("set", "cpu4.max_workers", "2"), ("set", "max_workers", "null")]


def test_settings_are_cleared_alone_and_beside_others(controlled: homes.Home) -> None:
    rayfleet.set_policy(clear=["cpu4.max_workers", "upscaling_speed"], idle_timeout_s=5)
    rayfleet.set_policy(cluster="one", clear="max_workers")
    assert ordered(controlled) == [
        ("set", "idle_timeout_s", "5.0"),
        ("unset", "cpu4.max_workers", ""),
        ("unset", "max_workers", ""),
        ("unset", "upscaling_speed", ""),
    ]


@pytest.mark.parametrize("clear", [["cpu4.max_worker"], ["max_workers", "cpu5.max_workers"], "idle_timeout"])
def test_a_wrong_name_clears_and_changes_nothing(clear: str | list[str], controlled: homes.Home) -> None:
    with pytest.raises(InvalidOrder, match="there is no"):
        rayfleet.set_policy(clear=clear, idle_timeout_s=5)
    assert ordered(controlled) == []


def test_a_setting_is_not_changed_and_cleared_at_once(controlled: homes.Home) -> None:
    with pytest.raises(ValueError, match=r"at the same time: cpu4\.priority"):
        rayfleet.set_policy(pools={"cpu4": {"priority": 1}}, clear=["cpu4.priority", "max_workers"])
    assert ordered(controlled) == []
