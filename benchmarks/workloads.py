"""Machine types and waiting work for planner benchmarks, made from a seed; and a bound of cost. Pure.

Types: families of the size of AWS's, with their on-demand prices in us-east-1 as they were remembered in 2026 - what
counts is that every planner gets the same. Work: `homog_N`, N tasks of one CPU; `mixS_N`, N tasks of S shapes, a fifth
of them with GPUs, a tenth with a custom resource, in counts that fall as 1/rank.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

GIB: Final = 2**30
_STEP: Final = 64 * 2**20
_USABLE: Final = 0.7  # of a machine's memory is for tasks
_A_LITTLE: Final = 0.001  # of an accelerator type: "on such a machine"

_SIZES: Final = {
    "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64, "24xlarge": 96,
}  # fmt: skip
_C5: Final = {
    "large": (2, 4, 0.085), "xlarge": (4, 8, 0.17), "2xlarge": (8, 16, 0.34), "4xlarge": (16, 32, 0.68),
    "9xlarge": (36, 72, 1.53), "12xlarge": (48, 96, 2.04), "18xlarge": (72, 144, 3.06), "24xlarge": (96, 192, 4.08),
}  # fmt: skip
_GPU: Final = {  # name: CPUs, GiB, GPUs, their kind, USD per hour
    "p3.2xlarge": (8, 61, 1, "V100", 3.06), "p3.8xlarge": (32, 244, 4, "V100", 12.24),
    "p3.16xlarge": (64, 488, 8, "V100", 24.48), "p4d.24xlarge": (96, 1152, 8, "A100", 32.7726),
    "g5.xlarge": (4, 16, 1, "A10G", 1.006), "g5.2xlarge": (8, 32, 1, "A10G", 1.212),
    "g5.4xlarge": (16, 64, 1, "A10G", 1.624), "g5.8xlarge": (32, 128, 1, "A10G", 2.448),
    "g5.12xlarge": (48, 192, 4, "A10G", 5.672), "g5.16xlarge": (64, 256, 1, "A10G", 4.096),
    "g5.24xlarge": (96, 384, 4, "A10G", 8.144), "g5.48xlarge": (192, 768, 8, "A10G", 16.288),
    "g4dn.xlarge": (4, 16, 1, "T4", 0.526), "g4dn.2xlarge": (8, 32, 1, "T4", 0.752),
    "g4dn.4xlarge": (16, 64, 1, "T4", 1.204), "g4dn.8xlarge": (32, 128, 1, "T4", 2.176),
    "g4dn.12xlarge": (48, 192, 4, "T4", 3.912), "g4dn.16xlarge": (64, 256, 1, "T4", 4.352),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MachineType:
    """A type of machine that can be had any number of times."""

    name: str
    resources: Mapping[str, float]
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class Shape:
    """`count` waiting tasks that want `resources`."""

    resources: Mapping[str, float]
    count: int


@dataclass(frozen=True, slots=True)
class Case:
    """One planning problem in an empty cluster."""

    name: str
    types: tuple[MachineType, ...]
    shapes: tuple[Shape, ...] = field(repr=False)


def case(name: str) -> Case:
    """Return `homog_N_t50` or `mixS_N_t50`; ValueError for any other name. The same name is always the same case."""
    kind, count, types = name.split("_")
    if types != "t50":
        raise ValueError(f"there are only the 50 types: {name}")
    if kind == "homog":
        shapes: tuple[Shape, ...] = (Shape({"CPU": 1.0}, int(count)),)
    elif kind.startswith("mix"):
        shapes = mixed(int(kind.removeprefix("mix")), int(count), seed=1)
    else:
        raise ValueError(f"no such case: {name}")
    return Case(name, catalogue(), shapes)


# ---- machine types ------------------------------------------------------------------------------------


def catalogue() -> tuple[MachineType, ...]:
    """Return the 50 types."""
    found = []
    for family, per_cpu_gib, usd_per_cpu in (("m5", 4, 0.048), ("m6i", 4, 0.048), ("r5", 8, 0.063)):
        for size, cpus in _SIZES.items():
            ssd = {"ssd": max(1.0, cpus / 4)} if family == "r5" else {}
            found.append(_type(f"{family}.{size}", (cpus, cpus * per_cpu_gib), cpus * usd_per_cpu, ssd))
    found += [_type(f"c5.{size}", (cpus, gib), usd) for size, (cpus, gib, usd) in _C5.items()]
    for name, (cpus, gib, gpus, kind, usd) in _GPU.items():
        found.append(_type(name, (cpus, gib), usd, {"GPU": float(gpus), f"accelerator_type:{kind}": 1.0}))
    return tuple(found)


def _type(
    name: str, size: tuple[int, int], usd_per_hour: float, others: Mapping[str, float] | None = None
) -> MachineType:
    cpus, gib = size
    amounts = {"CPU": float(cpus), "memory": float(int(gib * GIB * _USABLE)), **(others or {})}
    return MachineType(name, amounts, round(usd_per_hour, 6))


# ---- work -----------------------------------------------------------------------------------------------


def mixed(shapes: int, count: int, seed: int) -> tuple[Shape, ...]:
    """Return `count` tasks of so many distinct shapes, each of which fits some type."""
    chance, types = random.Random(seed), catalogue()  # noqa: S311 - chance with a seed: no secret
    distinct: dict[tuple[tuple[str, float], ...], dict[str, float]] = {}
    while len(distinct) < shapes:
        shape = _random_shape(chance)
        if any(fits(shape, each) for each in types):
            distinct.setdefault(tuple(sorted(shape.items())), shape)
    counts = falling_counts(shapes, count)
    chance.shuffle(counts)
    return tuple(Shape(shape, many) for shape, many in zip(distinct.values(), counts, strict=True))


def falling_counts(shapes: int, count: int) -> list[int]:
    """Return counts that fall as 1/rank, each at least 1, `count` in all; the largest takes what rounding leaves."""
    weights = [1 / (rank + 1) for rank in range(shapes)]
    counts = [max(1, int(count * weight / sum(weights))) for weight in weights]
    counts[0] += count - sum(counts)
    return counts


def fits(shape: Mapping[str, float], machine: MachineType) -> bool:
    """Say whether a task of that shape fits on an empty machine."""
    return all(amount <= machine.resources.get(name, 0.0) for name, amount in shape.items())


def _random_shape(chance: random.Random) -> dict[str, float]:
    kind = chance.random()
    if kind < 0.2:  # noqa: PLR2004 - a fifth
        return _gpu_shape(chance)
    if kind < 0.3:  # noqa: PLR2004 - a tenth more
        cpus = float(chance.choice([1, 2, 4]))
        return {"CPU": cpus, "ssd": float(chance.choice([1, 1, 2])), **_memory(cpus * chance.uniform(1, 5))}
    cpus = chance.choice([0.5, 1, 1, 2, 2, 4, 8, 16])
    per_cpu = chance.choice([0, 0.5, 1, 2, 4, 7])
    return {"CPU": float(cpus), **_memory(cpus * per_cpu * chance.uniform(0.5, 1.5))}


def _gpu_shape(chance: random.Random) -> dict[str, float]:
    gpus = chance.choice([0.25, 0.5, 1, 1, 1, 2, 4, 8])
    cpus = chance.choice([1, 2, 4, 8]) * (gpus / 2 if gpus > 1 else 1)
    shape = {"GPU": float(gpus), "CPU": float(cpus), **_memory(chance.choice([4, 8, 16, 24]) * max(gpus, 0.5))}
    if chance.random() < 0.3:  # noqa: PLR2004 - three in ten insist on a kind
        shape[f"accelerator_type:{chance.choice(['A10G', 'T4', 'V100', 'A100'])}"] = _A_LITTLE
    return shape


def _memory(gib: float) -> dict[str, float]:
    size = int(gib * GIB) // _STEP * _STEP
    return {"memory": float(size)} if size else {}


# ---- a bound ----------------------------------------------------------------------------------------------


def least_usd_per_hour(of: Case) -> float:
    """Return a cost that no plan for the case can go below.

    All that is wanted of one resource, at the price at which the cheapest type has it; the largest of these. Exact
    for tasks of one resource that fill machines, loose for others.
    """
    wanted: dict[str, float] = {}
    for shape in of.shapes:
        for name, amount in shape.resources.items():
            wanted[name] = wanted.get(name, 0.0) + amount * shape.count
    return max(amount * _least_price(of.types, name) for name, amount in wanted.items())


def _least_price(types: Sequence[MachineType], resource: str) -> float:
    return min(each.usd_per_hour / each.resources[resource] for each in types if each.resources.get(resource))
