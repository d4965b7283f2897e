"""What the rooms above ask of SSH, as Protocols, each with its errors.

SshError
 |- Unreachable      no answer: booting, cut off, or the wrong address -> try again
 |- LoginRefused     the host answers and does not take the key        -> tell the user
 '- HostKeyChanged   another host than before answers at the address   -> tell the user
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from rayfleet.contracts import Login


class SshError(Exception):
    """Something could not be done over SSH; the message names the host."""


class Unreachable(SshError):
    """The host does not answer, or stopped answering."""


class LoginRefused(SshError):
    """The host answers, and does not let us in."""


class HostKeyChanged(SshError):
    """The host shows another key than the one that is known for its address."""


@dataclass(frozen=True, slots=True)
class Target:
    """One host. `id`: the machine's own, for proxy commands that want it and for messages.

    `known_hosts`: a file of keys that is ours and kept for this cluster, to which a host's first key is added;
    None: the user's own known_hosts and checking rules hold. `key_name`: what the host is called in that file, "": by
    its address, which is wrong where machines are made and another one may get the same address later.
    """

    address: str
    login: Login
    id: str = ""
    known_hosts: Path | None = None
    key_name: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: exit code (negative: by that signal) and its last lines, both outputs together in order."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return its last lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Files:
    """What is copied. `exclude`: patterns as rsync has them; `filters`: names of files that hold such patterns."""

    source: str
    target: str
    exclude: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    delete: bool = False


Line = Callable[[str], None]


class Session(Protocol):
    """One open login to a host."""

    async def run(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float | None = None,
        on_line: Line | None = None,
    ) -> Ran:
        """Run a shell command line (bash, login shell) to its end; `env` is exported before it, and is never printed.

        Raises:
            Unreachable: the connection broke, or `timeout_s` seconds passed; the command may go on.
        """
        ...

    async def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Replace a file in one step; folders are made. `~` is the user's home there. Raises Unreachable, SshError."""
        ...

    async def push(self, files: Files) -> None:
        """Copy a file or folder of this machine to the host: by rsync, or by tar where one side has none.

        As with rsync, a source folder that ends with "/" means its content. Raises Unreachable, SshError.
        """
        ...

    async def pull(self, files: Files) -> None:
        """Copy a file or folder of the host to this machine. Raises Unreachable, SshError."""
        ...

    async def close(self) -> None:
        """Log out."""
        ...


class Ssh(Protocol):
    """Makes sessions."""

    async def connect(self, target: Target, timeout_s: float = 10.0) -> Session:
        """Log in.

        Raises:
            Unreachable, LoginRefused, HostKeyChanged: as their names say.
        """
        ...


@runtime_checkable
class LendsSsh(Protocol):
    """Whoever is logged in to hosts already, and lets others use that."""

    @property
    def ssh(self) -> Ssh:
        """Return what made its sessions."""
        ...
