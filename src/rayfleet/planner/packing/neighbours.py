"""Improving a packing part by part: some of its machines are emptied and packed anew (ruin and recreate).

The parts are chosen by a generator of numbers that starts alike in every plan, more often among the machines whose
pieces are worth the least of their price. A part that gets cheaper, or has as good a price in another form, stays; so a
solution never gets worse, and more steps are never worse than fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from rayfleet.planner.packing.call import BALANCED_MAX, BALANCED_SUM, BIG_FIRST, DENSE
from rayfleet.planner.packing.problem import Numbers, Problem
from rayfleet.planner.packing.solution import Packer, Solution, joined, merit, taken
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
    worths = [best.worth, best.worth]
    ground = _Ground.of(problem, best.solution)
    for step in range(steps):
        solution = ground.solution
        if solution.size < LEAST:
            return
        turn = step // STEPS_PER_TURN % len(worths)
        if step % STEPS_PER_TURN == 0:
            worths[turn] = paid(problem, solution, worths[turn]) if turn else worths[turn]
            ground.order = []
        worth = worths[turn]
        if not ground.order:
            ground.order = _least_worth_first(solution, worth, problem.price)
        part = _part(ground.order, chance)
        pieces, room = ground.pieces[part].sum(axis=0), ground.free + ground.taken[part].sum(axis=0)
        starts = packer.starts(worth, MODES[step % len(MODES)], pieces, room)
        if np.count_nonzero(starts[-1].left):
            continue
        before, after = int(ground.prices[part].sum()), packer.price(starts)
        more = sum(len(start.launches) for start in starts) - np.count_nonzero(part)
        if after < before or (after == before and more <= MORE_PATTERNS):
            rest = solution.some(~part)
            ground = _Ground.of(problem, joined(rest, packer.solution(starts), solution.left))
    if merit(problem, ground.solution) < best.merit:
        best.solution, best.merit = ground.solution, merit(problem, ground.solution)


@dataclass(slots=True)
class _Ground:
    """The solution that is being improved, and of each of its patterns, with all copies: pieces, price, room taken.

    `free`: the room beside it. `order`: see `_least_worth_first`; empty: not known yet.
    """

    solution: Solution
    pieces: Numbers
    prices: Numbers
    taken: Numbers
    free: Numbers
    order: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem, solution: Solution) -> _Ground:
        """Work it out: that is done for a solution once, and many parts of it are tried."""
        rooms = taken(problem, solution)
        return cls(
            solution,
            solution.counts * solution.copies[:, None],
            problem.price[solution.variant] * solution.copies,
            rooms,
            problem.room - rooms.sum(axis=0),
        )


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
