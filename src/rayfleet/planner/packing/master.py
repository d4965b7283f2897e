"""The restricted master problem: the cheapest mix of the patterns that the starts have found, by linear programming.

Each start is one mix; the best mix of all their patterns is cheaper. HiGHS finds it in real numbers of copies, single
threaded and with a limit of iterations, so that the same problem always has the same answer. Whole copies are taken,
and what is left over is packed greedily.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rayfleet.planner.packing.problem import PRICE_BITS, Numbers, Problem
from rayfleet.planner.packing.solution import Solution

ITERATIONS: Final = 20_000
_WHOLE: Final = 1e-6
"""Copies that are so near to a whole number are that number."""


class Mix(NamedTuple):
    """`patterns` with real `copies`, the dual price of each piece (scaled like prices), and the value."""

    patterns: Solution
    copies: npt.NDArray[np.float64]
    dual: Numbers
    value: float


def distinct(problem: Problem, solutions: list[Solution]) -> Solution:
    """Return all different patterns of some solutions, once each, in the order in which they were found."""
    variant = np.concatenate([each.variant for each in solutions])
    counts = np.concatenate([each.counts for each in solutions])
    keys = np.concatenate([variant[:, None], counts], axis=1)
    width, data = keys.shape[1] * keys.itemsize, keys.tobytes()
    seen: dict[bytes, int] = {}
    for n in range(len(keys)):
        seen.setdefault(data[n * width : (n + 1) * width], n)
    first = np.array(list(seen.values()), np.int64)
    fillings = [filling for each in solutions for filling in each.fillings]
    kept = tuple(fillings[n] for n in first.tolist())
    return Solution(variant[first], np.ones(first.size, np.int64), counts[first], kept, np.zeros_like(problem.counts))


def best_mix(problem: Problem, patterns: Solution) -> Mix | None:
    """Return the cheapest mix that holds everything; None when HiGHS finds none within its limits."""
    import highspy  # noqa: PLC0415 - only where it is used: a controller that packs nothing does without it

    row, column = np.nonzero(patterns.counts)
    size = patterns.size
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = size, problem.pieces
    lp.col_cost_ = problem.price[patterns.variant] / 2.0**PRICE_BITS
    lp.col_lower_, lp.col_upper_ = np.zeros(size), np.full(size, np.inf)
    lp.row_lower_, lp.row_upper_ = problem.counts.astype(np.float64), np.full(problem.pieces, np.inf)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=size))])
    lp.a_matrix_.index_, lp.a_matrix_.value_ = column, patterns.counts[row, column].astype(np.float64)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # as it comes
    for option, value in (("output_flag", False), ("threads", 1), ("simplex_iteration_limit", ITERATIONS)):
        solver.setOptionValue(option, value)
    solver.passModel(lp)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    dual = np.rint(np.maximum(np.array(found.row_dual), 0.0) * 2.0**PRICE_BITS).astype(np.int64)
    return Mix(patterns, np.array(found.col_value), dual, float(solver.getInfo().objective_function_value))


def whole_copies(problem: Problem, mix: Mix) -> Solution:
    """Return the whole parts of a mix, and what they leave; never more than there is."""
    base = mix.patterns.times(np.floor(mix.copies + _WHOLE).astype(np.int64))
    left = problem.counts.copy()
    copies = base.copies.copy()
    for n in range(base.size):
        taken = base.counts[n] > 0
        copies[n] = min(int(copies[n]), int((left[taken] // base.counts[n][taken]).min()))
        left -= base.counts[n] * copies[n]
    kept = base.times(copies)
    return Solution(kept.variant, kept.copies, kept.counts, kept.fillings, left)
