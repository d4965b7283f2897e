"""Chance with a seed: distributions as people write them, and a generator of its own for each purpose.

    40                     always 40
    uniform(30, 60)        anything between
    normal(40, 5)          mean and deviation; never below 0
    lognormal(40, 0.3)     median, and the deviation of its logarithm
    exponential(30)        mean

Each purpose draws from a generator of its own, so that one more draw here changes nothing there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

_CALL: Final = re.compile(r"\s*(?P<name>[a-z]+)\s*\(\s*(?P<numbers>[^()]*)\)\s*")

_DRAWS: Final[dict[str, tuple[int, Callable[[Random, tuple[float, ...]], float]]]] = {
    "constant": (1, lambda _, n: n[0]),
    "uniform": (2, lambda chance, n: chance.uniform(n[0], n[1])),
    "normal": (2, lambda chance, n: chance.gauss(n[0], n[1])),
    "lognormal": (2, lambda chance, n: n[0] * math.exp(chance.gauss(0.0, n[1]))),
    "exponential": (1, lambda chance, n: chance.expovariate(1 / n[0]) if n[0] else 0.0),
}


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution: its `name` and its `numbers`, as above. Never gives a negative number."""

    name: str
    numbers: tuple[float, ...]

    @classmethod
    def parse(cls, value: float | str) -> Spread:
        """Read what a person wrote; ValueError when it is no distribution."""
        if isinstance(value, int | float):
            return cls("constant", (_amount(value),))
        found = _CALL.fullmatch(value)
        name = found["name"] if found else ""
        if found is None or name not in _DRAWS:
            raise ValueError(f"{value!r} is no number and none of {', '.join(f'{word}(...)' for word in _DRAWS)}")
        numbers = tuple(_amount(part) for part in found["numbers"].split(",") if part.strip())
        if len(numbers) != _DRAWS[name][0]:
            raise ValueError(f"{name} takes {_DRAWS[name][0]} numbers, not {len(numbers)}")
        return cls(name, numbers)

    def draw(self, chance: Random) -> float:
        """Return the next value."""
        if self.name == "constant":
            return self.numbers[0]
        return max(0.0, _DRAWS[self.name][1](chance, self.numbers))

    def __str__(self) -> str:
        """Print as it is written."""
        numbers = ", ".join(f"{number:g}" for number in self.numbers)
        return numbers if self.name == "constant" else f"{self.name}({numbers})"


def _amount(value: float | str) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{value} is not a number from 0 on")
    return number


def always(value: float) -> Spread:
    """Return the distribution that always gives `value`."""
    return Spread("constant", (value,))


def generator(seed: int, purpose: str) -> Random:
    """Return the generator of one purpose; the same for the same seed on every machine and in every process."""
    return Random(f"rayfleet/{seed}/{purpose}")  # noqa: S311 - made to be repeated, not to keep a secret
