"""Processes as the kernel shows them in /proc: identity, life, and signals that cannot hit the wrong one."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DEAD_STATES = frozenset("ZX")


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """One process of one boot: `started` is its start in clock ticks since then, so a reused pid differs."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What /proc/PID/stat says."""

    key: ProcessKey
    state: str
    parent: int
    session: int

    @property
    def alive(self) -> bool:
        """Say whether it still runs; a zombie does not."""
        return self.state not in DEAD_STATES


def stat(pid: int) -> ProcessStat | None:
    """Read one process; None when there is none of that pid that we may see (some hosts hide other users')."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (read for every machine on every listing: twice as fast)
            text = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The second field is the command's name in brackets, which may itself hold spaces and brackets.
    fields = text[text.rindex(b")") + 2 :].split()
    return ProcessStat(ProcessKey(pid, int(fields[19])), fields[0].decode(), int(fields[1]), int(fields[3]))


def is_alive(key: ProcessKey) -> bool:
    """Say whether this very process runs."""
    found = stat(key.pid)
    return found is not None and found.key == key and found.alive


def all_stats() -> dict[int, ProcessStat]:
    """Read every process of this computer that we may see, by pid."""
    stats = (stat(int(folder.name)) for folder in PROC.iterdir() if folder.name.isdigit())
    return {found.key.pid: found for found in stats if found is not None}


def environment(pid: int) -> bytes:
    """Return the environment that the process was started with, NUL-separated; empty when it may not be read."""
    try:
        return (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def boot_id() -> str:
    """Return the kernel's id of this boot: start times of another boot mean nothing."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def send_signal(key: ProcessKey, signum: signal.Signals) -> bool:
    """Signal this very process and no other; False when it is gone. PermissionError: it has another user's rights.

    The pidfd is opened before identity is checked, so the pid cannot change hands in between.
    """
    try:
        handle = os.pidfd_open(key.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(key):
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
