"""Improving a packing part by part: some of its machines are emptied and packed anew (ruin and recreate).

The parts are chosen by a generator of numbers that starts alike in every plan, more often among the machines whose
pieces are worth the least of their price. A part that gets cheaper, or has as good a price in another form, stays; so a
solution never gets worse, and more steps are never worse than fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from rayfleet.planner.packing.call import BALANCED_MAX, BALANCED_SUM, BIG_FIRST, DENSE
from rayfleet.planner.packing.problem import Numbers
from rayfleet.planner.packing.solution import Packer, Solution, joined, merit, price, room_beside, taken
from rayfleet.planner.packing.starts import SHARE_BITS, Best, paid

MODES: Final = (BALANCED_MAX, BALANCED_SUM, DENSE, BIG_FIRST)
LEAST, MOST = 2, 10
"""So many patterns are taken apart at once."""
STEPS_PER_TURN: Final = 50
MORE_PATTERNS: Final = 4
"""A part of the same price may have so many more patterns than before."""

_FACTOR, _STEP, _MASK = 6364136223846793005, 1442695040888963407, 2**64 - 1


def chances(seed: int) -> Iterator[int]:
    """Yield numbers below 2**31 without any pattern that matters here: a linear congruential generator."""
    state = seed
    while True:
        state = (state * _FACTOR + _STEP) & _MASK
        yield state >> 33


def improve(packer: Packer, best: Best, steps: int, seed: int = 1) -> None:
    """Take so many steps from the best solution; `best` becomes what they lead to.

    Turn about, pieces are worth what they were to the best start, and what they have paid since.
    """
    problem = packer.problem
    chance = chances(seed)
    solution, worths = best.solution, [best.worth, best.worth]
    order, free = None, room_beside(problem, solution)
    for step in range(steps):
        if solution.size < LEAST:
            return
        turn = step // STEPS_PER_TURN % len(worths)
        if turn and step % STEPS_PER_TURN == 0:
            worths[turn] = paid(problem, solution, worths[turn])
        worth = worths[turn]
        if order is None or step % STEPS_PER_TURN == 0:
            order = _least_worth_first(solution, worth, problem.price)
        part = _part(order, chance)
        old = solution.some(part)
        new = packer.pack(worth, MODES[step % len(MODES)], old.copies @ old.counts, free + taken(problem, old))
        if new.left.any():
            continue
        before, after = price(problem, old), price(problem, new)
        if after < before or (after == before and new.size <= old.size + MORE_PATTERNS):
            solution = joined(solution.some(~part), new, solution.left)
            order, free = None, room_beside(problem, solution)
    if merit(problem, solution) < best.merit:
        best.solution, best.merit = solution, merit(problem, solution)


def _least_worth_first(of: Solution, worth: Numbers, prices: Numbers) -> list[int]:
    """Order patterns by what they bring per price."""
    order: list[int] = np.argsort((of.counts @ worth << SHARE_BITS) // prices[of.variant], kind="stable").tolist()
    return order


def _part(order: list[int], chance: Iterator[int]) -> npt.NDArray[np.bool_]:
    """Choose patterns: of those that come first in `order` more often than of others."""
    size = len(order)
    part = np.zeros(size, np.bool_)
    for _ in range(LEAST + next(chance) % (MOST - LEAST + 1)):
        number = next(chance)
        part[order[(size * (number * number >> 31) >> 31) * number >> 31]] = True
    return part
