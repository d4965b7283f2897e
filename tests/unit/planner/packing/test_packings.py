"""How good each packing is, to the last unit: a change of the packing that is meant to change nothing changes none.

Goals (`test_gates.py`) leave a packing some percent; this notices when it becomes worse, or better, within them.
After a change that is meant to change packings: `RAYFLEET_WRITE_GOLDEN=1 python -m pytest` on this file; read the diff.
"""

import json
import os
from pathlib import Path

import pytest
from tests.unit.planner.packing.problems import WITH_TASKS, problem_of_case, smaller

from benchmarks.problems.cases import case
from rayfleet.planner.packing import kernel, solve
from rayfleet.planner.packing.solution import Packer, merit

GOLDEN = Path(__file__).parent / "packings.json"


@pytest.mark.parametrize("name", WITH_TASKS)
@pytest.mark.parametrize("effort", [0, 2])
def test_a_packing_is_as_good_as_when_it_was_last_looked_at(name: str, effort: int) -> None:
    problem = problem_of_case(smaller(case(name)))
    found = solve(Packer(problem, kernel.quickest()), effort)
    left, price, waste, machines = merit(problem, found)
    made = {"left": left, "price": price, "waste": waste, "machines": machines, "patterns": found.size}
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if os.environ.get("RAYFLEET_WRITE_GOLDEN"):
        golden[f"{name}, effort {effort}"] = made
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert golden[f"{name}, effort {effort}"] == made
