"""python -m benchmarks.problems.patterns CASE ...: a tighter bound for small problems, by patterns.

A pattern is what one machine of a type can hold. Least price of real numbers of patterns that hold all tasks: its dual
prices y say what each task is worth; they bound the price of every plan when no pattern is worth more than its machine
costs. Patterns are generated until none is: for each type a small integer programme looks for the one worth most. HiGHS
gives an upper limit of that worth, so that y, divided by the worst excess, is a bound at any time (Farley). It is slow
(minutes), so what it has found is kept in `bounds.json`, as `bound.py` uses it: the larger of both is the bound.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.problems.cases import case
from benchmarks.problems.model import Case, MachineType, meant
from benchmarks.problems.ours import snapshot_of
from rayfleet.config.plan_out import plan_to_json
from rayfleet.planner import plan

KEPT: Final = Path(__file__).with_name("bounds.json")
_ROUNDS: Final = 200
_GAP: Final = 1e-4
_MIP_S: Final = 2.0


class Pattern(NamedTuple):
    """How many tasks of each shape are on a machine of that type."""

    type: int
    counts: tuple[int, ...]


def bound(problem: Case, seconds: float) -> float:
    """Return the best bound within so many seconds. Only for plain tasks in an empty cluster."""
    types = _useful(problem)
    found = list(dict.fromkeys(_first(problem, types)))
    best, ends = 0.0, time.monotonic() + seconds
    for turn in range(_ROUNDS):
        value, worth = _master(problem, types, found)
        excess, known = 1.0, set(found)
        for number, each in enumerate(types):
            limit, counts = _most_worth(problem, each, worth)
            excess = max(excess, limit / each.usd_per_hour)
            if counts is not None and (pattern := Pattern(number, counts)) not in known:
                found.append(pattern)
        best = max(best, value / excess)
        print(f"  {turn}: master {value:.3f}, bound {best:.3f}, {len(found)} patterns", flush=True)
        if len(found) == len(known) or best >= value * (1 - _GAP) or time.monotonic() > ends:
            break
    return best


def _useful(problem: Case) -> list[MachineType]:
    """Leave out types for which another has as much of everything, is meant by as many selectors, and costs no more."""
    kept: list[MachineType] = []
    for each in sorted(problem.types, key=lambda t: (t.usd_per_hour, t.name)):
        if not any(_replaces(other, each, problem) for other in kept):
            kept.append(each)
    return kept


def _replaces(other: MachineType, each: MachineType, problem: Case) -> bool:
    more = all(other.resources.get(name, 0.0) >= amount for name, amount in each.resources.items())
    wishes = {shape.selector for shape in problem.shapes}
    return more and all(meant(wish, other.labels) or not meant(wish, each.labels) for wish in wishes)


def _first(problem: Case, types: list[MachineType]) -> Iterator[Pattern]:
    """Yield the patterns of a plan of rayfleet's: any patterns will do to begin with."""
    told = plan_to_json(plan(snapshot_of(problem, 100)), placements=True)
    pools = [launch["pool"] for launch in told["launch"] for _ in range(launch["count"])]
    loads: dict[str, Counter[int]] = {}
    for placement in told["placements"]:
        loads.setdefault(placement["on"], Counter())[placement["index"]] += placement["count"]
    of_pool = {each.pool: number for number, each in enumerate(types)}
    for on, load in loads.items():
        pool = pools[int(on.removeprefix("new:"))]
        if pool in of_pool:
            yield Pattern(of_pool[pool], tuple(load[n] for n in range(len(problem.shapes))))


def _solver(lp: Any, **options: Any) -> Any:
    import highspy

    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # as it comes
    for option, value in {"output_flag": False, "threads": 1, **options}.items():
        solver.setOptionValue(option, value)
    solver.passModel(lp)
    solver.run()
    return solver


def _master(problem: Case, types: list[MachineType], found: list[Pattern]) -> tuple[float, Any]:
    """Return the least price of the patterns and what each task is worth; lacking tasks cost as much as anything."""
    import highspy

    counts = np.array([pattern.counts for pattern in found], np.float64)
    shapes = len(problem.shapes)
    costs = np.array([types[pattern.type].usd_per_hour for pattern in found])
    counts = np.concatenate([counts, np.eye(shapes)])
    costs = np.concatenate([costs, np.full(shapes, 100.0)])
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(costs), shapes
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = costs, np.zeros(len(costs)), np.full(len(costs), np.inf)
    lp.row_lower_ = np.array([float(shape.count) for shape in problem.shapes])
    lp.row_upper_ = np.full(shapes, np.inf)
    row, column = np.nonzero(counts)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(costs)))])
    lp.a_matrix_.index_, lp.a_matrix_.value_ = column, counts[row, column]
    solver = _solver(lp)
    worth = np.maximum(np.array(solver.getSolution().row_dual), 0.0)
    return float(worth @ lp.row_lower_), worth


def _most_worth(problem: Case, each: MachineType, worth: Any) -> tuple[float, tuple[int, ...] | None]:
    """Return an upper limit of what tasks on one machine can be worth, and the best that was found."""
    import highspy

    fit = [
        n
        for n, shape in enumerate(problem.shapes)
        if worth[n] > 0
        and meant(shape.selector, each.labels)
        and all(amount <= each.resources.get(name, 0.0) for name, amount in shape.resources.items())
    ]
    if not fit:
        return 0.0, None
    names = sorted({name for n in fit for name in problem.shapes[n].resources})
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(fit), len(names)
    lp.col_cost_ = -np.array([worth[n] for n in fit])
    lp.col_lower_ = np.zeros(len(fit))
    lp.col_upper_ = np.array([float(problem.shapes[n].count) for n in fit])
    lp.row_lower_, lp.row_upper_ = np.full(len(names), -np.inf), np.ones(len(names))
    lp.integrality_ = [highspy.HighsVarType.kInteger] * len(fit)
    entries = [
        [(k, problem.shapes[n].resources.get(name, 0.0) / each.resources[name]) for k, n in enumerate(fit)]
        for name in names
    ]
    entries = [[(k, share) for k, share in row if share] for row in entries]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(row) for row in entries)])
    lp.a_matrix_.index_ = np.array([k for row in entries for k, _ in row])
    lp.a_matrix_.value_ = np.array([share for row in entries for _, share in row])
    solver = _solver(lp, time_limit=_MIP_S, mip_rel_gap=1e-5)
    found = [round(value) for value in solver.getSolution().col_value]
    counts = [0] * len(problem.shapes)
    for k, n in enumerate(fit):
        counts[n] = found[k]
    return -float(solver.getInfo().mip_dual_bound), tuple(counts)


def main(names: list[str], seconds: float = 600.0) -> None:
    """Look for bounds and keep those that are better than what is kept."""
    for name in names:
        kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
        print(name, flush=True)
        found = bound(case(name), seconds)
        kept[name] = max(round(found * (1 - 1e-7), 4), kept.get(name, 0.0))
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
