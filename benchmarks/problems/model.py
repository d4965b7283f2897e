"""A planning problem in plain words, which every planner that is measured is told in its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Amounts = Mapping[str, float]
"""Resources as users write them: CPU 0.5, memory in bytes."""

Selector = tuple[tuple[str, bool, tuple[str, ...]], ...]
"""All of: (label, whether its value has to be among the values or must not be, values)."""


@dataclass(frozen=True, slots=True)
class MachineType:
    """A type of machine that can be had any number of times. `pool`: the same, wherever it is bought."""

    name: str
    resources: Amounts
    usd_per_hour: float
    labels: Mapping[str, str] = field(default_factory=dict)
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """`count` waiting tasks that want `resources` on a machine that `selector` means."""

    resources: Amounts
    count: int
    selector: Selector = ()


@dataclass(frozen=True, slots=True)
class Group:
    """`count` equal placement groups of bundles, with Ray's strategy."""

    strategy: str
    bundles: tuple[Amounts, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that runs already. `available`: what is free of it."""

    name: str
    type: MachineType
    available: Amounts


@dataclass(frozen=True, slots=True)
class Case:
    """One planning problem. Any number of every type can be had."""

    name: str
    types: tuple[MachineType, ...]
    shapes: tuple[Shape, ...] = field(default=(), repr=False)
    groups: tuple[Group, ...] = field(default=(), repr=False)
    nodes: tuple[Node, ...] = field(default=(), repr=False)


def meant(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Say whether a machine with `labels` is one that a selector means; a missing label meets "must not be"."""
    return all((labels.get(key) in values) is wanted for key, wanted, values in selector)


def fits(resources: Amounts, room: Amounts) -> bool:
    """Say whether `room` holds `resources`."""
    return all(amount <= room.get(name, 0.0) for name, amount in resources.items())
