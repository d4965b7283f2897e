"""How planning time grows: three decades of tasks, shapes, offers and machines, everything else the same."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Final

from benchmarks.growth_picture import Curve
from benchmarks.problems.cases import SEEDS, case
from benchmarks.problems.catalogue import catalogue, types_of
from benchmarks.problems.model import Case, MachineType
from benchmarks.problems.ours import snapshot_of
from benchmarks.problems.work import fitting, mixed, seeded, used_nodes
from rayfleet.planner import plan


def _tasks(size: int) -> Case:
    return case(f"mix100_{size}_t50")


def _shapes(size: int) -> Case:
    return Case(f"shapes{size}", catalogue(), mixed(size, 10_000, SEEDS["s1"]))


def _offers(size: int) -> Case:
    """Return a case with so many types: the catalogue's, again and again under other names and a little dearer."""
    known = types_of("t50")
    types = tuple(
        replace(
            each,
            name=f"{each.name}#{n}",
            pool=f"{each.name}#{n}",
            usd_per_hour=round(each.usd_per_hour * (1 + n / 1000), 6),
        )
        for n in range(-(-size // len(known)))
        for each in known
    )[:size]
    return Case(f"offers{size}", types, fitting(mixed(20, 1_000, SEEDS["s1"]), types))


def _copy(each: MachineType, number: int) -> MachineType:
    name = f"{each.name}#{number}"
    return replace(each, name=name, pool=name, usd_per_hour=round(each.usd_per_hour * (1 + number / 1000), 6))


def _machines(size: int) -> Case:
    nodes = used_nodes(size, seeded("nodes", size))
    return Case(f"machines{size}", catalogue(), mixed(20, 1_000, SEEDS["s1"]), nodes=nodes)


SIZES: Final[dict[str, tuple[Callable[[int], Case], tuple[int, ...]]]] = {
    "tasks": (_tasks, (1_000, 10_000, 100_000, 1_000_000)),
    "shapes": (_shapes, (1, 10, 100, 1_000)),
    "offers": (_offers, (5, 50, 500, 5_000)),
    "machines": (_machines, (10, 100, 1_000, 10_000)),
}


def measure(calls: int) -> list[Curve]:
    """Return a curve for each, medians of some calls."""
    return [
        Curve(of, tuple((size, _cpu_s(make(size), calls)) for size in sizes)) for of, (make, sizes) in SIZES.items()
    ]


def _cpu_s(problem: Case, calls: int) -> float:
    snapshot = snapshot_of(problem)
    plan(snapshot)
    seconds = []
    for _ in range(calls):
        gc.collect()
        began = time.process_time()
        plan(snapshot)
        seconds.append(time.process_time() - began)
    return median(seconds)
