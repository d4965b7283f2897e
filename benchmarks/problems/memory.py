"""python -m benchmarks.problems.memory: MiB that a plan for 100,000 tasks beside 10,000 machines adds to a process."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from benchmarks.problems.cases import SEEDS
from benchmarks.problems.catalogue import catalogue
from benchmarks.problems.model import Case
from benchmarks.problems.ours import snapshot_of
from benchmarks.problems.work import mixed, seeded, used_nodes
from rayfleet.planner import plan

_KIB = 1024


def of_a_big_plan() -> float:
    """Return the growth of the largest resident size while it is made and written down, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.problems.memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _mib(field: str) -> float:
    """Return VmRSS, what is resident now, or VmHWM, the most since `_forget_the_most`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / _KIB


def _forget_the_most() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Print it. The snapshot is there before; what is measured is all that planning adds, at its highest."""
    nodes = used_nodes(10_000, seeded("nodes", 10_000))
    snapshot = snapshot_of(Case("memory", catalogue(), mixed(100, 100_000, SEEDS["s1"]), nodes=nodes))
    gc.collect()
    _forget_the_most()
    before = _mib("VmRSS")
    found = plan(snapshot)
    written = len(found.claims) + len(found.placements)
    print(_mib("VmHWM") - before if written else 0.0)


if __name__ == "__main__":
    main()
