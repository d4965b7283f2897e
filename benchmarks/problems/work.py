"""Waiting work, made from a seed: shapes with GPUs and custom resources, counts that fall as 1/rank, used machines."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from benchmarks.problems.catalogue import FAMILY, GIB, MARKET, ZONE, catalogue
from benchmarks.problems.model import MachineType, Node, Selector, Shape, fits, meant

_STEP: Final = 64 * 2**20
_A_LITTLE: Final = 0.001  # of an accelerator type: "on such a machine"
_GPU_SHARE: Final = 0.2
_CUSTOM_SHARE: Final = 0.1
_OF_A_KIND: Final = 0.3
_SELECTING: Final = 0.3
_GPU_NODES: Final = 0.1

_BY_FAMILY: Final[tuple[Selector, ...]] = (
    ((FAMILY, True, ("m5", "m6i", "g5")),),
    ((FAMILY, False, ("c5", "g4dn")),),
    ((FAMILY, True, ("r5",)),),
)
_BY_PLACE: Final[tuple[Selector, ...]] = (
    ((MARKET, True, ("on-demand",)),),
    ((ZONE, True, ("a", "b")),),
    ((MARKET, True, ("spot",)), (ZONE, False, ("e",))),
)


def seeded(*words: object) -> random.Random:
    """Return chance that is the same for the same words on every machine."""
    return random.Random(":".join(str(word) for word in words))  # noqa: S311 - chance with a seed: no secret


def mixed(shapes: int, count: int, seed: int, *, cpu_only: bool = False) -> tuple[Shape, ...]:
    """Return `count` tasks of so many distinct shapes, each of which fits some type of the catalogue."""
    chance, types = random.Random(seed), catalogue()  # noqa: S311 - chance with a seed: no secret
    distinct: dict[tuple[tuple[str, float], ...], dict[str, float]] = {}
    while len(distinct) < shapes:
        shape = _cpu_shape(chance) if cpu_only else _random_shape(chance)
        if any(fits(shape, each.resources) for each in types):
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


def fitting(shapes: Sequence[Shape], types: Sequence[MachineType]) -> tuple[Shape, ...]:
    """Return the shapes that some of the types can take; the first takes the tasks of those that none can."""
    kept = [shape for shape in shapes if any(fits(shape.resources, each.resources) for each in types)]
    lost = sum(shape.count for shape in shapes) - sum(shape.count for shape in kept)
    first = Shape(kept[0].resources, kept[0].count + lost)
    return (first, *kept[1:])


def selecting(shapes: Sequence[Shape], types: Sequence[MachineType], chance: random.Random) -> tuple[Shape, ...]:
    """Give three in ten of the shapes a selector, of those that leave them a type."""
    choices = _BY_PLACE if any(MARKET in each.labels for each in types) else _BY_FAMILY
    found = []
    for shape in shapes:
        selector: Selector = ()
        if chance.random() < _SELECTING:
            wish = chance.choice(choices)
            takers = [each for each in types if meant(wish, each.labels) and fits(shape.resources, each.resources)]
            selector = wish if takers else ()
        found.append(Shape(shape.resources, shape.count, selector))
    return tuple(found)


def used_nodes(count: int, chance: random.Random) -> tuple[Node, ...]:
    """Return machines of which some fraction is in use: of each tenth one has GPUs."""
    plain = [each for each in catalogue() if "GPU" not in each.resources]
    accelerated = [each for each in catalogue() if "GPU" in each.resources]
    found = []
    for number in range(count):
        of = chance.choice(accelerated if chance.random() < _GPU_NODES else plain)
        share = chance.choice([0.0, 0.25, 0.5, 0.75, 0.9, 1.0])
        available = {name: float(math.floor(total * (1 - share))) for name, total in of.resources.items()}
        available["memory"] = float(int(of.resources["memory"] * (1 - share * chance.uniform(0.5, 1.0))))
        # What says of which kind an accelerator is, is taken in thousandths.
        available |= {name: 1.0 for name in of.resources if name.startswith("accelerator_type:")}
        found.append(Node(f"node-{number}", of, available))
    return tuple(found)


def _random_shape(chance: random.Random) -> dict[str, float]:
    kind = chance.random()
    if kind < _GPU_SHARE:
        return _gpu_shape(chance)
    if kind < _GPU_SHARE + _CUSTOM_SHARE:
        cpus = float(chance.choice([1, 2, 4]))
        return {"CPU": cpus, "ssd": float(chance.choice([1, 1, 2])), **_memory(cpus * chance.uniform(1, 5))}
    return _cpu_shape(chance)


def _cpu_shape(chance: random.Random) -> dict[str, float]:
    cpus = chance.choice([0.5, 1, 1, 2, 2, 4, 8, 16])
    per_cpu = chance.choice([0, 0.5, 1, 2, 4, 7])
    return {"CPU": float(cpus), **_memory(cpus * per_cpu * chance.uniform(0.5, 1.5))}


def _gpu_shape(chance: random.Random) -> dict[str, float]:
    gpus = chance.choice([0.25, 0.5, 1, 1, 1, 2, 4, 8])
    cpus = chance.choice([1, 2, 4, 8]) * (gpus / 2 if gpus > 1 else 1)
    shape = {"GPU": float(gpus), "CPU": float(cpus), **_memory(chance.choice([4, 8, 16, 24]) * max(gpus, 0.5))}
    if chance.random() < _OF_A_KIND:
        shape[f"accelerator_type:{chance.choice(['A10G', 'T4', 'V100', 'A100'])}"] = _A_LITTLE
    return shape


def _memory(gib: float) -> dict[str, float]:
    size = int(gib * GIB) // _STEP * _STEP
    return {"memory": float(size)} if size else {}
