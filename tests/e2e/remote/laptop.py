"""The machine that launches: a folder with the cluster's file, and a state folder of its own."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 150.0
RETYPE_S = 10.0


AS_SOMEBODY = 'mount --bind "$0" /etc/passwd && exec "$@"'


class Typed:
    """A command in a terminal of its own, and what is typed there."""

    def __init__(self, pid: int, terminal: int) -> None:
        self.pid = pid
        self._terminal = terminal
        self._said = b""

    def enter(self, line: str) -> None:
        """Type, when something has been said: a line, or a key that a program acts on."""
        self._listen(until=lambda: bool(self._said))
        os.write(self._terminal, line.encode() + (b"" if ord(line[0]) < ord(" ") else b"\n"))

    def enter_until(self, line: str, happened: Callable[[], object]) -> None:
        """Type a line until it has had its effect: a program that just starts may throw away what was typed."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, self._said
            self.enter(line)
            again = time.monotonic() + RETYPE_S
            while time.monotonic() < again and not happened():
                self._listen(until=lambda: False, quiet_s=1.0)

    def until_it_says(self, words: str) -> str:
        """Return what has been said once a whole line with these words has."""
        self._listen(until=lambda: bool(re.search(rf"{re.escape(words)}.*\n", self._said.decode(errors="replace"))))
        return self._said.decode(errors="replace")

    def until_the_end(self, code: int | None = None) -> str:
        """Return all that was said, when the command has ended."""
        self._listen(until=lambda: False)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        assert code is None or os.waitstatus_to_exitcode(status) == code, self._said
        return self._said.decode(errors="replace")

    def _listen(self, until: Callable[[], bool], quiet_s: float = 60.0) -> None:
        while not until() and select.select([self._terminal], [], [], quiet_s)[0]:
            try:
                piece = os.read(self._terminal, 4096)
            except OSError:  # the other end is closed
                return
            self._said += piece
            if not piece:
                return

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)


@dataclass
class Laptop:
    """As a user has it. `cluster`: the name of the one that it launches; `home`: where its user lives, if elsewhere."""

    folder: Path
    cluster: str
    home: Path | None = field(default=None, kw_only=True)

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home)} if self.home else {}
        return {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "PYTHONUNBUFFERED": "1", **own}

    def command(self, words: Sequence[str]) -> list[str]:
        """Return a command; under a home of its own where there is one, for programs that ask /etc/passwd too."""
        line = [sys.executable, "-m", "rayfleet", *words]
        if self.home is None:
            return line
        rows = [row.split(":") for row in Path("/etc/passwd").read_text(encoding="utf-8").splitlines()]
        changed = [[*row[:5], str(self.home), row[6]] if row[2] == str(os.getuid()) else row for row in rows]
        passwd = self.home / "passwd"
        passwd.write_text("".join(f"{':'.join(row)}\n" for row in changed), encoding="utf-8")
        return ["unshare", "--mount", "sh", "-c", AS_SOMEBODY, str(passwd), *line]

    @contextmanager
    def typing(self, *words: str) -> Iterator[Typed]:
        """Begin a command in a terminal, and end it at the end."""
        command = self.command(words)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(command[0], command, {**self.environment, "TERM": "xterm"})
        typed = Typed(pid, terminal)
        try:
            yield typed
        finally:
            typed.close()

    def rayfleet(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does, and expect its exit code."""
        ran = subprocess.run(
            self.command(words),
            env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == code, f"{words} ended with {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a command, which is not waited for."""
        return subprocess.Popen(
            self.command(words),
            env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rayfleet("status", self.cluster, "--json").stdout)
        return found

    def workers(self) -> list[str]:
        return [each["id"] for each in self.status()["machines"] if not each["head"] and each["phase"] == "READY"]

    def until(self, happened: Callable[[], object]) -> None:
        """Wait for something that the cluster does; its status tells why it does not."""
        self.wait(happened, lambda: json.dumps(self.status(), indent=1))

    def wait(self, happened: Callable[[], object], why: Callable[[], str] = lambda: "") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, why()
            time.sleep(1.0)
