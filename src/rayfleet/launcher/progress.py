"""How a long call tells where it is: a function that takes steps. What is done with them is the caller's matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What is being waited for now. `done` of `total`, where that is known."""

    text: str
    done: int = 0
    total: int | None = None


Progress = Callable[[Step], None]


def unseen(step: Step) -> None:
    """Take steps that nobody wants to see."""
