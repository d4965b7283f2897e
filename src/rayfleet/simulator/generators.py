"""Workloads made by chance with a seed: `diurnal`, `bursty`, `batch` and `training`.

diurnal:hours=24,peak=2000     as many CPUs in use as people awake
bursty:bursts=20,tasks=500     quiet, and now and then very much at once
batch:every_s=3600,tasks=1000  jobs by the clock, with a few slow tasks each
training:gangs=40,bundles=8    placement groups of GPUs that are kept for hours
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from rayfleet.config import ConfigInvalid, Problem
from rayfleet.model import Resources, Strategy
from rayfleet.simulator.chance import generator
from rayfleet.simulator.trace import Trace, Work, trace_of

_HOUR_S: Final = 3600.0
_DAY_S: Final = 86_400.0
_GIB: Final = 2**30
_MIX: Final = (
    (Resources.of({"CPU": 1}), 0.6),
    (Resources.of({"CPU": 1, "memory": 4 * _GIB}), 0.2),
    (Resources.of({"CPU": 2}), 0.1),
    (Resources.of({"CPU": 4, "memory": 8 * _GIB}), 0.1),
)
"""Shapes of CPU work, and the share of the tasks that has each."""
_CPUS_OF_MIX: Final = sum(share * shape.amounts()["CPU"] for shape, share in _MIX)

Numbers = Mapping[str, float]


def diurnal(n: Numbers, chance: Random) -> Iterator[Work]:
    """Yield tasks whose number in use follows the hours of a day. `peak`: CPUs in use, `low`: share of it at night."""
    step_s, mean_s = n["step_s"], n["duration_s"] * math.exp(n["spread"] ** 2 / 2)
    for step in range(int(n["hours"] * _HOUR_S / step_s)):
        at = step * step_s
        awake = n["low"] + (1 - n["low"]) * (1 - math.cos(2 * math.pi * at / _DAY_S)) / 2
        tasks = n["peak"] * awake / _CPUS_OF_MIX / mean_s * step_s
        for shape, share in _MIX:
            for count in _split(_poisson(chance, tasks * share), n["row"]):
                yield Work(at + chance.uniform(0, step_s), shape, _duration(n, chance), count)


def bursty(n: Numbers, chance: Random) -> Iterator[Work]:
    """Yield a trickle of tasks, and `bursts` of `tasks` each, of one shape, at random times."""
    for at in sorted(chance.uniform(0, n["hours"] * _HOUR_S) for _ in range(int(n["trickle"]))):
        yield Work(at, _drawn(chance), _duration(n, chance))
    for at in sorted(chance.uniform(0, n["hours"] * _HOUR_S) for _ in range(int(n["bursts"]))):
        shape, left = _drawn(chance), max(1, round(n["tasks"] * chance.uniform(0.5, 1.5)))
        for count in _split(left, n["row"]):
            yield Work(at + chance.uniform(0, 2), shape, _duration(n, chance), count)


def batch(n: Numbers, chance: Random) -> Iterator[Work]:
    """Yield jobs of `tasks` tasks every `every_s`; one task in fifty takes five times as long."""
    for job in range(max(1, int(n["hours"] * _HOUR_S / n["every_s"]))):
        shape = _drawn(chance)
        for count in _split(int(n["tasks"]), n["row"]):
            slow = 5.0 if chance.random() < 0.02 else 1.0  # noqa: PLR2004 - as the docstring says
            yield Work(job * n["every_s"], shape, slow * _duration(n, chance), count)


def training(n: Numbers, chance: Random) -> Iterator[Work]:
    """Yield `gangs` placement groups of up to `bundles` bundles of `gpus` GPUs, and small CPU tasks beside them."""
    for _ in range(int(n["gangs"])):
        at = chance.uniform(0, n["hours"] * _HOUR_S)
        size = 2 ** chance.randint(0, max(0, int(math.log2(n["bundles"]))))
        strategy = chance.choice((Strategy.PACK, Strategy.STRICT_SPREAD, Strategy.STRICT_PACK))
        if strategy is Strategy.STRICT_PACK:
            size = min(size, 2)
        shape = Resources.of({"CPU": 4 * n["gpus"], "GPU": n["gpus"]})
        yield Work(at, shape, _duration(n, chance), size, strategy)
        yield Work(at, Resources.of({"CPU": 1}), 120.0, 4 * size)


GENERATORS: Final[dict[str, tuple[Callable[[Numbers, Random], Iterator[Work]], dict[str, float]]]] = {
    "diurnal": (
        diurnal,
        {"hours": 24, "peak": 2000, "low": 0.15, "duration_s": 240, "spread": 0.6, "step_s": 10, "row": 20},
    ),
    "bursty": (
        bursty,
        {"hours": 6, "bursts": 20, "tasks": 500, "trickle": 200, "duration_s": 60, "spread": 0.8, "row": 50},
    ),
    "batch": (batch, {"hours": 12, "every_s": 3600, "tasks": 1000, "duration_s": 300, "spread": 0.5, "row": 50}),
    "training": (training, {"hours": 24, "gangs": 40, "bundles": 8, "gpus": 1, "duration_s": 5400, "spread": 0.7}),
}
"""Each with its numbers and their defaults.

`row`: at most so many tasks share a duration; `spread`: the deviation of its logarithm.
"""


def is_generator(word: str) -> bool:
    """Say whether `word` asks for a made workload."""
    return word.partition(":")[0] in GENERATORS


def generated(word: str, seed: int) -> Trace:
    """Return the workload that a word such as `diurnal:hours=24,peak=500` asks for.

    Raises:
        ConfigInvalid: there is no such generator or number.
    """
    name, _, told = word.partition(":")
    make, defaults = GENERATORS[name]
    numbers = {**defaults, **_told(word, told, defaults)}
    return trace_of(word, make(numbers, generator(seed, f"trace/{word}")))


def _told(word: str, text: str, known: Numbers) -> dict[str, float]:
    found = {}
    for part in text.split(",") if text else ():
        key, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if key not in known or not 0 < number < 1e9:  # noqa: PLR2004 - more is a slip of the finger
            hint = ", ".join(f"{name}={amount:g}" for name, amount in known.items())
            raise ConfigInvalid([Problem(f"{part!r} is not one of its numbers", file=word, hint=f"it takes {hint}")])
        found[key] = number
    return found


def _drawn(chance: Random) -> Resources:
    return chance.choices([shape for shape, _ in _MIX], [share for _, share in _MIX])[0]


def _duration(n: Numbers, chance: Random) -> float:
    return round(n["duration_s"] * math.exp(chance.gauss(0, n["spread"])), 3)


def _split(count: int, most: float) -> Iterator[int]:
    """Yield parts of a count, each of at most `most`."""
    while count > 0:
        part = min(count, int(most))
        yield part
        count -= part


def _poisson(chance: Random, mean: float) -> int:
    """Draw how many of many rare things happen."""
    if mean > 50:  # noqa: PLR2004 - from there on the bell curve is as good
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count
