"""What the supervisor asks of this computer: processes, signals, directories, the time. No decisions."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rayfleet.providers.process import leftovers, procfs
from rayfleet.providers.process.identity import CLUSTER_TAG, MACHINE_DIR, STARTED_FILE
from rayfleet.providers.process.leftovers import Leftover
from rayfleet.providers.process.procfs import ProcessKey

TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 5

NOT_INHERITED: Final = ("RAYFLEET_", "RAY_ADDRESS", "RAY_JOB_")
"""Variables of the shell or job that started the controller; they would send a new machine's commands elsewhere."""

# Children belong to this Python process, not to one provider object: whoever looks after them reaps them, and an object
# that is thrown away leaves its machines running.
_CHILDREN: dict[ProcessKey, subprocess.Popen[bytes]] = {}


class RootNotOursError(PermissionError):
    """The folder for machine directories belongs to somebody else, or others can write to it."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """One process to start: `env` comes on top of this process's own; its output is appended to `log`."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: Path
    log: Path


class Host(Protocol):
    """This computer, or a pretend one. Methods that touch disk or processes may raise OSError."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def boot_id(self) -> str:
        """Return the id of this boot."""
        ...

    def prepare(self) -> None:
        """Make the cluster's root for machine directories.

        Raises:
            RootNotOursError: it cannot be ours alone.
            OSError: it cannot be made now.
        """
        ...

    def spawn(self, spawn: Spawn) -> ProcessKey:
        """Start a process in a session of its own and in a fresh directory; OSError when it cannot be started."""
        ...

    def is_alive(self, process: ProcessKey) -> bool:
        """Say whether this very process runs."""
        ...

    def exit_code(self, process: ProcessKey) -> int | None:
        """Return how a process that is not alive ended: its code, or minus the signal; None when nobody can know."""
        ...

    def has_started(self, directory: Path) -> bool:
        """Say whether the command has said that its node has joined."""
        ...

    def processes(self) -> tuple[Leftover, ...]:
        """Return all living processes of the cluster."""
        ...

    def signal(self, process: ProcessKey, signum: signal.Signals) -> None:
        """Signal this very process, if it still runs."""
        ...

    def remove(self, directory: Path) -> None:
        """Remove a machine's directory with all in it; nothing there is fine."""
        ...

    def tail(self, log: Path) -> str:
        """Return the last lines of a log."""
        ...


class ThisHost:
    """The computer that this runs on (Linux: it reads /proc)."""

    def __init__(self, tag: str, root: Path) -> None:
        """Take the cluster's tag and the root of its machine directories."""
        self._tag = tag
        self._root = root

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def boot_id(self) -> str:
        """Return the kernel's id of this boot."""
        return procfs.boot_id()

    def prepare(self) -> None:
        """Make the root with its parent; both must be directories of this user, closed to others."""
        self._root.parent.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._root.parent, self._root):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if folder.is_symlink() or found.st_uid != os.geteuid():
                raise RootNotOursError(f"{folder} is not a directory of this user; set `root` in the provider section")
            if found.st_mode & 0o022:
                raise RootNotOursError(f"{folder} can be written by others; `chmod 700` it, or set `root`")

    def spawn(self, spawn: Spawn) -> ProcessKey:
        """Start a process that outlives this one, in its own session, group and directory."""
        self.prepare()
        spawn.directory.mkdir(mode=0o700)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
        env = {**inherited, **spawn.env, CLUSTER_TAG: self._tag, MACHINE_DIR: str(spawn.directory)}
        with spawn.log.open("ab") as log:
            child = subprocess.Popen(
                spawn.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=spawn.directory,
                env=env,
                start_new_session=True,
            )
        found = procfs.stat(child.pid)
        if found is None:  # cannot be: a child stays listed until its parent has asked how it ended
            raise ProcessLookupError(f"process {child.pid} has no entry in /proc")
        _CHILDREN[found.key] = child
        return found.key

    def is_alive(self, process: ProcessKey) -> bool:
        """Say whether this very process runs."""
        return procfs.is_alive(process)

    def exit_code(self, process: ProcessKey) -> int | None:
        """Reap a child and return its code; None for a process that somebody else started."""
        child = _CHILDREN.get(process)
        if child is None:
            return None
        code = child.poll()
        if code is not None:
            del _CHILDREN[process]
        return code

    def has_started(self, directory: Path) -> bool:
        """Look for the file that the command makes when its node has joined."""
        return (directory / STARTED_FILE).exists()

    def processes(self) -> tuple[Leftover, ...]:
        """Read them from /proc."""
        return leftovers.find(self._tag)

    def signal(self, process: ProcessKey, signum: signal.Signals) -> None:
        """Signal this very process, if it still runs."""
        procfs.send_signal(process, signum)

    def remove(self, directory: Path) -> None:
        """Remove the directory, and the cluster's root with the last one."""
        if directory.exists():
            shutil.rmtree(directory)
        if self._root.is_dir() and not any(self._root.iterdir()):
            self._root.rmdir()

    def tail(self, log: Path) -> str:
        """Return the last different non-empty lines, joined by ` | `: every attempt may have said the same."""
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        lines = dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
        return " | ".join(list(lines)[-TAIL_LINES:])
