"""Files by rsync over OpenSSH, whose connection stays open from one copy to the next."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from pathlib import Path
from typing import Final

from rayfleet.wire.ssh.lines import LastLines
from rayfleet.wire.ssh.scripts import path_word
from rayfleet.wire.ssh.session import Files, Ran, Session, SshError, Target, Unreachable

CONNECTION_CODES: Final = frozenset({10, 12, 30, 35, 255})
"""rsync's exit codes for a connection that could not be had or broke, and ssh's own."""


def is_here(program: str) -> bool:
    """Say whether this machine has what it takes."""
    return shutil.which(program) is not None and shutil.which("ssh") is not None


def arguments(files: Files) -> list[str]:
    """Return rsync's options. Pure.

    Owner and group stay behind: they mean something else on another machine. Names of files are sent as data, so that
    no shell reads them.
    """
    return [
        "--recursive",
        "--links",
        "--perms",
        "--times",
        "--compress",
        "--protect-args",
        *(("--delete",) if files.delete else ()),
        *(f"--exclude={pattern}" for pattern in files.exclude),
        *(f"--filter=dir-merge,- {name}" for name in files.filters),
    ]


def remote(address: str, path: str) -> str:
    """Return a path of the host as rsync has it: relative to the user's home there, or absolute. Pure."""
    own = path[2:] or "." if path.startswith("~/") else "." if path == "~" else path
    return f"[{address}]:{own}" if ":" in address else f"{address}:{own}"


class Rsync:
    """Copies between this machine and the host of a session."""

    def __init__(self, session: Session, ssh: list[str], program: str, target: Target) -> None:
        """Take how `ssh` reaches the host."""
        self._session = session
        self._ssh = ssh
        self._program = program
        self._target = target

    async def push(self, files: Files) -> None:
        """Copy to the host."""
        folder = files.target if files.target.endswith("/") else os.path.dirname(files.target)  # noqa: PTH120 - of the host
        if folder not in ("", "/", "~"):
            await checked(self._session, f"mkdir -p {path_word(folder)}")
        source = str(Path(files.source).expanduser()) + ("/" if files.source.endswith("/") else "")
        await self._copy(files, source, remote(self._target.address, files.target))

    async def pull(self, files: Files) -> None:
        """Copy from the host."""
        target = Path(files.target).expanduser()
        (target if files.target.endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
        ending = "/" if files.target.endswith("/") else ""
        await self._copy(files, remote(self._target.address, files.source), f"{target}{ending}")

    async def _copy(self, files: Files, source: str, target: str) -> None:
        argv = [self._program, *arguments(files), "-e", shlex.join(self._ssh), "--", source, target]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        running = await asyncio.create_subprocess_exec(*argv, stdin=null, stdout=null, stderr=pipe)
        try:
            _, said = await running.communicate()
        except asyncio.CancelledError:
            await _end(running)
            raise
        if running.returncode:
            lines = LastLines()
            lines.feed(said)
            error = Unreachable if running.returncode in CONNECTION_CODES else SshError
            text = "; ".join(line for line in lines.close()[-5:] if line)
            raise error(f"{self._target.address}: {files.source} could not be copied: {text}")


async def _end(running: asyncio.subprocess.Process) -> None:
    """End a copy that nobody waits for any more."""
    if running.returncode is None:
        running.terminate()
        await running.wait()


async def checked(session: Session, command: str) -> Ran:
    """Run a command that has to succeed. SshError: it did not."""
    ran = await session.run(command)
    if ran.code:
        raise SshError(ran.text or f"{command}: exit code {ran.code}")
    return ran
