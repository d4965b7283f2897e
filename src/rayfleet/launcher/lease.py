"""Who controls a cluster: at most one process, for as long as it lives.

The kernel's lock on `controller.lock` decides; it goes when its holder goes, however that ends. `controller.json`
says who the holder is, for people and for signals, and is believed only while pid *and* start time are right.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from rayfleet.launcher.errors import AlreadyControlled
from rayfleet.launcher.home import Home
from rayfleet.providers.process import procfs
from rayfleet.providers.process.procfs import ProcessKey

_LOOKS = 20
_LOOK_S = 0.01

CONTROLLER = "controller"
"""The role of the process that `up` starts; others hold the lease for a moment."""
UP = "up"
DOWN = "down"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who controls a cluster. `boot`: which boot of the host; `since`: ISO 8601; `role`: what it is doing."""

    process: ProcessKey
    boot: str
    host: str
    since: str
    role: str

    @property
    def alive(self) -> bool:
        """Say whether this very process runs, on this very machine."""
        here = self.host == socket.gethostname() and self.boot == procfs.boot_id()
        return here and procfs.is_alive(self.process)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False when it is gone."""
        return self.alive and procfs.send_signal(self.process, number)

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.role}, process {self.process.pid} on {self.host}, since {self.since}"


def holder(home: Home) -> Holder | None:
    """Return who is written down as controlling the cluster, alive or not; None when nobody is or it is unreadable."""
    try:
        told = json.loads(home.controller.read_text(encoding="utf-8"))
        return Holder(ProcessKey(**told.pop("process")), **told)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None  # half a file is as good as none: the lock decides


def controller(home: Home) -> Holder | None:
    """Return who controls the cluster and lives; None when nobody does."""
    found = holder(home)
    return found if found and found.alive and not is_free(home) else None


@contextmanager
def lease(home: Home, role: str = CONTROLLER) -> Iterator[None]:
    """Control the cluster while inside. The note of who did stays behind: the cluster stays up.

    Raises:
        AlreadyControlled: somebody does; the message names them.
    """
    with home.lock.open("a", encoding="utf-8") as file:
        if not _locked(file.fileno()):
            raise _taken(home)
        try:
            home.write(home.controller, json.dumps(asdict(described(os.getpid(), role)), indent=1) + "\n")
        except OSError:
            if role != DOWN:  # a full disk must not keep a cluster from ending
                raise
        yield


def is_free(home: Home) -> bool:
    """Say whether nobody holds the lease right now. Any number may look at the same moment."""
    try:
        descriptor = os.open(home.lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock, also against somebody who only looks whether it is free, which takes it for a moment."""
    for _ in range(_LOOKS):
        if _lock(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(_LOOK_S)
    return False


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(home: Home) -> AlreadyControlled:
    first = holder(home)
    who = str(first) if first else "a process that has not said its name yet"
    return AlreadyControlled(
        f"cluster {home.name} is controlled already: {who}",
        f"rayfleet status {home.name} shows the cluster, rayfleet down {home.name} ends it",
    )


def described(pid: int, role: str) -> Holder:
    """Return a process of this machine as a holder.

    Raises:
        ProcessLookupError: it is not listed.
    """
    found = procfs.stat(pid)
    if found is None:
        raise ProcessLookupError(f"/proc does not list process {pid}: it is gone, or this is not Linux's /proc")
    since = datetime.fromtimestamp(time.time()).astimezone().isoformat(timespec="seconds")
    return Holder(found.key, procfs.boot_id(), socket.gethostname(), since, role)
