"""SSH without hosts: what each would answer is a function, and what was asked of it is kept. For tests of who uses SSH.

    ssh = FakeSsh()
    host = ssh.add("10.0.0.1")
    host.answers["pip install"] = Ran(1, ("no such package",))
    host.answers["ray start"] = lambda asked: joined.append(asked.env["RAYFLEET_MACHINE_ID"])
    session = await ssh.connect(Target("10.0.0.1", Login()))
    await session.run("pip install x")          # -> exit code 1
    host.commands                                # -> ["pip install x"]

Faults: `host.down` (nobody answers), `host.refuses` (no login), another `host.key`, `host.break_after` (commands until
the connection breaks), an answer that raises or that never comes (`host.hang()`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rayfleet.wire.ssh import known_hosts
from rayfleet.wire.ssh.session import (
    Files,
    HostKeyChanged,
    Line,
    LoginRefused,
    Ran,
    SshError,
    Target,
    Unreachable,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One command that a host was asked to run, and by whom (`user`)."""

    command: str
    env: Mapping[str, str]
    stdin: str
    user: str = ""


Result = Ran | str | int | None
Answer = Result | Callable[[Asked], "Result | Awaitable[Result]"]
"""How a command ends: an exit code, its output (code 0), both, or None for code 0 without a word; or who says so."""


@dataclass(eq=False)
class FakeHost:
    """One pretended host.

    `answers`: the first key that is part of a command says how it ends; a command of no key ends in `otherwise`.
    `files`: content by path, `~` as it was written. `copies`: every push and pull, in order, with its direction.
    `break_after`: so many commands more are answered, then the connection is gone and the host is down; None: never.
    """

    address: str
    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Answer = None
    files: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    copies: list[tuple[str, Files]] = field(default_factory=list)
    logins: list[Target] = field(default_factory=list)
    key: str = "first"
    down: bool = False
    refuses: bool = False
    break_after: int | None = None
    open_sessions: int = 0

    @property
    def commands(self) -> list[str]:
        """Return all commands so far, in order."""
        return [asked.command for asked in self.asked]

    @staticmethod
    def hang() -> Answer:
        """Return an answer that never comes."""

        async def never(_asked: Asked) -> Result:
            await asyncio.Event().wait()
            return None

        return never

    async def run(self, asked: Asked) -> Ran:
        """Answer one command."""
        self.asked.append(asked)
        answer = next((answer for part, answer in self.answers.items() if part in asked.command), self.otherwise)
        result = answer(asked) if callable(answer) else answer
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, Ran):
            return result
        if isinstance(result, str):
            return Ran(0, tuple(result.splitlines()))
        return Ran(result or 0, ())

    def use(self) -> None:
        """Count one use of the connection. Unreachable: there is none."""
        if self.break_after is not None:
            self.break_after -= 1
            self.down = self.down or self.break_after < 0
        if self.down:
            raise Unreachable(f"{self.address} does not answer")


class FakeSsh:
    """Makes sessions with pretended hosts."""

    def __init__(self) -> None:
        """Begin without any host."""
        self.hosts: dict[str, FakeHost] = {}
        self._users_known: dict[str, str] = {}
        self.closed = False

    def add(self, address: str) -> FakeHost:
        """Add a host at an address, or put another in its place."""
        self.hosts[address] = FakeHost(address)
        return self.hosts[address]

    async def connect(self, target: Target, timeout_s: float = 10.0) -> FakeSession:
        """Log in. Raises Unreachable, LoginRefused, HostKeyChanged."""
        await asyncio.sleep(0)
        host = self.hosts.get(target.address)
        if host is None or host.down:
            raise Unreachable(f"{target.address} does not answer")
        if self._known_key(target, host) != host.key:
            raise HostKeyChanged(f"{target.address} shows another host key than the one that is known")
        if host.refuses:
            raise LoginRefused(f"{target.address} does not let {target.login.user or 'us'} in")
        host.logins.append(target)
        host.open_sessions += 1
        return FakeSession(host, target)

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def _known_key(self, target: Target, host: FakeHost) -> str:
        """Return the host's first key, from the target's own file where it names one."""
        if target.known_hosts is None:
            return self._users_known.setdefault(target.address, host.key)
        name = known_hosts.host_name(target)
        known = known_hosts.keys_of(known_hosts.read(target.known_hosts), name)
        if not known:
            known_hosts.add(target.known_hosts, name, f"fake {host.key}")
        return known[0].removeprefix("fake ") if known else host.key


class FakeSession:
    """One open login to a pretended host."""

    def __init__(self, host: FakeHost, target: Target) -> None:
        """Take the host."""
        self.host = host
        self._target = target
        self._open = True

    async def run(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float | None = None,
        on_line: Line | None = None,
    ) -> Ran:
        """Have the host answer. Unreachable: it is gone, or took too long."""
        self._use()
        try:
            async with asyncio.timeout(timeout_s):
                ran = await self.host.run(Asked(command, dict(env or {}), stdin, self._target.login.user))
        except TimeoutError as error:
            raise Unreachable(f"{self.host.address}: not done after {timeout_s:g} s") from error
        if on_line is not None:
            for line in ran.lines:
                on_line(line)
        return ran

    async def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Keep a file."""
        self._use()
        self.host.files[path], self.host.modes[path] = content, mode

    async def push(self, files: Files) -> None:
        """Note the copy."""
        self._use()
        self.host.copies.append(("push", files))

    async def pull(self, files: Files) -> None:
        """Note the copy. SshError: no file of the host has such a path, or is below it."""
        self._use()
        self.host.copies.append(("pull", files))
        source = PurePosixPath(files.source)
        if not any(source in (PurePosixPath(path), *PurePosixPath(path).parents) for path in self.host.files):
            raise SshError(f"{self.host.address}: {files.source} could not be copied: no such file or directory")

    async def close(self) -> None:
        """Log out."""
        self.host.open_sessions -= self._open
        self._open = False

    def _use(self) -> None:
        if not self._open:
            raise Unreachable(f"{self.host.address}: this session is closed")
        self.host.use()
