"""Talking to a driver (`programs/driver.py`) that runs as a process of its own."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PROGRAM = Path(__file__).parent / "programs" / "driver.py"
PATIENCE_S = 120.0
_GRACE_S = 10.0


class Silent(Exception):
    """The driver does not answer, or has ended; the message holds its last words."""


class Driver:
    """A running driver."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        """Take the process; `errors` is the file of what it prints on standard error."""
        self._process = process
        self._errors = errors

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return the answer. Silent after `PATIENCE_S`."""
        _pipe(self._process.stdin).write(json.dumps({"do": do, **arguments}) + "\n")
        _pipe(self._process.stdin).flush()
        return self.answer(do)

    def answer(self, to: str) -> dict[str, Any]:
        """Return the next answer. Silent after `PATIENCE_S`."""
        # The driver writes one line per command and none unasked, so nothing is ever left in the buffer.
        readable, _, _ = select.select([_pipe(self._process.stdout)], [], [], PATIENCE_S)
        line = _pipe(self._process.stdout).readline() if readable else ""
        if not line:
            words = self._errors.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise Silent(f"the driver does not answer to {to!r} (code {self._process.poll()}): {words}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def driver(environment: Mapping[str, str], folder: Path) -> Iterator[Driver]:
    """Run a driver while inside; `environment` says of which cluster."""
    errors = folder / f"driver-{time.monotonic_ns()}.err"
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-u", str(PROGRAM)],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    try:
        talking = Driver(process, errors)
        talking.answer("connect")
        yield talking
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end by itself, since its commands do, else end it."""
    _pipe(process.stdin).close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _pipe(process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise TypeError("the driver was started without pipes")
    return pipe
