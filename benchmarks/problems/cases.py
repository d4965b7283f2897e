"""The standing set: planning problems by name. The same name is always the same problem.

homog_N_tT          N tasks of one CPU, T machine types (50, 5, or 500: 50 in two markets and five zones)
mixS_N_tT           N tasks of S shapes: a fifth with GPUs, a tenth with a custom resource; `cpuS`: neither
selS_N_tT           the same, of which three in ten select machines by label
..._sK              another seed
..._exE             E machines run already, with some fraction of each in use
idle_tT_exE         nothing waits
gang_*              placement groups
ray64175_prod, ray65282_3000n   the sizes that two pull requests to Ray name; the machine types are ours
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from benchmarks.problems.catalogue import GIB, catalogue, types_of
from benchmarks.problems.model import Amounts, Case, Group, MachineType, Node, Shape
from benchmarks.problems.work import fitting, mixed, seeded, selecting, used_nodes

SEEDS: Final = {"s1": 137, "s2": 168, "s3": 87}
"""Of the seeds 1..200 those whose bounds for 1,000 tasks of 100 shapes are nearest to those of the study that set the
goals (897, 276 and 489 USD/h): as hard as its problems, whose chance cannot be repeated from their description."""

GANGS: Final[dict[str, tuple[Group, ...]]] = {
    "gang_strictpack8gpu_x20": (Group("STRICT_PACK", ({"GPU": 1.0, "CPU": 4.0},) * 8, 20),),
    "gang_pack256_x4": (Group("PACK", ({"CPU": 2.0, "memory": 4.0 * GIB},) * 256, 4),),
    "gang_spread64_x10": (Group("SPREAD", ({"CPU": 4.0},) * 64, 10),),
    "gang_strictspread8_x20": (Group("STRICT_SPREAD", ({"CPU": 8.0, "memory": 16.0 * GIB},) * 8, 20),),
    "gang_strictspread64_x4": (Group("STRICT_SPREAD", ({"CPU": 4.0},) * 64, 4),),
    "gang_strictspread256_x1": (Group("STRICT_SPREAD", ({"CPU": 4.0},) * 256, 1),),
}
_MIXED: Final = (
    Group("STRICT_PACK", ({"GPU": 1.0, "CPU": 4.0},) * 4, 10),
    Group("PACK", ({"CPU": 4.0, "memory": 8.0 * GIB},) * 16, 10),
    Group("SPREAD", ({"CPU": 2.0},) * 8, 10),
    Group("STRICT_SPREAD", ({"CPU": 8.0},) * 8, 10),
)

STANDING: Final = (
    "homog_1000_t50", "homog_100000_t50", "homog_10000_t500", "mix10_1000_t50",
    "mix100_1000_t50", "mix100_1000_t50_s2", "mix100_1000_t50_s3", "mix100_10000_t50", "mix100_100000_t50",
    "cpu100_1000_t50", "mix100_1000_t5", "mix100_10000_t5", "mix100_10000_t500", "sel100_1000_t50", "sel100_10000_t50",
    "sel100_10000_t500", "mix10_200_t500", "mix1000_10000_t50",
    *GANGS, "gang_mixed_x40_tasks2000",
    "mix10_1000_t50_ex100", "mix10_1000_t50_ex1000", "mix10_1000_t50_ex5000", "mix100_10000_t50_ex1000",
    "idle_t50_ex1000", "ray64175_prod", "ray65282_3000n",
)  # fmt: skip
"""In the order of the table."""

_OF_RAY: Final[Amounts] = {"CPU": 16.0, "memory": 64.0 * GIB}


@cache
def case(name: str) -> Case:
    """Return the problem of that name; ValueError for a name that is none."""
    special = _special(name)
    if special is not None:
        return special
    kind, *rest = name.split("_")
    options = {part.rstrip("0123456789"): part for part in rest}
    if "t" not in options or "" not in options or set(options) - {"", "t", "s", "ex"}:
        raise ValueError(f"no such case: {name}")
    types = types_of(options["t"])
    shapes = _shapes(kind, int(options[""]), options.get("s", "s1"), types)
    return Case(name, types, shapes, nodes=_nodes(options.get("ex", "ex0")))


def _shapes(kind: str, count: int, seed: str, types: tuple[MachineType, ...]) -> tuple[Shape, ...]:
    if kind == "homog":
        return (Shape({"CPU": 1.0}, count),)
    word, number = kind.rstrip("0123456789"), kind.lstrip("abcdefghijklmnopqrstuvwxyz")
    if word not in {"mix", "cpu", "sel"} or not number:
        raise ValueError(f"no such work: {kind}")
    found = mixed(int(number), count, SEEDS.get(seed) or int(seed[1:]), cpu_only=word == "cpu")
    found = fitting(found, types)
    return selecting(found, types, seeded(kind, seed)) if word == "sel" else found


def _nodes(word: str) -> tuple[Node, ...]:
    count = int(word.removeprefix("ex"))
    return used_nodes(count, seeded("nodes", count))


def _special(name: str) -> Case | None:
    if name in GANGS:
        return Case(name, catalogue(), groups=GANGS[name])
    if name == "gang_mixed_x40_tasks2000":
        return Case(name, catalogue(), mixed(100, 2000, SEEDS["s1"]), _MIXED)
    if name.startswith("idle_"):
        _, types, nodes = name.split("_")
        return Case(name, types_of(types), nodes=_nodes(nodes))
    if name == "ray64175_prod":
        of = next(each for each in catalogue() if each.name == "m5.4xlarge")
        full = tuple(Node(f"node-{n}", of, {**of.resources, "CPU": 0.0}) for n in range(1337))
        return Case(name, (of,), (Shape({"CPU": 2.0}, 13315),), nodes=full)
    if name == "ray65282_3000n":
        one = replace(catalogue()[0], name="one", pool="one", resources={"CPU": 1.0}, usd_per_hour=0.048)
        return Case(name, (one,), (Shape({"CPU": 0.2}, 15000),))
    return None
