"""What has to be so before machines are launched for tasks that wait."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PendingThreshold:
    """Machines are launched for tasks when `count` of them wait, or when one has waited for `age_s`.

    None: this half triggers nothing.
    """

    count: int | None = None
    age_s: float | None = None

    def is_reached(self, count: int, age_s: float) -> bool:
        """Say whether `count` waiting tasks, of which the oldest waits for `age_s`, are enough."""
        if not count:
            return True
        enough = self.count is not None and count >= self.count
        return enough or (self.age_s is not None and age_s >= self.age_s)

    def __str__(self) -> str:
        """Print as people set it: `10`, `30s`, `10,30s`."""
        parts = [] if self.count is None else [str(self.count)]
        return ",".join(parts if self.age_s is None else [*parts, f"{self.age_s:g}s"])
