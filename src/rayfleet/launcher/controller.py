"""The controller: one process per cluster around the loop - lease, signals, log files.

SIGTERM     stops controlling; machines and jobs go on, and `rayfleet up` takes them up again
SIGUSR1     somebody wrote an order: look now
SIGINT      with --foreground: ends the cluster, as one expects of Ctrl-C; a second one only stops controlling
SHUTDOWN    an order in the ledger (`rayfleet down`): everything goes, the head last, then this process too

It is started as a module of its own, so that no command-line code stays in its memory.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import structlog

from rayfleet.contracts import Ledger
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, logs
from rayfleet.launcher.errors import AlreadyControlled, LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.orders import Author, shutdown
from rayfleet.loop import Reconciler

log = structlog.get_logger("rayfleet.controller")

EXIT_CRASHED = 1
EXIT_REFUSED = 2
FOREGROUND = "--foreground"


def main(arguments: list[str]) -> int:
    """Control the cluster that is named until told to stop; return the exit code."""
    name, *options = arguments
    foreground = FOREGROUND in options
    try:
        home = homes.find(name)
        logs.configure(home, also_here=foreground)
        with lease.lease(home):
            return asyncio.run(_control(home, foreground=foreground))
    except AlreadyControlled as error:
        print(f"error: {error}\n hint: {error.hint}", file=sys.stderr)  # noqa: T201 - for whoever started us
        return EXIT_REFUSED
    except LauncherError as error:
        print(f"error: {error}\n hint: {error.hint}", file=sys.stderr)  # noqa: T201
        return EXIT_CRASHED
    except Exception:
        log.exception("controller_crashed", cluster=name)
        return EXIT_CRASHED


async def _control(home: Home, *, foreground: bool) -> int:
    from rayfleet.launcher.spec import assemble

    assembly = assemble(home)
    stop = asyncio.Event()
    _listen(assembly.reconciler, assembly.ledger, stop, foreground=foreground)
    log.info("controller_started", cluster=home.name)
    try:
        await assembly.reconciler.run(stop)
    finally:
        await assembly.close()
    log.info("controller_stopped", cluster=home.name, told_to=stop.is_set())
    return 0


def _listen(reconciler: Reconciler, ledger: Ledger, stop: asyncio.Event, *, foreground: bool) -> None:
    """Let signals do what the module's docstring says."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def begin(work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        task = loop.create_task(run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def end_cluster() -> None:
        await ledger.add_order(shutdown(Author("Ctrl-C", time.time())))
        reconciler.wake("Ctrl-C")

    def interrupted() -> None:
        loop.add_signal_handler(signal.SIGINT, stop.set)
        log.info("ending_cluster", hint="Ctrl-C again leaves it running")
        begin(end_cluster)

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, reconciler.wake, "order")
    loop.add_signal_handler(signal.SIGINT, interrupted if foreground else stop.set)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
