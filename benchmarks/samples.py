"""What many samples come to: medians, spreads, and the median of the ratios of pairs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the middle and the largest of some samples, and how many there were."""

    min: float
    p50: float
    max: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Return it for `samples`; ValueError when there are none: nothing measured is no result."""
        if not samples:
            raise ValueError("no samples")
        return cls(min(samples), median(samples), max(samples), len(samples))


def pair_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of ours / theirs, pair by pair, so that a slow minute of the machine weighs on both sides.

    ValueError when they are not as many, none at all, or theirs are not positive.
    """
    if not ours or any(peer <= 0 for peer in theirs):
        raise ValueError(f"no ratio of {list(ours)} to {list(theirs)}")
    return median(own / peer for own, peer in zip(ours, theirs, strict=True))


def alternate(pairs: int) -> list[tuple[str, str]]:
    """Return who goes first and who second in each of `pairs` pairs: turn about, so that order favours nobody."""
    return [("ours", "theirs") if number % 2 == 0 else ("theirs", "ours") for number in range(pairs)]
