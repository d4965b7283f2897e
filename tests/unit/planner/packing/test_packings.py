"""How good each packing is, to the last unit: a change of the packing that is meant to change nothing changes none.

Goals (`test_gates.py`) leave a packing some percent; this notices when it becomes worse, or better, within them.
After a change that is meant to change packings: `RAYFLEET_WRITE_GOLDEN=1 python -m pytest` on this file; read the diff.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.problems.cases import case
from tests.unit.planner.packing.problems import WITH_TASKS, problem_of_case, smaller

from rayfleet.planner.packing import kernel, solve
from rayfleet.planner.packing.problem import Problem
from rayfleet.planner.packing.solution import Packer, merit, taken

GOLDEN = Path(__file__).parent / "packings.json"


LIMITS = {"free": (None, None), "half the machines": (0.5, None), "most of the money": (None, 0.9), "both": (0.8, 0.7)}
"""Shares of the machines and of the money that the packing takes without a limit."""


def limited(problem: Problem, shares: tuple[float | None, float | None]) -> Problem:
    """Return the problem with less room than its packing would take."""
    free = solve(Packer(problem, kernel.quickest()), 0)
    room = problem.room.copy()
    for at, share in zip((-2, -1), shares, strict=True):
        if share is not None:
            room[at] = int(taken(problem, free)[:, at].sum() * share)
    return replace(problem, room=room)


@pytest.mark.parametrize("name", WITH_TASKS)
@pytest.mark.parametrize("limit", LIMITS)
def test_a_packing_is_as_good_as_when_it_was_last_looked_at(name: str, limit: str) -> None:
    problem = limited(problem_of_case(smaller(case(name))), LIMITS[limit])
    found = solve(Packer(problem, kernel.quickest()), effort=2 if limit == "free" else 0)
    left, price, waste, machines = merit(problem, found)
    made = {"left": left, "price": price, "waste": waste, "machines": machines, "patterns": found.size}
    assert (taken(problem, found).sum(axis=0) <= problem.room).all()
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("RAYFLEET_WRITE_GOLDEN"):
        golden[f"{name}, {limit}"] = made
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert golden[f"{name}, {limit}"] == made


def test_packing_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The solver of linear programmes writes to standard output unless it is told not to."""
    problem = problem_of_case(smaller(case("mix100_1000_t50")))
    found = solve(Packer(problem, kernel.quickest()), 0)
    assert not np.count_nonzero(found.left)
    assert capfd.readouterr() == ("", "")
