"""Logical resources as integers: one unit is 1/10,000 of what the user writes.

Ray itself quantises every resource to 1e-4, so nothing is lost, sums are exact
and a plan never depends on floating-point noise. CPU 0.5 is 5,000 units; memory
of 1 GiB is 2**30 * 10,000 units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rayfleet.model.frozen import FrozenMap

UNITS: Final = 10_000

CPU: Final = "CPU"
GPU: Final = "GPU"
MEMORY: Final = "memory"
OBJECT_STORE: Final = "object_store_memory"


class Resources(FrozenMap[int]):
    """Amounts by resource name, in units of 1/10,000. Zero amounts are not kept."""

    __slots__ = ()

    def __init__(self, units: Mapping[str, int] | None = None) -> None:
        """Take amounts that are already in units; zeros are dropped."""
        super().__init__({name: amount for name, amount in (units or {}).items() if amount})

    @classmethod
    def of(cls, amounts: Mapping[str, float]) -> Resources:
        """Build from the user's amounts (CPU: 0.5, memory in bytes)."""
        return cls({name: round(amount * UNITS) for name, amount in amounts.items()})

    def amounts(self) -> dict[str, float]:
        """Return the user's amounts: whole numbers as int, the rest as float."""
        return {name: amount(units) for name, units in self.items()}

    def fits(self, room: Mapping[str, int]) -> bool:
        """Say whether `room` holds all of this."""
        return all(units <= room.get(name, 0) for name, units in self.items())

    def __add__(self, other: Mapping[str, int]) -> Resources:
        """Return the sum by name."""
        return Resources({n: self.get(n, 0) + other.get(n, 0) for n in {*self, *other}})

    def __sub__(self, other: Mapping[str, int]) -> Resources:
        """Return the difference by name; may be negative."""
        return Resources({n: self.get(n, 0) - other.get(n, 0) for n in {*self, *other}})

    def times(self, count: int) -> Resources:
        """Return `count` times this."""
        return Resources({name: units * count for name, units in self.items()})

    def floored(self) -> Resources:
        """Return this with negative amounts as absent."""
        return Resources({name: units for name, units in self.items() if units > 0})

    def __str__(self) -> str:
        """Print as users write it: `{CPU: 1, memory: 64000000000}`."""
        return "{" + ", ".join(f"{name}: {value}" for name, value in self.amounts().items()) + "}"


def amount(units: int) -> float:
    """Return the user's amount for `units`: a whole number as int, else a float."""
    return units // UNITS if units % UNITS == 0 else units / UNITS


NOTHING: Final = Resources()
