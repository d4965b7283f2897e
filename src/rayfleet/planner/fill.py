"""Choosing new machines: several cheap, deterministic starts, of which the best is kept.

Every start repeats: fill one replica of each variant with what is left (biggest pieces first), take the variant
with the lowest price per unit of useful work, and launch as many copies of that filled replica as there is work
for. A piece's worth is what it costs to run it in the cheapest way without others. A filling stays right until
one of its pieces runs out, so only few fillings are made anew in each round (a lazy queue), and the effort depends
on the number of shapes, not of tasks.

Order of merit of a start: fewest pieces left over, then price, waste, machines, and the order of the starts. Pool
priority is above price. Machines with an accelerator are for work that needs one (other work may fill them up);
what is left at the end may use them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from rayfleet.model import LabelSelector
from rayfleet.planner.market import Variant
from rayfleet.planner.room import Room
from rayfleet.planner.work import Item

Filling = tuple[tuple[tuple[int, int], ...], ...]
"""Per host of a replica: (position of the piece, how many)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pieces to place: an item, one of its selectors, and how many."""

    item: Item
    selector: LabelSelector
    count: int


@dataclass(slots=True)
class Packing:
    """New replicas with their fillings, and what found no place (by position)."""

    launches: list[tuple[Variant, int, Filling]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Problem:
    """One question to the packer. `worth` is per piece; `suits[v]` the pieces that variant v can take."""

    wanted: list[Wanted]
    variants: list[Variant]
    room: Room
    prefer_many: bool
    suits: list[list[int]] = field(default_factory=list)
    worth: list[float] = field(default_factory=list)


def pack(wanted: list[Wanted], variants: list[Variant], room: Room, *, prefer_many: bool = False) -> Packing:
    """Return the best new machines for `wanted` within `room`. `prefer_many`: of equals, more machines."""
    problem = Problem(wanted, variants, room, prefer_many)
    _judge_pieces(problem)
    if not any(problem.suits):
        return Packing(left=[w.count for w in wanted])
    best: tuple[tuple[float, ...], Packing] | None = None
    for order in _starts(problem):
        merit, packing = _merit(problem, _run(problem, order))
        if best is None or merit < best[0]:
            best = (merit, packing)
    if best is not None and any(best[1].left):
        # A limit has cut it: bigger machines may serve more.
        merit, packing = _merit(problem, _run(problem, _big_first(problem), few=True))
        if merit < best[0]:
            best = (merit, packing)
    return best[1] if best else Packing(left=[w.count for w in wanted])


# ---- what pieces are worth ------------------------------------------------------------------------------------------


def _judge_pieces(problem: Problem) -> None:
    """Find which variant suits which piece, and what each piece costs at least."""
    wanted = problem.wanted
    cheapest = [float("inf")] * len(wanted)
    fallback = [float("inf")] * len(wanted)
    for variant in problem.variants:
        labels = dict(variant.labels)
        suits = []
        for position, want in enumerate(wanted):
            fit = _fit(variant.offers, want.item)
            if fit and want.selector.holds(labels):
                suits.append(position)
                cost = variant.price / (fit * variant.hosts)
                if want.item.accelerated or not variant.accelerated:
                    cheapest[position] = min(cheapest[position], cost)
                fallback[position] = min(fallback[position], cost)
        problem.suits.append(suits)
    problem.worth = [c if c < float("inf") else f for c, f in zip(cheapest, fallback, strict=True)]


def _fit(offers: list[int], item: Item) -> int:
    """Return how many pieces of an item an empty host takes; 1 of what needs nothing."""
    return min((offers[row] // units for row, units in item.need), default=1)


def _share(variant: Variant, item: Item) -> float:
    return max((units / variant.offers[row] for row, units in item.need), default=0.0)


# ---- the starts -----------------------------------------------------------------------------------------------------

Order = list[list[int]]
"""Per variant: positions of pieces in the order in which they are filled in."""


def _starts(problem: Problem) -> list[Order]:
    if len(problem.wanted) == 1:
        return [problem.suits]
    return [_big_first(problem), _dense_first(problem), _worthy_first(problem)]


def _ordered(problem: Problem, key: Callable[[Variant, int], tuple[float, ...]]) -> Order:
    return [
        sorted(suits, key=lambda p, v=variant: key(v, p))  # type: ignore[misc]  # the default binds the loop variable
        for variant, suits in zip(problem.variants, problem.suits, strict=True)
    ]


def _big_first(problem: Problem) -> Order:
    wanted = problem.wanted
    return _ordered(problem, lambda v, p: (not wanted[p].item.accelerated, -_share(v, wanted[p].item)))


def _worthy_first(problem: Problem) -> Order:
    wanted, worth = problem.wanted, problem.worth
    return _ordered(problem, lambda _, p: (not wanted[p].item.accelerated, -worth[p]))


def _dense_first(problem: Problem) -> Order:
    wanted, worth = problem.wanted, problem.worth

    def key(variant: Variant, position: int) -> tuple[float, ...]:
        share = _share(variant, wanted[position].item)
        return (not wanted[position].item.accelerated, -worth[position] / share if share else 0.0, -share)

    return _ordered(problem, key)


# ---- one start ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """State of one start."""

    problem: Problem
    order: Order
    left: list[int]
    room: Room
    extra: float
    launches: list[tuple[Variant, int, Filling]] = field(default_factory=list)


def _run(problem: Problem, order: Order, *, few: bool = False) -> Packing:
    """Carry one start out. `few`: machines are counted as dear, so that few big ones win."""
    extra = max((v.price for v in problem.variants), default=0.0) if few else 0.0
    run = _Run(problem, order, [w.count for w in problem.wanted], problem.room.copy(), extra)
    _launch_best(run, every_variant=False)
    if any(run.left):
        _launch_best(run, every_variant=True)
    return Packing(run.launches, run.left)


def _launch_best(run: _Run, *, every_variant: bool) -> None:
    queue: list[tuple[tuple[float, ...], Filling]] = []
    for variant in run.problem.variants:
        _offer(run, queue, variant, every_variant=every_variant)
    while queue:
        key, filling = heapq.heappop(queue)
        variant = run.problem.variants[int(key[-1])]
        copies = _copies(run, filling)
        if copies:
            copies = min(copies, _affordable(run, variant))
            if not copies:
                continue
            run.room.take(variant.pool, variant.offer.usd_per_hour, copies)
            for host in filling:
                for position, count in host:
                    run.left[position] -= count * copies
            run.launches.append((variant, copies, filling))
        _offer(run, queue, variant, every_variant=every_variant)


def _affordable(run: _Run, variant: Variant) -> int:
    return run.room.replicas(variant.pool, variant.offer.usd_per_hour)


def _copies(run: _Run, filling: Filling) -> int:
    """Return how often a filling can be repeated with what is left; 0 when it is out of date."""
    if len(filling) == 1:
        return min((run.left[position] // count for position, count in filling[0]), default=0)
    needs: dict[int, int] = {}
    for host in filling:
        for position, count in host:
            needs[position] = needs.get(position, 0) + count
    return min((run.left[position] // count for position, count in needs.items()), default=0)


def _offer(run: _Run, queue: list[tuple[tuple[float, ...], Filling]], variant: Variant, *, every_variant: bool) -> None:
    """Fill one replica of a variant with what is left and queue it by merit; nothing fits: drop it."""
    if not _affordable(run, variant):
        return
    filling = _filled(run, variant)
    worth = weight = 0.0
    accelerated = False
    for host in filling:
        for position, count in host:
            piece = run.problem.wanted[position].item
            worth += run.problem.worth[position] * count
            weight += piece.weight * count
            accelerated = accelerated or piece.accelerated
    if not worth or (variant.accelerated and not accelerated and not every_variant):
        return
    waste = 1.0 - weight / variant.weight if variant.weight else 0.0
    many = worth if run.problem.prefer_many else -worth
    merit = (variant.price + run.extra) / worth
    heapq.heappush(
        queue,
        (
            (-float(variant.pool.priority), round(merit, 9), round(waste, 9), round(many, 9), float(variant.order)),
            filling,
        ),
    )


def _filled(run: _Run, variant: Variant) -> Filling:
    left = run.left
    order = run.order[variant.order]
    if variant.hosts == 1:
        return (_filled_host(run, variant.offers, order, left),)
    left = list(left)
    hosts = []
    for _ in range(variant.hosts):
        host = _filled_host(run, variant.offers, order, left)
        for position, count in host:
            left[position] -= count
        hosts.append(host)
    return tuple(hosts)


def _filled_host(run: _Run, offers: list[int], order: list[int], left: list[int]) -> tuple[tuple[int, int], ...]:
    free = list(offers)
    wanted = run.problem.wanted
    filling = []
    for position in order:
        count = left[position]
        if not count:
            continue
        need = wanted[position].item.need
        for row, units in need:
            fit = free[row] // units
            if fit < count:
                count = fit
                if not count:
                    break
        if count:
            for row, units in need:
                free[row] -= units * count
            filling.append((position, count))
    return tuple(filling)


def _merit(problem: Problem, packing: Packing) -> tuple[tuple[float, ...], Packing]:
    left = sum(worth * count for worth, count in zip(problem.worth, packing.left, strict=True) if worth < float("inf"))
    price = waste = 0.0
    machines = 0
    for variant, copies, filling in packing.launches:
        price += variant.price * copies
        machines += variant.hosts * copies
        used = sum(problem.wanted[p].item.weight * count for host in filling for p, count in host)
        waste += (variant.weight - used) * copies
    sign = -1.0 if problem.prefer_many else 1.0
    return (round(left, 9), round(price, 9), round(waste, 9), sign * machines), packing
