"""python -m benchmarks.problems.memory: MiB that a plan for 100,000 tasks beside 10,000 machines adds to a process."""

from __future__ import annotations

import resource
import subprocess
import sys

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


def _most_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB


def main() -> None:
    """Print it. The snapshot is there before; what is measured is all that planning adds."""
    nodes = used_nodes(10_000, seeded("nodes", 10_000))
    snapshot = snapshot_of(Case("memory", catalogue(), mixed(100, 100_000, SEEDS["s1"]), nodes=nodes))
    before = _most_mib()
    found = plan(snapshot)
    written = len(found.claims) + len(found.placements)
    print(_most_mib() - before if written else 0.0)


if __name__ == "__main__":
    main()
