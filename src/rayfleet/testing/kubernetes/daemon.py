"""One server process of the control plane: in a group of its own, ended by its pid, its words kept in a file."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.providers.process import procfs

LAST_LINES = 15
KILLED_WITHIN_S = 10.0


class PlaneDown(Exception):
    """A server of the control plane did not start or has ended; the text has its last lines."""


@dataclass(slots=True)
class Daemon:
    """A program with its arguments; `log` gets both of its outputs, of every start."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _key: procfs.ProcessKey | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Its process id; None while it is not started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it. It ends when the thread that called this does, even by `kill -9`: the kernel sees to that."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                cwd=self.log.parent,
                start_new_session=True,
            )
        found = procfs.stat(self._process.pid)
        self._key = found.key if found else None

    def check(self) -> None:
        """Raise PlaneDown when it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise PlaneDown(f"{self.name} ended with code {self._process.returncode}:\n{self.last_words()}")

    def end(self, *, grace_s: float = 0.0) -> None:
        """End it: at once, or politely first. Nothing happens where it does not run."""
        process, key = self._process, self._key
        if process is None:
            return
        if key is not None and process.poll() is None:
            if grace_s and procfs.send_signal(key, signal.SIGTERM):
                _waited(process, grace_s)
            if process.poll() is None:
                procfs.send_signal(key, signal.SIGKILL)
        if not _waited(process, KILLED_WITHIN_S):
            raise PlaneDown(f"{self.name} (pid {process.pid}) outlives SIGKILL")
        self._process = self._key = None

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])


def _waited(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait until it has ended; False when the time is over."""
    end = time.monotonic() + limit_s
    while process.poll() is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
