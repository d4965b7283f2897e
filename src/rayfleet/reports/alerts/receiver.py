"""What somebody who is told has to be able to, and how it fails."""

from __future__ import annotations

from typing import Protocol

from rayfleet.reports.alerts.message import Message


class NotDelivered(Exception):
    """Nobody was told. The message holds no secret; `again`: it may work later."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        """Keep both."""
        super().__init__(message)
        self.again = again


class Receiver(Protocol):
    """Somebody who is told."""

    @property
    def label(self) -> str:
        """Return how people call it; no secret."""
        ...

    async def send(self, message: Message) -> None:
        """Tell it; NotDelivered when that fails. May hang: whoever calls has a limit."""
        ...
