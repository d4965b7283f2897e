"""What one owner of work (a team, a job) may have, and its share when there is not enough for all."""

from __future__ import annotations

from dataclasses import dataclass

from rayfleet.model.frozen import FrozenMap


@dataclass(frozen=True, slots=True)
class Quota:
    """Of work that carries `label`: `value`. `max_resources`: resource -> most units that machines are launched for.

    `weight`: its share, compared with the others', when limits do not let all work have machines.
    """

    label: str
    value: str
    max_resources: FrozenMap[int] = FrozenMap()
    weight: float = 1.0

    @property
    def owner(self) -> str:
        """Return `label=value`, in the words of reasons and files."""
        return f"{self.label}={self.value}"
