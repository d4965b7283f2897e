"""The names of cases in words that somebody who sees a picture understands."""

from __future__ import annotations

import re
from typing import Final

_OWN: Final = {
    "gang_strictpack8gpu_x20": "20 groups of 8 GPUs on one machine each",
    "gang_pack256_x4": "4 groups of 256 bundles, packed",
    "gang_spread64_x10": "10 groups of 64 bundles, spread",
    "gang_strictspread8_x20": "20 groups of 8 on 8 machines each",
    "gang_strictspread64_x4": "4 groups of 64 on 64 machines each",
    "gang_strictspread256_x1": "a group of 256 on 256 machines",
    "gang_mixed_x40_tasks2000": "40 groups and 2,000 tasks",
    "idle_t50_ex1000": "nothing waits, 1,000 machines",
    "ray64175_prod": "13,315 tasks, 1,337 full machines",
    "ray65282_3000n": "15,000 tasks, 1-CPU machines",
}
_KINDS: Final = {"mix": "shapes", "cpu": "shapes, no GPUs", "sel": "shapes, selectors"}
_MADE: Final = re.compile(r"(homog|mix|cpu|sel)(\d*)_(\d+)_t(\d+)(?:_s(\d+))?(?:_ex(\d+))?")


def in_words(name: str) -> str:
    """Return what a case is; its name when it has no words."""
    found = _MADE.fullmatch(name)
    if found is None:
        return _OWN.get(name, name)
    kind, shapes, tasks, types, seed, machines = found.groups()
    parts = [f"{int(tasks):,} {'equal ' if kind == 'homog' else ''}tasks"]
    parts += [f"{int(shapes):,} {_KINDS[kind]}"] if shapes else []
    parts += [f"{types} types"] + ([f"seed {seed}"] if seed else [])
    return ", ".join(parts + ([f"{int(machines):,} machines"] if machines else []))
