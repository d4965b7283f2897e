"""The kernel in Python, for machines where it could not be built in C: `kernel.c`, statement by statement.

Identical numbers, much slower: whoever changes one changes the other, and the tests compare them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from rayfleet.planner.packing.call import BALANCED_MAX, BIG_FIRST, DENSE, Start, Way
from rayfleet.planner.packing.problem import Numbers, Problem

ARRAYS: Final = (
    "need_start", "need_row", "need", "rough", "shift", "offers", "suit_start", "suits", "hosts", "price", "usd",
    "pool", "accelerated", "weight", "piece_accelerated", "piece_weight",
)  # fmt: skip
"""The arrays of a problem, in the order of the structure in `kernel.c`."""

_WORTH_MAX: Final = 1 << 42
_GAIN_SHIFT: Final = 20

Entry = list[int]


@dataclass(slots=True)
class _Offer:
    """What a variant is worth now, and its filling; merit 0: it is no use."""

    merit: int = 0
    waste: int = 0
    worth: int = 0
    entries: list[Entry] | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.merit, -self.waste, self.worth)


class _Run:
    """State of one start."""

    def __init__(self, problem: Problem, worth: Numbers, way: Way, left: Numbers, room: Numbers) -> None:
        self.of = problem
        self.worth: list[int] = worth.tolist()
        self.mode, self.any_variant = way
        self.left: list[int] = left.tolist()
        self.room: list[int] = room.tolist()
        starts = problem.need_start.tolist()
        rows, units, rough = problem.need_row.tolist(), problem.need.tolist(), problem.rough.tolist()
        self.needs = [list(zip(rows[a:b], units[a:b], rough[a:b], strict=True)) for a, b in pairwise(starts)]
        self.shift: list[int] = problem.shift.tolist()
        self.offers: list[list[int]] = problem.offers.tolist()
        first, suits = problem.suit_start.tolist(), problem.suits.tolist()
        self.active = [[piece for piece in suits[a:b] if self.left[piece]] for a, b in pairwise(first)]
        self.hosts: list[int] = problem.hosts.tolist()
        self.price: list[int] = problem.price.tolist()
        self.usd: list[int] = problem.usd.tolist()
        self.pool: list[int] = problem.pool.tolist()
        self.weight: list[int] = problem.weight.tolist()
        self.accelerated: list[int] = problem.accelerated.tolist()
        self.piece_accelerated: list[int] = problem.piece_accelerated.tolist()
        self.piece_weight: list[int] = problem.piece_weight.tolist()
        self.visits = 0


def start(problem: Problem, worth: Numbers, way: Way, left: Numbers, room: Numbers) -> Start:
    """Run one start; see `call.Start`."""
    run = _Run(problem, worth, way, left, room)
    launches: list[list[int]] = []
    entries: list[Entry] = []
    offers = [_refilled(run, variant) for variant in range(len(run.hosts))]
    while offers:
        best = max(range(len(offers)), key=lambda variant: offers[variant].key)
        offer = offers[best]
        if not offer.merit or offer.entries is None:
            break
        copies = min(_repeats(run, offer.entries), _affordable(run, best))
        if copies:
            launches.append([best, copies, len(entries), len(offer.entries)])
            entries += offer.entries
            for _, piece, count in offer.entries:
                run.left[piece] -= count * copies
            run.room[run.pool[best]] -= copies * run.hosts[best]
            run.room[-2] -= copies * run.hosts[best]
            if run.usd[best] > 0:
                run.room[-1] -= copies * run.usd[best]
        offers[best] = _refilled(run, best)
    return Start(
        np.array(launches, np.int64).reshape(-1, 4),
        np.array(entries, np.int64).reshape(-1, 3),
        np.array(run.left, np.int64),
        np.array(run.room, np.int64),
        run.visits,
    )


def _affordable(run: _Run, variant: int) -> int:
    count = min(run.room[run.pool[variant]], run.room[-2]) // run.hosts[variant]
    return min(count, run.room[-1] // run.usd[variant]) if run.usd[variant] > 0 else count


def _refilled(run: _Run, variant: int) -> _Offer:
    if not _affordable(run, variant):
        return _Offer()
    entries: list[Entry] = []
    for host in range(run.hosts[variant]):
        entries += _filled(run, variant, host)
    worth = weight = accelerated = 0
    for _, piece, count in entries:
        run.left[piece] += count
        worth += min(run.worth[piece] * count, _WORTH_MAX)
        weight += run.piece_weight[piece] * count
        accelerated |= run.piece_accelerated[piece]
    worth = min(worth, _WORTH_MAX)
    if not worth or (run.accelerated[variant] and not accelerated and not run.any_variant):
        return _Offer()
    merit = (worth << _GAIN_SHIFT) // run.price[variant] + 1
    return _Offer(merit, run.weight[variant] - weight, -worth if run.of.prefer_many else worth, entries)


def _filled(run: _Run, variant: int, host: int) -> list[Entry]:
    """Fill one host with what is left, which is counted down."""
    free = list(run.offers[variant])
    pieces = run.active[variant]
    if run.mode == BIG_FIRST:
        return _filled_big_first(run, pieces, free, host)
    taken: dict[int, Entry] = {}
    pieces = list(pieces)
    weights = _weights(run, free)
    while True:
        if run.mode != DENSE:
            weights = _weights(run, free)
        piece = _densest(run, pieces, free, weights)
        if piece < 0:
            return list(taken.values())
        count = _fits(run, piece, free)
        if run.mode != DENSE and count > 1:
            count = (count + 1) // 2
        _take(run, piece, free, count)
        taken.setdefault(piece, [host, piece, 0])[2] += count


def _filled_big_first(run: _Run, pieces: list[int], free: list[int], host: int) -> list[Entry]:
    entries = []
    run.visits += len(pieces)
    for piece in pieces:
        count = _fits(run, piece, free) if run.left[piece] else 0
        if count:
            _take(run, piece, free, count)
            entries.append([host, piece, count])
    return entries


def _fits(run: _Run, piece: int, free: list[int]) -> int:
    most = run.left[piece]
    for row, units, _ in run.needs[piece]:
        most = min(most, free[row] // units)
    return most


def _take(run: _Run, piece: int, free: list[int], count: int) -> None:
    for row, units, _ in run.needs[piece]:
        free[row] -= units * count
    run.left[piece] -= count


def _weights(run: _Run, free: list[int]) -> list[int]:
    rough = [units >> shift for units, shift in zip(free, run.shift, strict=True)]
    return [(1 << 50) // units if units > 0 else 0 for units in rough]


def _densest(run: _Run, pieces: list[int], free: list[int], weights: list[int]) -> int:
    """Return the piece of the most worth per size that fits; -1: none does. What does not fit is dropped."""
    run.visits += len(pieces)
    pieces[:] = [p for p in pieces if run.left[p] and all(free[row] >= units for row, units, _ in run.needs[p])]
    best, best_worth, best_size = -1, 0, 1
    for piece in pieces:
        parts = [(rough * weights[row]) >> 30 for row, _, rough in run.needs[piece]]
        size = 1 + (max(parts, default=0) if run.mode == BALANCED_MAX else sum(parts))
        if best < 0 or run.worth[piece] * best_size > best_worth * size:
            best, best_worth, best_size = piece, run.worth[piece], size
    return best


def _repeats(run: _Run, entries: list[Entry]) -> int:
    """Return how often a filling can be repeated with what is left; 0: it is out of date."""
    counts: dict[int, int] = {}
    for _, piece, count in entries:
        counts[piece] = counts.get(piece, 0) + count
    return min((run.left[piece] // count for piece, count in counts.items()), default=0)
