"""Running a workload: an ordinary program in a process of its own, whose output is heard line by line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

WORKLOADS = Path(__file__).parent / "workloads"
"""The folder of the workloads: scripts to run, no package."""

ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""Runs a program that the kernel ends with this process, however that ends: `kill -9` gives us no chance to, and Ray
lets a driver whose cluster is gone wait for a minute and more. Part of util-linux, and so of every Debian."""
LINE_BYTES_MAX = 2**20
END_GRACE_S = 5.0

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_OF_AUTOSCALER = re.compile(r"\(autoscaler [^)]*\) ")
_ADVICE = "Tip: "


@dataclass(frozen=True, slots=True)
class Line:
    """One line that a driver has printed. `at`: seconds since the epoch; `error`: on standard error."""

    at: float
    text: str
    error: bool = False

    @property
    def own(self) -> bool:
        """Say whether the script itself said it."""
        return not (self.error or _OF_AUTOSCALER.match(self.text))

    @property
    def worth_showing(self) -> bool:
        """Say whether it is the script's own, or what Ray tells the driver about the size of the cluster."""
        told = _OF_AUTOSCALER.match(self.text)
        return self.own or (told is not None and not self.text.startswith(_ADVICE, told.end()))


@dataclass(frozen=True, slots=True)
class Ran:
    """A driver that has ended. `code`: its exit code, negative for a signal; `ended_at`: seconds since the epoch."""

    script: str
    code: int
    lines: tuple[Line, ...]
    ended_at: float

    @property
    def output(self) -> str:
        """Return what the script itself said."""
        return "\n".join(line.text for line in self.lines if line.own)

    @property
    def last_line_at(self) -> float:
        """Return when the script said its last line: its work was done then; what follows is Python's own ending."""
        return max((line.at for line in self.lines if line.own), default=self.ended_at)

    @property
    def trouble(self) -> str:
        """Return "" when it ended well, else what to tell."""
        if self.code == 0:
            return ""
        last = [line.text for line in self.lines if line.error][-3:]
        return f"{self.script} ended with code {self.code}: " + " | ".join(last)


async def run(
    script: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    heard: Callable[[Line], None],
    limit_s: float,
) -> Ran:
    """Run a workload to its end; whatever ends the waiting ends the driver too.

    Raises:
        TimeoutError: it took longer than `limit_s`.
    """
    process = await asyncio.create_subprocess_exec(
        *ENDS_WITH_US,
        sys.executable,
        "-u",
        str(WORKLOADS / script),
        *arguments,
        env={**environment, "PYTHONWARNINGS": "ignore"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        start_new_session=True,  # the terminal's Ctrl-C is for the demo, which ends its drivers in order
    )
    lines: list[Line] = []

    def take(line: Line) -> None:
        lines.append(line)
        heard(line)

    try:
        async with asyncio.timeout(limit_s):
            await asyncio.gather(_hear(process.stdout, take, error=False), _hear(process.stderr, take, error=True))
            code = await process.wait()
    finally:
        await _end(process)
    return Ran(script, code, tuple(lines), time.time())


async def _hear(stream: asyncio.StreamReader | None, take: Callable[[Line], None], *, error: bool) -> None:
    if stream is None:
        return
    while raw := await stream.readline():
        text = _ESCAPES.sub("", raw.decode(errors="replace")).rstrip()
        if text:
            take(Line(time.time(), text, error))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the driver with everything in its session, politely first; does nothing when it has ended."""
    for word in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        os.killpg(process.pid, word)
        try:
            await asyncio.wait_for(process.wait(), END_GRACE_S)
        except TimeoutError:
            continue
