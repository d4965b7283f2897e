"""SSH for real: asyncssh for commands, rsync over OpenSSH for files, tar where there is no rsync.

Imported only by who opens sessions: `asyncssh` is an optional dependency (see `opening`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import asyncssh

from rayfleet.wire.ssh import rsync, tar
from rayfleet.wire.ssh.connecting import errors_of, log_in
from rayfleet.wire.ssh.lines import LastLines
from rayfleet.wire.ssh.openssh import Sockets
from rayfleet.wire.ssh.scripts import BASH, sent, write_script
from rayfleet.wire.ssh.session import Files, Line, Ran, SshError, Target, Unreachable

CHUNK_BYTES: Final = 256 * 1024
FAREWELL_S: Final = 1.0
PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
COMMANDS_MAX: Final = 8
"""At once on one connection: OpenSSH's servers allow 10 by default (MaxSessions)."""


@dataclass(eq=False, slots=True)
class _Connection:
    """One connection, and how many sessions are on it. `fit`: nothing was lost on it so far."""

    open: asyncssh.SSHClientConnection
    key: Hashable
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COMMANDS_MAX))
    sessions: int = 0
    fit: bool = True

    @property
    def takes_more(self) -> bool:
        """Say whether another session may rely on it."""
        return self.fit and not self.open.is_closed()

    async def close(self) -> None:
        """Log out; one that is broken already is fine."""
        self.open.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.open.wait_closed()
        self.open.abort()  # who was cut off does not hear us


class AsyncSsh:
    """Makes sessions with asyncssh. Close it at the end: it may keep connections open for files.

    Sessions with the same host, as the same user, share a connection: logging in costs both sides far more than what is
    mostly asked for then.
    """

    def __init__(self, rsync_program: str = "rsync") -> None:
        """Copy files with that program where both sides have it."""
        self._sockets = Sockets()
        self._rsync = rsync_program
        self._connections: dict[Hashable, _Connection] = {}

    async def connect(self, target: Target, timeout_s: float = 10.0) -> AsyncSshSession:
        """Log in. Raises Unreachable, LoginRefused, HostKeyChanged."""
        key = _same(target)
        connection = self._connections.get(key)
        if connection is None or not connection.takes_more:
            connection = self._connections[key] = _Connection(await log_in(target, timeout_s), key)
        connection.sessions += 1
        return AsyncSshSession(target, connection, self)

    async def leave(self, connection: _Connection) -> None:
        """Have one session less on a connection, which ends with its last."""
        connection.sessions -= 1
        if connection.sessions:
            return
        if self._connections.get(connection.key) is connection:
            del self._connections[connection.key]
        await connection.close()

    def by_rsync(self, session: AsyncSshSession) -> rsync.Rsync | None:
        """Return what copies a session's files by rsync; None: there is none here."""
        if not rsync.is_here(self._rsync):
            return None
        return rsync.Rsync(session, self._sockets.command(session.target), self._rsync, session.target)

    async def close(self) -> None:
        """End what is kept open for files."""
        await self._sockets.close()


class AsyncSshSession:
    """One open login."""

    def __init__(self, target: Target, connection: _Connection, made_by: AsyncSsh) -> None:
        """Take an open connection."""
        self._target = target
        self._connection = connection
        self._made_by = made_by
        self._is_open = True
        self._copies: rsync.Rsync | tar.Tar | None = None

    @property
    def target(self) -> Target:
        """Return whom this session is with."""
        return self._target

    async def run(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float | None = None,
        on_line: Line | None = None,
    ) -> Ran:
        """Run a command line in a login shell; see `Session.run`."""
        lines = LastLines(on_line)
        code = await self.exchange((sent(command, env, stdin.encode()),), lines, timeout_s)
        return Ran(code, lines.close())

    async def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Replace a file in one step; see `Session.write`."""
        lines = LastLines()
        code = await self.exchange((sent(write_script(path, len(content), mode), stdin=content),), lines, None)
        if code:
            raise SshError(f"{self._target.address}: {path} could not be written: {' '.join(lines.close())}")

    async def push(self, files: Files) -> None:
        """Copy to the host; see `Session.push`."""
        await (await self._copying()).push(files)

    async def pull(self, files: Files) -> None:
        """Copy from the host; see `Session.pull`."""
        await (await self._copying()).pull(files)

    async def close(self) -> None:
        """Log out, when no other session is on the connection."""
        was_open, self._is_open = self._is_open, False
        if was_open:
            await self._made_by.leave(self._connection)

    async def exchange(self, pieces: Iterable[bytes], output: tar.Sink, timeout_s: float | None) -> int:
        """Send bash its whole input, feed its output to `output`, return its exit code (negative: a signal)."""
        if not self._is_open:
            raise Unreachable(f"{self._target.address}: this session is closed")
        try:
            with errors_of(self._target):
                return await self._within(pieces, output, timeout_s)
        except Unreachable:
            self._connection.fit = False  # whoever logs in again gets another one
            raise

    async def _within(self, pieces: Iterable[bytes], output: tar.Sink, timeout_s: float | None) -> int:
        try:
            async with self._connection.room, asyncio.timeout(timeout_s):
                return await self._exchange(pieces, output)
        except TimeoutError as error:
            message = f"{self._target.address}: not done after {timeout_s:g} s"
            raise Unreachable(message if timeout_s else f"{self._target.address}: {error}") from error

    async def _exchange(self, pieces: Iterable[bytes], output: tar.Sink) -> int:
        process = await self._open()
        try:
            sending = asyncio.create_task(_send(process, pieces))
            while piece := await process.stdout.read(CHUNK_BYTES):
                output.feed(piece)
            await process.wait_closed()
            await sending
        finally:
            process.close()
        if process.returncode is None:
            raise Unreachable(f"{self._target.address}: the connection broke")
        return process.returncode

    async def _open(self) -> asyncssh.SSHClientProcess[bytes]:
        """Begin a command. A server that still counts one that has just ended refuses it for a moment."""
        connection = self._connection.open
        for pause_s in PAUSES_S:
            try:
                return await connection.create_process(BASH, encoding=None, stderr=asyncssh.STDOUT)
            except asyncssh.ChannelOpenError:
                if connection.is_closed():
                    raise
                await asyncio.sleep(pause_s)
        return await connection.create_process(BASH, encoding=None, stderr=asyncssh.STDOUT)

    async def _copying(self) -> rsync.Rsync | tar.Tar:
        """Choose how files go, once: by rsync where both sides have it."""
        if self._copies is None:
            here = self._made_by.by_rsync(self)
            both = here is not None and (await self.run("command -v rsync")).code == 0
            self._copies = here if here is not None and both else tar.Tar(self)
        return self._copies


def _same(target: Target) -> Hashable:
    """Return what is the same for targets that one connection will do for."""
    login = target.login
    return target.address, login, target.known_hosts, target.key_name, target.id if login.proxy_with_id else ""


async def _send(process: asyncssh.SSHClientProcess[bytes], pieces: Iterable[bytes]) -> None:
    """Send all input in pieces; a command that does not read it to the end has ended, and that is its own affair."""
    try:
        for piece in pieces:
            for start in range(0, len(piece), CHUNK_BYTES):
                process.stdin.write(piece[start : start + CHUNK_BYTES])
                await process.stdin.drain()
        process.stdin.write_eof()
    except (BrokenPipeError, ConnectionError, asyncssh.Error):
        return
