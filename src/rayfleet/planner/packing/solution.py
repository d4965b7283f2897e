"""A packing: patterns (how one replica of a variant is filled) with their copies, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayfleet.planner.packing.call import Kernel, Start, Way
from rayfleet.planner.packing.problem import Numbers, Problem

Merit = tuple[int, int, int, int]
"""Smaller is better: worth of what is left, price (with the small cost of machines), waste, machines."""

PROPER_FIRST = (False, True)
"""First accelerators only for who needs one, then for whoever is left."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Patterns by row: `variant`, how many `copies`, `counts` of pieces in one; `fillings` say on which host of it.

    Of a filling: rows (host, piece, count). `left` per piece.
    """

    variant: Numbers
    copies: Numbers
    counts: Numbers
    fillings: tuple[Numbers, ...]
    left: Numbers

    @property
    def size(self) -> int:
        """Return the number of patterns."""
        return self.variant.size

    def some(self, rows: npt.NDArray[np.bool_]) -> Solution:
        """Return only some of the patterns."""
        fillings = tuple(filling for filling, keep in zip(self.fillings, rows.tolist(), strict=True) if keep)
        return Solution(self.variant[rows], self.copies[rows], self.counts[rows], fillings, self.left)

    def times(self, copies: Numbers) -> Solution:
        """Return the patterns with other numbers of copies; those without any are left out."""
        rows = copies > 0
        return Solution(self.variant, copies, self.counts, self.fillings, self.left).some(rows)


def joined(first: Solution, second: Solution, left: Numbers) -> Solution:
    """Return the patterns of two solutions."""
    return Solution(
        np.concatenate([first.variant, second.variant]),
        np.concatenate([first.copies, second.copies]),
        np.concatenate([first.counts, second.counts]),
        first.fillings + second.fillings,
        left,
    )


def solution_of(problem: Problem, start: Start) -> Solution:
    """Return what a start has launched as patterns."""
    launches, entries = start.launches, start.entries
    counts = np.zeros((len(launches), problem.pieces), np.int64)
    row = np.repeat(np.arange(len(launches)), launches[:, 3])
    if problem.hosts.max() == 1:  # a piece has one entry in a filling
        counts[row, entries[:, 1]] = entries[:, 2]
    else:
        np.add.at(counts, (row, entries[:, 1]), entries[:, 2])
    ends = launches[:, 2] + launches[:, 3]
    fillings = tuple(entries[a:b] for a, b in zip(launches[:, 2].tolist(), ends.tolist(), strict=True))
    return Solution(launches[:, 0], launches[:, 1], counts, fillings, start.left)


@dataclass(slots=True)
class Packer:
    """A problem with the kernel that packs it. `phases`: whether any variant may be used, in turn.

    `visits` counts work (pieces looked at), so that budgets are the same on every machine.
    """

    problem: Problem
    kernel: Kernel
    phases: tuple[bool, ...] = PROPER_FIRST
    visits: int = 0

    def pack(self, worth: Numbers, mode: int, left: Numbers, room: Numbers) -> Solution:
        """Pack greedily what is left, within `room`."""
        return self.solution(self.starts(worth, mode, left, room))

    def starts(self, worth: Numbers, mode: int, left: Numbers, room: Numbers) -> list[Start]:
        """Return the starts that packing comes to, one for each phase that something was left for. At least one."""
        found: list[Start] = []
        for any_variant in self.phases:
            start = self.kernel(self.problem, worth, Way(mode, any_variant), left, room)
            self.visits += start.visits
            found.append(start)
            left, room = start.left, start.room
            if not np.count_nonzero(left):
                break
        return found

    def solution(self, starts: list[Start]) -> Solution:
        """Return what some starts, one after the other, have launched."""
        found = solution_of(self.problem, starts[0])
        for start in starts[1:]:
            found = joined(found, solution_of(self.problem, start), start.left)
        return found

    def price(self, starts: list[Start]) -> int:
        """Return the scaled price of what some starts have launched."""
        return sum(int(self.problem.price[start.launches[:, 0]] @ start.launches[:, 1]) for start in starts)


def price(problem: Problem, of: Solution) -> int:
    """Return the scaled price of all copies."""
    return int(problem.price[of.variant] @ of.copies)


def merit(problem: Problem, of: Solution) -> Merit:
    """Return how good a solution is; smaller is better."""
    some = np.flatnonzero(of.left).tolist()
    left = sum(int(problem.worth[piece]) * int(of.left[piece]) for piece in some)
    waste = int((problem.weight[of.variant] - of.counts @ problem.piece_weight) @ of.copies)
    machines = int(problem.hosts[of.variant] @ of.copies)
    return (left, price(problem, of), waste, -machines if problem.prefer_many else machines)


def room_beside(problem: Problem, of: Solution) -> Numbers:
    """Return the room that is left beside a solution; negative where it takes too much."""
    beside: Numbers = problem.room - taken(problem, of).sum(axis=0)
    return beside


def taken(problem: Problem, of: Solution) -> Numbers:
    """Return the room that each pattern of a solution takes, by row."""
    room = np.zeros((of.size, problem.room.size), np.int64)
    hosts = problem.hosts[of.variant] * of.copies
    room[np.arange(of.size), problem.pool[of.variant]] = hosts
    room[:, -2] = hosts
    room[:, -1] = problem.usd[of.variant] * of.copies
    return room
