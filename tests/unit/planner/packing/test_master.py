"""The best mix of patterns: it holds everything, and whole copies of it are never more than there is."""

import numpy as np
import pytest
from benchmarks.problems.cases import case
from benchmarks.problems.catalogue import catalogue
from benchmarks.problems.model import Case, Shape
from tests.unit.planner.packing.problems import problem_of_case

from rayfleet.planner.packing import kernel
from rayfleet.planner.packing.master import INTERIOR_FROM, Mix, best_mix, distinct, whole_copies
from rayfleet.planner.packing.solution import Packer, Solution
from rayfleet.planner.packing.starts import least_price, start_often

HALVES = Case("two shapes", catalogue()[:1], (Shape({"CPU": 1.0}, 5), Shape({"CPU": 2.0}, 3)))


def mix_of(copies: list[float], counts: list[list[int]]) -> Mix:
    size = len(copies)
    numbers = np.zeros(size, np.int64)
    fillings = tuple(np.zeros((0, 3), np.int64) for _ in copies)
    patterns = Solution(numbers, numbers + 1, np.array(counts, np.int64), fillings, np.zeros(2, np.int64))
    return Mix(patterns, np.array(copies))


@pytest.mark.parametrize(
    ("copies", "counts", "kept"),
    [
        ([1.5, 1.4], [[1, 0], [0, 1]], {(1, 0): 2, (0, 1): 1}),  # a half is one more, less is not
        ([1.9999999, 0.2], [[1, 0], [0, 1]], {(1, 0): 2}),  # as good as whole
        ([0.5, 0.9], [[3, 0], [4, 0]], {(4, 0): 1}),  # the nearest first; then there is no room for the other
        ([3.0, 0.0], [[2, 0], [0, 1]], {(2, 0): 2}),  # never more than there is
    ],
)
def test_the_nearest_whole_copies(
    copies: list[float], counts: list[list[int]], kept: dict[tuple[int, int], int]
) -> None:
    problem = problem_of_case(HALVES)
    assert sorted(problem.counts.tolist()) == [3, 5]
    order = [1, 0] if problem.counts[0] == 3 else [0, 1]  # the first of each pattern is the sort with five
    found = whole_copies(problem, mix_of(copies, [[row[n] for n in order] for row in counts]))
    assert {
        tuple(row[n] for n in order): n_copies
        for row, n_copies in zip(found.counts.tolist(), found.copies.tolist(), strict=True)
    } == kept
    assert (found.left + found.copies @ found.counts == problem.counts).all()
    assert (found.left >= 0).all()


@pytest.mark.parametrize("name", ["mix100_1000_t5", f"mix{INTERIOR_FROM}_1200_t5"])
def test_both_methods_hold_everything_for_less_than_any_start(name: str) -> None:
    problem = problem_of_case(case(name))
    best = start_often(Packer(problem, kernel.quickest()))
    patterns = distinct(problem, best.all)
    mix = best_mix(problem, patterns)
    assert mix is not None
    assert (mix.copies @ patterns.counts >= problem.counts - 1e-6).all()
    assert mix.copies @ problem.price[patterns.variant] <= best.merit[1] * (1 + 1e-9)
    assert np.count_nonzero(mix.copies > 1e-9) <= problem.pieces  # a corner, so that most copies are whole or none


def test_of_a_single_sort_of_machines_the_least_price_is_that_of_a_whole_number() -> None:
    """Eleven CPUs on machines of two CPUs are six machines."""
    problem = problem_of_case(HALVES)
    assert catalogue()[0].resources["CPU"] == 2
    assert least_price(problem) == 6 * problem.price[0]
