"""Machine types of the size of AWS's, with their on-demand prices in us-east-1 as they were remembered in 2026.

What counts is that every planner gets the same. Of a machine's memory 70 % is for tasks, as in Ray.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from typing import Final

from benchmarks.problems.model import MachineType

GIB: Final = 2**30
_USABLE: Final = 0.7
FAMILY: Final = "family"
ACCELERATOR: Final = "ray.io/accelerator-type"
MARKET: Final = "ray.io/market-type"
ZONE: Final = "ray.io/availability-zone"

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
_FIVE: Final = ("m5.xlarge", "m5.4xlarge", "c5.9xlarge", "r5.4xlarge", "g5.12xlarge")
_ZONES: Final = ("a", "b", "c", "d", "e")


def types_of(name: str) -> tuple[MachineType, ...]:
    """Return `t50`, `t5` (five of them) or `t500` (each in two markets and five zones); ValueError for others."""
    match name:
        case "t50":
            return catalogue()
        case "t5":
            return tuple(each for each in catalogue() if each.name in _FIVE)
        case "t500":
            return _in_markets_and_zones()
        case _:
            raise ValueError(f"no such set of machine types: {name}")


@cache
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
    extra = dict(others or {})
    kind = next((key.partition(":")[2] for key in extra if key.startswith("accelerator_type:")), "")
    labels = {FAMILY: name.partition(".")[0], **({ACCELERATOR: kind} if kind else {})}
    amounts = {"CPU": float(cpus), "memory": float(int(gib * GIB * _USABLE)), **extra}
    return MachineType(name, amounts, round(usd_per_hour, 6), labels, pool=name)


@cache
def _in_markets_and_zones() -> tuple[MachineType, ...]:
    chance = random.Random(7)  # noqa: S311 - chance with a seed: no secret
    found = []
    for each in catalogue():
        for market in ("on-demand", "spot"):
            for zone in _ZONES:
                share = 1.0 if market == "on-demand" else chance.uniform(0.25, 0.5)
                labels = {**each.labels, MARKET: market, ZONE: zone}
                price = round(each.usd_per_hour * share, 6)
                found.append(MachineType(f"{each.name}/{market}/{zone}", each.resources, price, labels, each.name))
    return tuple(found)
