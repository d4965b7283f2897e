"""Golden plans: the same bytes whatever the hash seed, and the same as when they were last looked at.

After a change that is meant to change plans: `RAYFLEET_WRITE_GOLDEN=1 python -m pytest tests/golden`; read the diff.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.golden.make_plans import digest, scenarios

from rayfleet.planner import plan

HERE = Path(__file__).parent
GOLDEN = HERE / "plans.jsonl"


def plans(seed: str) -> str:
    """Return what a process with this hash seed plans."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE.parents[1] / "src")}
    command = [sys.executable, str(HERE / "make_plans.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100).stdout


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_plans_are_the_same_whatever_the_hash_seed(seed: str) -> None:
    got = plans(seed)
    if os.environ.get("RAYFLEET_WRITE_GOLDEN"):
        GOLDEN.write_text(got, encoding="utf-8")
    assert got.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", scenarios())
def test_a_plan_is_the_same_as_when_it_was_last_looked_at(name: str) -> None:
    """Here in this process, so that a mutation run (`make mutants`) finds that these plans hold what it changes."""
    golden = {line["name"]: line for line in map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())}
    made = {"name": name, **digest(plan(scenarios()[name]))}
    assert json.loads(json.dumps(made)) == golden[name]
