"""What is told of a reason's code: what it says, what to do, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rayfleet.model.frozen import FrozenMap

NOTHING: Final = "Nothing: this is as it should be."


@dataclass(frozen=True, slots=True)
class Meaning:
    """One code for people. `says`: what has happened; `do`: what they can do; `details`: each key -> what it is."""

    says: str
    do: str
    details: FrozenMap[str] = FrozenMap()


def means(says: str, do: str = NOTHING, /, **details: str) -> Meaning:
    """Return the meaning; `details`: what each of the reason's numbers is."""
    return Meaning(says, do, FrozenMap(details))
