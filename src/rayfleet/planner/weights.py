"""What a machine is taken to cost when its price is unknown, and how much of a machine is wasted.

The weights are rough USD per hour of one unit of a resource at a large cloud in 2026: a CPU 0.04, a GiB of
memory 0.005, an accelerator 1.00. They only ever compare machines with each other: a machine without a price
counts 0 in every sum of money. Custom resources weigh nothing (they are mostly markers), so that a marker makes
no machine look bigger than it is; every machine weighs a little, so that none is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rayfleet.model import CPU, GPU, MEMORY, UNITS

ACCELERATORS: Final = frozenset({GPU, "TPU", "NPU", "HPU", "neuron_cores"})
ACCELERATOR_TYPE: Final = "accelerator_type:"
"""Prefix of the markers that say which accelerator a machine has."""

GIB: Final = 2**30

USD_PER_HOUR: Final[dict[str, float]] = {
    CPU: 0.04,
    MEMORY: 0.005 / GIB,
    **dict.fromkeys(sorted(ACCELERATORS), 1.0),
}

SMALLEST_USD_PER_HOUR: Final = 0.001


def is_accelerator(name: str) -> bool:
    """Say whether a resource makes a machine one that ordinary work should keep off."""
    return name in ACCELERATORS or name.startswith(ACCELERATOR_TYPE)


def has_accelerator(amounts: Mapping[str, int]) -> bool:
    """Say whether any of the amounts (in units) is of an accelerator."""
    return any(is_accelerator(name) for name in amounts)


def weight(amounts: Mapping[str, int]) -> float:
    """Return the weight of amounts (in units), in USD per hour."""
    return sum(units / UNITS * USD_PER_HOUR[name] for name, units in amounts.items() if name in USD_PER_HOUR)


def stand_in_price(amounts: Mapping[str, int]) -> float:
    """Return what a machine without a price is compared by, in USD per hour."""
    return weight(amounts) + SMALLEST_USD_PER_HOUR
