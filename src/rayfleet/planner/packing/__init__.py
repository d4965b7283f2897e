"""Choosing new machines: which patterns of which variants, and how many copies, for the least price.

    problem     pieces, variants and room as whole numbers
    kernel      one greedy start: `kernel.c`, or the same in Python (`slow`)
    solution    patterns with copies; what is better
    starts      many starts, with price feedback between them
    master      the best mix of all patterns found (linear programme)
    neighbours  parts of the best packed anew

All of it is deterministic: whole numbers, budgets in steps, no clock. Order of merit: the least worth left without a
place, price (every machine a little dearer than it is, so that of equal ones fewer win), waste, machines, and who came
first. Pool priority is above price. Machines with an accelerator are for work that needs one (other work may fill them
up); what is left at the end may use them. When limits leave something, bigger machines are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rayfleet.planner.market import Variant
from rayfleet.planner.packing import kernel
from rayfleet.planner.packing.master import best_mix, distinct, whole_copies
from rayfleet.planner.packing.neighbours import MODES, improve
from rayfleet.planner.packing.problem import Problem, Wanted, problem_of
from rayfleet.planner.packing.solution import PROPER_FIRST, Packer, Solution, joined, room_beside
from rayfleet.planner.packing.starts import Best, start_often
from rayfleet.planner.room import Room

__all__ = ["THOROUGH", "Filling", "Packing", "Wanted", "pack"]

Filling = tuple[tuple[int, int, int], ...]
"""Of one replica: (host, position of the piece, how many)."""

MIX_PIECES: Final = 4
"""With fewer sorts of pieces the starts find what there is to find."""
FAST_STEPS: Final = 60
MANY_COPIES: Final = 4
"""With more copies of a pattern than this on average, the best mix in whole copies is hard to improve part by part."""
MOST_TURNS: Final = 8
"""So often what a limit has cut off is packed anew, with what that limit leaves."""
EFFORT_STEPS: Final = 10
"""Steps of improvement per unit of effort."""
THOROUGH: Final = 1_000
"""The effort that takes about two seconds at a hundred sorts of pieces."""
EFFORT_MOST: Final = 10_000
"""More effort than this is not made: a plan must end."""


@dataclass(slots=True)
class Packing:
    """New replicas with their fillings, and what found no place (by position)."""

    launches: list[tuple[Variant, int, Filling]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


def pack(
    wanted: list[Wanted],
    variants: list[Variant],
    room: Room,
    *,
    prefer_many: bool,
    effort: int,
) -> Packing:
    """Return the best new machines found for `wanted` within `room`. `prefer_many`: of equals, more machines."""
    packing = Packing(left=[want.count for want in wanted])
    room = room.copy()
    priorities = sorted({variant.pool.priority for variant in variants}, reverse=True)
    stages: list[tuple[tuple[bool, ...], int]] = [(PROPER_FIRST, p) for p in priorities]
    if len(priorities) > 1:
        stages = [((phase,), p) for phase in PROPER_FIRST for p in priorities]
    for phases, priority in stages:
        some = [v for v in variants if v.pool.priority == priority]
        for _ in range(MOST_TURNS):
            problem, rest = _rest(packing, wanted, some, room, prefer_many=prefer_many)
            if problem is None:
                break
            solution = solve(Packer(problem, kernel.quickest(), phases), effort)
            if not _write(packing, room, problem, solution, rest):
                break
    return packing


def _rest(
    packing: Packing, wanted: list[Wanted], variants: list[Variant], room: Room, *, prefer_many: bool
) -> tuple[Problem | None, list[int]]:
    """Return what is still to be packed as a problem, and the positions of its pieces."""
    rest = [n for n, count in enumerate(packing.left) if count]
    some = [v for v in variants if room.replicas(v.pool, v.offer.usd_per_hour)]
    asked = [Wanted(wanted[n].item, wanted[n].selector, packing.left[n]) for n in rest]
    return (problem_of(asked, some, room, prefer_many=prefer_many) if asked else None), rest


def _write(packing: Packing, room: Room, problem: Problem, solution: Solution, rest: list[int]) -> bool:
    """Add a solution to the packing; say whether the room, asked in its own words, had less than the problem knew."""
    cut = False
    for variant_number, copies, filling in zip(
        solution.variant.tolist(), solution.copies.tolist(), solution.fillings, strict=True
    ):
        variant = problem.variants[variant_number]
        usd = variant.offer.usd_per_hour
        most = min(copies, room.replicas(variant.pool, usd))
        cut = cut or most < copies
        if not most:
            continue
        room.take(variant.pool, usd, most)
        places = tuple((host, rest[piece], count) for host, piece, count in filling.tolist())
        packing.launches.append((variant, most, places))
        for _, position, count in places:
            packing.left[position] -= count * most
    return cut


def solve(packer: Packer, effort: int) -> Solution:
    """Return the best solution found: never worse with more effort."""
    problem = packer.problem
    best = start_often(packer)
    if best.merit[0]:
        _try_big_machines(packer, best)
    elif not (problem.prefer_many or best.is_good_enough or best.solution.size == 1):
        if problem.pieces >= MIX_PIECES:
            _try_mix(packer, best)
        machines = int(best.solution.copies.sum())
        steps = FAST_STEPS if machines <= MANY_COPIES * best.solution.size else 0
        improve(packer, best, steps + min(effort, EFFORT_MOST) * EFFORT_STEPS)
    return best.solution


def _try_big_machines(packer: Packer, best: Best) -> None:
    """Something is left, so a limit has cut it: try whether few big machines serve more."""
    problem = packer.problem
    dear = Packer(problem.with_dear_machines(), packer.kernel, packer.phases)
    for mode in MODES:
        best.meet(problem, dear.pack(problem.worth, mode, problem.counts, problem.room), problem.worth)


def _try_mix(packer: Packer, best: Best) -> None:
    """Take the best mix of all patterns in whole copies, and pack the rest greedily, in every way."""
    problem = packer.problem
    mix = best_mix(problem, distinct(problem, best.all))
    if mix is None:
        return
    base = whole_copies(problem, mix)
    room = room_beside(problem, base)
    if (room < 0).any():
        return
    worth = best.worth
    for mode in MODES:
        rest = packer.pack(worth, mode, base.left, room)
        best.meet(problem, joined(base, rest, rest.left), worth)
