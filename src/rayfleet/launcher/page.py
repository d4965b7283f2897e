"""The dashboard that `up` starts in the background: one process per user, found by a note, kept the only one by a lock.

$XDG_STATE_HOME/rayfleet/
    dashboard.json    where it is and which process serves it; there for as long as it does
    dashboard.lock    locked by that process
    dashboard.log     what it has to say

Whoever starts it opens its port and takes the lock, and hands both over. So the address is known at once and nobody
waits for the server: a browser that is quicker waits in the port's queue.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rayfleet.launcher import daemon, lease
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import Home
from rayfleet.launcher.lease import Holder
from rayfleet.providers.process.procfs import ProcessKey

LINGER_S: Final = 600.0
"""It ends so long after the last cluster is down."""
_LOOK_S: Final = 2.0
_TRIES: Final = 50
_TRY_S: Final = 0.1
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard that is served in the background. `url`: of all clusters, with a slash at its end."""

    url: str
    holder: Holder

    def end(self) -> bool:
        """Have it end; False when it is gone."""
        forget()
        return self.holder.send(signal.SIGTERM)


Start = Callable[[], tuple[socket.socket, str]]
"""Opens a port: the socket that listens, and the address for a browser."""


def there() -> Page | None:
    """Return the dashboard that is served in the background; None when there is none."""
    try:
        told = json.loads(_note().read_text(encoding="utf-8"))
        holder = told["holder"]
        found = Page(told["url"], Holder(ProcessKey(**holder.pop("process")), **holder))
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None  # half a note is as good as none: the lock decides
    return found if found.holder.alive else None


def ensure(start: Start, command: Sequence[str]) -> Page:
    """Return the dashboard of this user; starts it when there is none, and does not wait until it answers.

    `command`: the server, which finds its socket under the number that is put at the end of the command.

    Raises:
        LauncherError: it cannot be started; the hint says what to do.
        OSError: no port can be had, or the state folder cannot be written.
    """
    folder = _note().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for _ in range(_TRIES):
        found = there()
        if found is not None:
            return found
        lock = os.open(folder / "dashboard.lock", os.O_RDWR | os.O_CREAT, _PRIVATE)
        try:
            if _locked(lock):
                return _started(start, command, lock)
        finally:
            os.close(lock)  # the server holds it
        time.sleep(_TRY_S)  # another one is being started, or is ending
    raise LauncherError("the dashboard's process does not say where it is", f"see {folder / 'dashboard.log'}")


def _started(start: Start, command: Sequence[str], lock: int) -> Page:
    opened, url = start()
    said = os.open(_note().parent / "dashboard.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    with opened, os.fdopen(said, "wb") as output:
        child = subprocess.Popen(
            [*command, str(opened.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_note().parent,
            env=daemon.environment(),
            start_new_session=True,
            pass_fds=(lock, opened.fileno()),
        )
    daemon.keep(child)
    page = Page(url, lease.described(child.pid, "dashboard"))
    _write(page)
    return page


def _write(page: Page) -> None:
    Home(_note().parent).write(_note(), json.dumps(asdict(page), indent=1) + "\n")


async def until_unwanted(linger_s: float, is_looked_at: Callable[[], bool]) -> None:
    """Return when the server that this process is has no reason to go on.

    That is `linger_s` after no cluster is up any more and nobody `is_looked_at`, or when its note is gone or is
    another's.
    """
    mine, wanted_at = await _own_note(), time.monotonic()
    while there() == mine:
        if _any_up() or is_looked_at():
            wanted_at = time.monotonic()
        elif time.monotonic() - wanted_at > linger_s and _left(mine):
            return
        await asyncio.sleep(min(_LOOK_S, linger_s))


async def _own_note() -> Page:
    """Wait for the note, which whoever has started this process writes right afterwards."""
    for _ in range(_TRIES):
        found = there()
        if found is not None and found.holder.process.pid == os.getpid():
            return found
        await asyncio.sleep(_TRY_S)
    raise LauncherError("nobody has written down that this process serves the dashboard")


def _left(mine: Page) -> bool:
    """Take the note away; False when a cluster has come up meanwhile, whose `up` may have read it."""
    forget()
    if not _any_up():
        return True
    _write(mine)
    return False


def forget() -> None:
    """Remove the note of the server in the background."""
    _note().unlink(missing_ok=True)


def _any_up() -> bool:
    return any(home.is_up and not home.is_suspended for home in homes.known())


def _note() -> Path:
    return homes.root().parent / "dashboard.json"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
