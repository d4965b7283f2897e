"""`up` and `down` beside each other: what one has begun, the other neither undoes nor mistakes for something else."""

import asyncio
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rayfleet.launcher import daemon, lease
from rayfleet.launcher import home as homes
from rayfleet.launcher.down import down
from rayfleet.launcher.errors import AlreadyControlled, TookTooLong
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.progress import Step
from rayfleet.launcher.spec import Wanted, pools_text, wanted
from rayfleet.launcher.up import prepare, take_up, up
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import Claim, OfferKey, Order, Plan, Policy, Snapshot, TickReport
from rayfleet.providers.process import procfs
from rayfleet.reports.history import History

END = shutdown(Author("ann", 1.0))
HOLD = """
import signal, sys
from rayfleet.launcher import home, lease
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the call that there are orders
with lease.lease(home.Home(home.root() / "one"), sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return homes.create("one")


@contextmanager
def held(role: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process control the cluster, which does nothing but that."""
    command = [sys.executable, "-c", HOLD, role]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def asked_for(cpus: int = 1) -> Wanted:
    return wanted(pools_text("one", {"cpu": {"resources": {"CPU": cpus}}}), "one.yaml")


async def give(home: Home, order: Order) -> None:
    ledger = SqliteLedger(home.ledger)
    await ledger.add_order(order)
    await ledger.close()


async def standing(home: Home) -> tuple[Order, ...]:
    ledger = SqliteLedger(home.ledger)
    try:
        return (await ledger.load()).orders
    finally:
        await ledger.close()


async def record_an_end(home: Home) -> None:
    """Record what the last tick of a cluster says that was ended, a long time ago."""
    history = History(home.history)
    await history.write(TickReport(1, "one", Snapshot(100.0, Policy(())), Plan(orders=(END,))))
    await history.close()


async def test_a_configuration_that_its_controller_does_not_know_is_not_written(home: Home) -> None:
    first = asked_for(cpus=1)
    _, ports = prepare(first)
    with ports, held(lease.CONTROLLER) as controller:
        second = asked_for(cpus=2)
        assert second.stale
        with pytest.raises(AlreadyControlled, match=f"process {controller.pid} on"):
            await take_up(home, second)
        assert home.config.read_text() == first.text
        assert asked_for(cpus=2).stale


async def test_who_takes_it_up_wants_it(home: Home) -> None:
    _, ports = prepare(asked_for())
    with ports:
        await give(home, END)
        await take_up(home, asked_for())
    assert await standing(home) == ()
    assert lease.is_free(home)


async def test_the_end_of_a_controller_before_is_not_the_end_of_this_one(home: Home) -> None:
    await record_an_end(home)
    home.write(home.config, asked_for().text)
    with held(lease.CONTROLLER), pytest.raises(TookTooLong, match="the controller takes over"):
        await up(asked_for(), timeout_s=0.0)


async def test_a_cluster_that_was_ordered_to_end_is_not_taken_for_one_that_is_up(home: Home) -> None:
    await give(home, END)
    home.write(home.config, asked_for().text)
    with held(lease.CONTROLLER) as controller, pytest.raises(AlreadyControlled, match="is being ended") as caught:
        await up(asked_for(), timeout_s=0.0)
    assert f"process {controller.pid}" in str(caught.value)


async def test_while_traces_are_removed_nobody_takes_it_up(home: Home) -> None:
    seen: list[tuple[str, bool]] = []

    def look(home: Home) -> Callable[[Step], None]:
        return lambda step: seen.append((step.text, lease.is_free(home)))

    ended = await down(home, look(home))
    assert seen == [("looking for what is left", False)]
    assert (ended.left_behind, home.is_up, lease.is_free(home)) == ((), False, True)


async def test_who_ends_a_cluster_is_told_when_somebody_takes_it_up_again(home: Home) -> None:
    """The controller does nothing; its record, of later than the order, knows of no order."""
    _, ports = prepare(asked_for())
    claim = Claim("head-1", OfferKey("head"), head=True)
    history = History(home.history)
    await history.write(TickReport(1, "one", Snapshot(4e9, Policy(())), Plan(claims=(claim,))))
    await history.close()
    with ports, held(lease.CONTROLLER), pytest.raises(AlreadyControlled, match="taken up again by somebody else"):
        await down(home)
    assert home.settings.exists()


def test_a_controller_that_has_ended_stays_no_zombie_of_whoever_started_it(home: Home) -> None:
    home.write(home.config, asked_for().text)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pid = daemon.spawn(home).pid  # ends at once, for the cluster has no address
        gc.collect()
    assert told == []
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    asyncio.run(down(home))
    assert procfs.stat(pid) is None


async def test_a_cluster_that_somebody_controls_is_not_swept(home: Home) -> None:
    with held(lease.CONTROLLER) as controller, pytest.raises(AlreadyControlled, match=f"process {controller.pid}"):
        await down(home)
    assert home.is_up
