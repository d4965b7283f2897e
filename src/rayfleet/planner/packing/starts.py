"""Many greedy starts. What each has paid for a piece is what the next takes it to be worth (price feedback).

A greedy start launches the pattern with the most worth per price, again and again. At first a piece is worth what it
costs to run alone in the cheapest way. But a CPU task that rides in what GPU tasks leave over costs nothing, and a task
that fits badly costs more than alone; only a packing shows. So after each start the price of every machine is divided
among its pieces by their worth, and the mean of what a piece has paid is half of its next worth - an estimate of the
dual prices of the linear programme over all patterns, which the worths approach in some ten starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from rayfleet.planner.packing.call import BALANCED_MAX, BALANCED_SUM, BIG_FIRST, DENSE
from rayfleet.planner.packing.problem import Numbers, Problem
from rayfleet.planner.packing.solution import Merit, Packer, Solution, merit

SHARE_BITS: Final = 20
SHARE_MAX: Final = 2**26
LEAST_WORTH_BITS: Final = 10
"""A piece is never taken to be worth less than 2**-10 of what it costs alone, so that it is still packed."""

FIRST: Final = (BALANCED_MAX, BALANCED_SUM, DENSE, BIG_FIRST)
THEN: Final = (BALANCED_MAX, BALANCED_SUM)
STARTS: Final = 14
GOOD_ENOUGH_BITS: Final = 10
"""A price that is less than 2**-10 above the least there can be is not improved."""
VISITS_PER_PIECE: Final = 8_000
"""Budget of all starts together: pieces looked at, per sort of pieces."""


@dataclass(slots=True)
class Best:
    """The best solution so far and the worths that led to it; `all` is every solution, for their patterns.

    `is_good_enough`: so near to the least price there can be that no more work is done.
    """

    solution: Solution
    merit: Merit
    worth: Numbers
    all: list[Solution]
    is_good_enough: bool = False

    def meet(self, problem: Problem, solution: Solution, worth: Numbers) -> bool:
        """Take a solution when it is better than the best; say whether it was."""
        found = merit(problem, solution)
        if found >= self.merit:
            return False
        self.solution, self.merit, self.worth = solution, found, worth
        return True


def start_often(packer: Packer) -> Best:
    """Return the best of several starts."""
    problem = packer.problem
    worth = problem.worth
    floor = least_price(problem)
    best: Best | None = None
    turn: tuple[Merit, Solution] | None = None
    for number, mode in enumerate(_modes(problem)):
        found = packer.pack(worth, mode, problem.counts, problem.room)
        if best is None:
            best = Best(found, merit(problem, found), worth, [])
        else:
            best.meet(problem, found, worth)
        best.all.append(found)
        if best.merit[0] == 0 and best.merit[1] <= floor + (floor >> GOOD_ENOUGH_BITS):
            best.is_good_enough = True
            break
        if number + 1 >= len(FIRST) and packer.visits > VISITS_PER_PIECE * problem.pieces:
            break
        if number < len(FIRST):
            made = (merit(problem, found), found)
            turn = made if turn is None or made[0] < turn[0] else turn
        if number + 1 >= len(FIRST):
            worth = paid(problem, turn[1] if turn else found, worth)
            turn = None
    if best is None:
        raise ValueError("there is always a first start")
    return best


def _modes(problem: Problem) -> Iterator[int]:
    """Yield the ways of filling to try; of a single sort of pieces there is only one."""
    if problem.pieces == 1:
        yield BIG_FIRST
        return
    yield from FIRST
    for number in range(STARTS - len(FIRST)):
        yield THEN[number % len(THEN)]


def paid(problem: Problem, of: Solution, worth: Numbers) -> Numbers:
    """Return the next worths: half of the old, half of what pieces have paid in a solution."""
    value = np.maximum(of.counts @ worth, 1)
    share = np.minimum((problem.price[of.variant] << SHARE_BITS) // value, SHARE_MAX)
    pieces = of.counts * of.copies[:, None]
    total = pieces.sum(axis=0)
    mean = np.where(total > 0, (share @ pieces) // np.maximum(total, 1), 1 << SHARE_BITS)
    return bounded(problem, (worth + ((worth * mean) >> SHARE_BITS)) >> 1)


def bounded(problem: Problem, worth: Numbers) -> Numbers:
    """Return worths that are neither next to nothing nor above what a machine for one piece costs."""
    return np.clip(worth, np.maximum(problem.worth >> LEAST_WORTH_BITS, 1), np.maximum(problem.alone, 1))


def least_price(problem: Problem) -> int:
    """Return a price that no solution can go below: the cheapest way to have all that is wanted of one resource.

    Machines come whole: of a single sort of them, it is the price of a whole number.
    """
    units = problem.need.astype(np.float64) * np.repeat(problem.counts, np.diff(problem.need_start))
    wanted = np.bincount(problem.need_row, weights=units, minlength=problem.shift.size)
    offers = problem.offers * problem.hosts[:, None].astype(np.float64)
    with np.errstate(divide="ignore"):
        per_unit = np.where(offers > 0, problem.price[:, None] / offers, np.inf).min(axis=0)
    known = (wanted > 0) & np.isfinite(per_unit)
    least = int((wanted[known] * per_unit[known]).max(initial=0.0))
    part = int(np.gcd.reduce(problem.price))
    return -(-least // part) * part
