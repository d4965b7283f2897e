"""SSH for who wants some, and a message that helps where the package for it is missing."""

from __future__ import annotations

from typing import Protocol

from rayfleet.wire.ssh.session import Ssh, SshError


class ClosableSsh(Ssh, Protocol):
    """SSH that keeps something open until it is closed."""

    async def close(self) -> None:
        """Let go of everything."""
        ...


def open_ssh() -> ClosableSsh:
    """Return real SSH. SshError: its package is not installed."""
    try:
        from rayfleet.wire.ssh.client import AsyncSsh  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        raise SshError(f'machines elsewhere need the package {error.name}: pip install "rayfleet[ssh]"') from error
    return AsyncSsh()
