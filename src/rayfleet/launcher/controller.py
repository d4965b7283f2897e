"""The controller: one process per cluster around the loop - lease, signals, log files.

SIGTERM     stops controlling; machines and jobs go on, and `rayfleet up` takes them up again
SIGUSR1     somebody wrote an order: look now
SIGINT      with --foreground: ends the cluster, as one expects of Ctrl-C; a second one only stops controlling
SIGHUP      the same: its terminal was closed (unless it is ignored, as under nohup)
SHUTDOWN    an order in the ledger (`rayfleet down`): everything goes, the head last, then this process too
--owner     a process that the cluster must not outlive (a notebook, a test): when it is gone, as SHUTDOWN

It is started as a module of its own, so that no command-line code stays in its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from rayfleet.config import ConfigInvalid
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, logs
from rayfleet.launcher.daemon import FOREGROUND, OWNER
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.metrics import offered
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.launcher.price_watch import INTERVALS, Intervals, PriceWatch
from rayfleet.launcher.spec import assemble, stored
from rayfleet.launcher.traces import end_leftovers, remove_traces
from rayfleet.loop.watch import kept_up
from rayfleet.providers.process import procfs
from rayfleet.providers.process.procfs import ProcessKey
from rayfleet.wiring import Assembly, registry

log = structlog.get_logger("rayfleet.controller")

EXIT_REFUSED: Final = 2
PRICES_AGAIN_S: Final = 3600.0
"""After an answer about prices that nobody expected."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a controller was started for. `owner`: the process that the cluster ends with, None: it has none."""

    cluster: str
    foreground: bool
    owner: ProcessKey | None


def main(arguments: list[str]) -> int:
    """Control the cluster that is named until told to stop; return the exit code."""
    task = _parsed(arguments)
    # Whoever orders something may send it as soon as we hold the lease. The first tick reads the order in any case.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        home = homes.find(task.cluster)
        logs.configure(home, also_here=task.foreground)
        with lease.lease(home):
            return asyncio.run(_control(home, task))
    except (LauncherError, ConfigInvalid) as error:
        hint = f"\n hint: {error.hint}" if isinstance(error, LauncherError) and error.hint else ""
        print(f"error: {error}{hint}", file=sys.stderr)  # noqa: T201 - for whoever started us
        return EXIT_REFUSED
    except Exception:
        log.exception("controller_crashed", cluster=task.cluster)
        raise


async def _control(home: Home, task: Task) -> int:
    assembly = assemble(home)
    controller = Controller(assembly, task)
    controller.listen()
    controller.keep_prices(home)
    log.info("controller_started", cluster=home.name)
    try:
        async with offered(home, assembly.exporter):
            await assembly.reconciler.run(controller.stop)
    finally:
        controller.close()
        await assembly.close()
    if not controller.stop.is_set():  # everything was released: there is nothing left to control
        left = await end_leftovers(home)
        if not left:
            remove_traces(home)
    log.info("controller_stopped", cluster=home.name, machines_stay=controller.stop.is_set())
    return 0


class Controller:
    """The signals of one controller, and what they set off."""

    def __init__(self, assembly: Assembly, task: Task) -> None:
        self.stop = asyncio.Event()
        self._assembly = assembly
        self._task = task
        self._running: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Let signals do what the module's docstring says."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._assembly.reconciler.wake, "order")
        loop.add_signal_handler(signal.SIGINT, self._interrupted if self._task.foreground else self.stop.set)
        if self._task.foreground and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))  # see `daemon.become_controller`
        if self._task.owner is not None:
            self._follow(self._task.owner)

    def keep_prices(self, home: Home, intervals: Intervals = INTERVALS) -> None:
        """Let new prices reach the plans, where the place can be asked for any."""
        reconciler, parts = self._assembly.reconciler, self._assembly.parts
        kind = registry()[next(iter(parts.providers))]
        if kind.prices is not None:
            watch = PriceWatch(kind, partial(asyncio.to_thread, stored, home), reconciler, parts.clock, intervals)
            self._begin(kept_up(watch.run, PRICES_AGAIN_S))

    def close(self) -> None:
        """End what is still under way."""
        for task in self._running:
            task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _interrupted(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.stop.set)
        self._begin(self._end_cluster("Ctrl-C"))

    def _follow(self, owner: ProcessKey) -> None:
        """End the cluster when that process ends, or has ended already."""
        try:
            handle = os.pidfd_open(owner.pid)
        except ProcessLookupError:
            handle = -1
        if handle < 0 or not procfs.is_alive(owner):
            self._begin(self._end_cluster(f"end of process {owner.pid}"))
            return

        def ended() -> None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
            self._begin(self._end_cluster(f"end of process {owner.pid}"))

        asyncio.get_running_loop().add_reader(handle, ended)

    async def _end_cluster(self, by: str) -> None:
        log.info("ending_cluster", by=by)
        await self._assembly.ledger.add_order(shutdown(Author(by, time.time())))
        self._assembly.reconciler.wake(by)


def _parsed(arguments: list[str]) -> Task:
    parser = argparse.ArgumentParser(prog="rayfleet controller")
    parser.add_argument("cluster")
    parser.add_argument(FOREGROUND, action="store_true")
    parser.add_argument(OWNER, metavar="PID:STARTED")
    given = parser.parse_args(arguments)
    pid, _, started = (given.owner or "").partition(":")
    return Task(given.cluster, given.foreground, ProcessKey(int(pid), int(started)) if started else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
