"""The simulator: the production loop and planner on virtual time, and how long that takes.

Each case runs in a process of its own; its processor time is that of the simulation, without making its work. A tick
comes every 5 virtual seconds while anything changes. The day follows the sun up to a thousand machines of 8 CPUs; the
week keeps a thousand machines with hardly any work; the large case is a million tasks in jobs on ten thousand machines.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured

PROGRAM = Path(__file__).parents[1] / "programs" / "simulation.py"
_MIB_MAX = 4096.0


@dataclass(frozen=True, slots=True)
class Case:
    """One simulation: its work, how many machines there may be and must be, and the goal for its processor time."""

    name: str
    work: str
    machines: int
    least: int
    most_s: float


CASES = (
    Case("a day of 1,000 machines", "diurnal:hours=24,peak=6500,duration_s=600,row=50", 1000, 0, 60.0),
    Case("a quiet week of 1,000 machines", "bursty:hours=168,bursts=7,tasks=50,trickle=300", 1000, 1000, 120.0),
    Case(
        "1,000,000 tasks on 10,000 machines", "batch:hours=2,every_s=600,tasks=83334,duration_s=400", 10_000, 0, 600.0
    ),
)


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure each case once. `folder` is not needed."""
    del effort, folder
    figures: list[Figure] = []
    notes: list[str] = []
    memory_mib = 0.0
    for case in CASES:
        told = _simulated(case)
        memory_mib = max(memory_mib, told["memory_mib"])
        figures.append(Figure(case.name, "CPU s", told["cpu_s"], goal=Goal(case.most_s)))
        ticks, machines, tasks = told["ticks"], told["machines"], told["tasks"]
        notes.append(
            f"{case.name}: {tasks['done']:,} tasks, {machines['peak']:,} machines at most, "
            f"{ticks['run']:,} of {ticks['of']:,} ticks run, {told['memory_mib']:.0f} MiB"
        )
    figures.append(Figure("memory of the largest", "MiB", memory_mib, goal=Goal(_MIB_MAX)))
    return Measured(tuple(figures), notes=tuple(notes))


def _simulated(case: Case) -> dict[str, Any]:
    words = [sys.executable, str(PROGRAM), case.work, str(case.machines), str(case.least)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    told: dict[str, Any] = json.loads(done.stdout)
    if told["problems"] or told["tasks"]["left"]:
        raise RuntimeError(f"{case.name}: {told['problems']} {told['tasks']}")
    return told
