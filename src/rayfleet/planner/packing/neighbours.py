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
from rayfleet.planner.packing.solution import Packer, Solution, joined, merit, price, room_beside
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
    for step in range(steps):
        if solution.size < LEAST:
            return
        turn = step // STEPS_PER_TURN % len(worths)
        if turn and step % STEPS_PER_TURN == 0:
            worths[turn] = paid(problem, solution, worths[turn])
        worth = worths[turn]
        part = _part(solution, worth, problem.price, chance)
        old, rest = solution.some(part), solution.some(~part)
        room = room_beside(problem, rest)
        new = packer.pack(worth, MODES[step % len(MODES)], old.copies @ old.counts, room)
        if new.left.any():
            continue
        before, after = price(problem, old), price(problem, new)
        if after < before or (after == before and new.size <= old.size + MORE_PATTERNS):
            solution = joined(rest, new, solution.left)
    if merit(problem, solution) < best.merit:
        best.solution, best.merit = solution, merit(problem, solution)


def _part(of: Solution, worth: Numbers, prices: Numbers, chance: Iterator[int]) -> npt.NDArray[np.bool_]:
    """Choose patterns: of those that bring least per price more often than of others."""
    order = np.argsort((of.counts @ worth << SHARE_BITS) // prices[of.variant], kind="stable")
    part = np.zeros(of.size, np.bool_)
    for _ in range(LEAST + next(chance) % (MOST - LEAST + 1)):
        number = next(chance)
        part[order[(of.size * (number * number >> 31) >> 31) * number >> 31]] = True
    return part
