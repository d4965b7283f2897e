"""What a kernel is told and what it answers: one greedy start."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rayfleet.planner.packing.problem import Numbers, Problem

BIG_FIRST, DENSE, BALANCED_SUM, BALANCED_MAX = range(4)
"""How a host is filled: the biggest pieces first; by worth per size; by worth per share of what is left of it, where
the size of a piece is the sum, or the largest, over its resources."""


class Start(NamedTuple):
    """What one start has launched, as rows of numbers.

    `launches`: (variant, copies, first entry, number of entries); `entries`: (host, piece, count). `left`: pieces
    without a place, `room`: what is left of it. `visits`: how often a piece was looked at, a measure of work.
    """

    launches: Numbers
    entries: Numbers
    left: Numbers
    room: Numbers
    visits: int


class Way(NamedTuple):
    """How a start goes about it: the mode of filling, and whether accelerators may go to those who need none."""

    mode: int
    any_variant: bool


Kernel = Callable[[Problem, Numbers, Way, Numbers, Numbers], Start]
"""(problem, worth of pieces, way, pieces left, room left) -> what was launched."""
