"""Pretend programs of users: they come and go as a test says."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.contracts import Attachment, EngineDown


@dataclass
class FakeDrivers:
    """The Drivers contract. `running`: programs that are attached; `ended`: how many have gone; `down`: no answer."""

    running: int = 0
    ended: int = 0
    down: bool = False
    looks: int = 0
    closed: bool = False

    async def look(self) -> Attachment:
        """Show it."""
        self.looks += 1
        if self.down:
            raise EngineDown("the GCS does not answer")
        return Attachment(self.running > 0, self.ended)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def start(self) -> None:
        """Attach one more."""
        self.running += 1

    def end(self) -> None:
        """Have one of them end."""
        self.running -= 1
        self.ended += 1
