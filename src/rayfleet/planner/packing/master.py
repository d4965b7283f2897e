"""The restricted master problem: the cheapest mix of the patterns that the starts have found, by linear programming.

Each start is one mix; the best mix of all their patterns is cheaper. HiGHS finds it in real numbers of copies, single
threaded and with a limit of iterations, so that the same problem always has the same answer. The nearest whole numbers
of copies are taken, and what is left over is packed greedily.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rayfleet.planner.packing.problem import PRICE_BITS, Problem
from rayfleet.planner.packing.solution import Solution

ITERATIONS: Final = 20_000
_OPTIONS: Final = (
    ("output_flag", False),
    ("threads", 1),
    ("simplex_iteration_limit", ITERATIONS),
    ("ipm_iteration_limit", 200),
    ("presolve", "off"),  # it takes longer than the rest
)
INTERIOR_FROM: Final = 600
"""With so many sorts of pieces the simplex method goes in circles, and the interior point method is quicker."""
HALF: Final = 0.5
"""A mix that has so much more of a pattern than whole copies gets one more of it."""
_WHOLE: Final = 1e-6
"""Copies that are so near to a whole number are that number."""


class Mix(NamedTuple):
    """`patterns` with real `copies`."""

    patterns: Solution
    copies: npt.NDArray[np.float64]


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
    for option, value in _OPTIONS:
        solver.setOptionValue(option, value)
    if problem.pieces >= INTERIOR_FROM:
        solver.setOptionValue("solver", "ipm")
    solver.passModel(lp)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return Mix(patterns, np.array(solver.getSolution().col_value))


def whole_copies(problem: Problem, mix: Mix) -> Solution:
    """Return the nearest whole numbers of copies, and what they leave; never more than there is.

    First all whole ones, then one more of those that a mix has at least half a copy more of, the most of it first.
    """
    whole = np.floor(mix.copies + _WHOLE)
    part = mix.copies - whole
    more = np.flatnonzero(part >= HALF)
    wanted = [(n, int(whole[n])) for n in np.flatnonzero(whole).tolist()]
    wanted += [(n, 1) for n in more[np.argsort(-part[more], kind="stable")].tolist()]
    left, copies = problem.counts.copy(), np.zeros(mix.copies.size, np.int64)
    for n, count in wanted:
        counts = mix.patterns.counts[n]
        taken = counts > 0
        most = min(count, int((left[taken] // counts[taken]).min()))
        left -= counts * most
        copies[n] += most
    kept = mix.patterns.times(copies)
    return Solution(kept.variant, kept.copies, kept.counts, kept.fillings, left)
