"""Who uses a cluster as a whole: the programs that are attached to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Attachment:
    """Whether programs of users are attached now, and how many have ever ended.

    Detached actors and what Ray runs for itself do not count. `ended` only grows while the same head lives: that it has
    grown tells of a program that came and went between two looks.
    """

    attached: bool
    ended: int = 0


class Drivers(Protocol):
    """The programs that are attached to one cluster."""

    async def look(self) -> Attachment:
        """Return how it is now.

        Raises:
            EngineError: the cluster does not tell; nothing may be concluded.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
