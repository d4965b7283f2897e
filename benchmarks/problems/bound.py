"""A cost that no plan for a problem can go below: a linear programme, solved by HiGHS.

Variables, all real and not negative: `z[s, t]` tasks of shape s on machines of type t, `n[t]` machines of type t, and
`z[s, g]` tasks of shape s on the group g of equal machines that run already. Least `sum price[t] n[t]` such that

    demand      sum over t of z[s, t]               >= count[s]
    capacity    sum over s of amount[s, r] z[s, t]  <= amount[t, r] n[t]        for every resource r
    alone       z[s, t]                             <= most[s, t] n[t]          most: so many fit on an empty machine
    halves      sum of z[s, t] over s that take more than a half of r  <= n[t]  two of them never fit together
    thirds      the same for more than a third                         <= 2 n[t]

Why it is a bound: take any plan, count its machines and what runs on each; every row holds for each machine by itself,
so it holds for the sums, and the plan is a solution whose value is its price. For machines that run already, of one
type, `n[t]` is given and costs nothing, amounts are the sums of what is free, and `most` is the sum over the machines:
the rows again hold for the sums. Bundles of placement groups count as tasks without their group, which only leaves
rows out; STRICT_PACK is one task of the summed size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.problems.model import Amounts, Case, MachineType, Node, Shape, meant

_EXACT = 1e-9
_HALF, _THIRD = 1 / 2, 1 / 3

Row = tuple[list[tuple[int, float]], float, float]
"""Entries (column, factor), lower and upper limit."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One type to buy (`price`, no `nodes`), or the machines of one type that run already."""

    type: MachineType
    price: float
    nodes: tuple[Node, ...] = ()

    def most(self, shape: Amounts) -> float:
        """Return how many tasks fit: on one machine to buy, or on all that run."""
        if not self.nodes:
            return _most(shape, self.type.resources)
        return sum(_most(shape, node.available) for node in self.nodes)

    def amount(self, name: str) -> float:
        """Return what there is of a resource, on one to buy or on all that run."""
        if not self.nodes:
            return self.type.resources.get(name, 0.0)
        return sum(node.available.get(name, 0.0) for node in self.nodes)


def _most(shape: Amounts, room: Amounts) -> float:
    return min((math.floor(room.get(name, 0.0) / amount + _EXACT) for name, amount in shape.items()), default=1.0)


@cache
def _kept() -> dict[str, float]:
    """Return the tighter bounds that `patterns.py` has found."""
    path = Path(__file__).with_name("bounds.json")
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def least_usd_per_hour(case: Case) -> float:
    """Return the best bound known, in USD per hour of machines that are bought."""
    return max(of_the_compact_programme(case), _kept().get(case.name, 0.0))


def of_the_compact_programme(case: Case) -> float:
    """Return the bound that is explained above. RuntimeError when HiGHS finds no optimum."""
    shapes = [*case.shapes, *_of_groups(case)]
    if not shapes:
        return 0.0
    kinds = [_Kind(each, each.usd_per_hour) for each in _cheapest(case.types, shapes)] + _running(case.nodes)
    columns = [
        (number, place)
        for place, kind in enumerate(kinds)
        for number, shape in enumerate(shapes)
        if meant(shape.selector, kind.type.labels) and kind.most(shape.resources) > 0
    ]
    rows = list(_rows(shapes, kinds, columns))
    return _solved(kinds, len(columns), rows)


def _of_groups(case: Case) -> list[Shape]:
    """Return the bundles of placement groups as tasks."""
    counts: dict[tuple[tuple[str, float], ...], int] = {}
    for group in case.groups:
        bundles = group.bundles
        if group.strategy == "STRICT_PACK":
            names = sorted({name for bundle in bundles for name in bundle})
            bundles = ({name: sum(bundle.get(name, 0.0) for bundle in bundles) for name in names},)
        for bundle in bundles:
            key = tuple(sorted(bundle.items()))
            counts[key] = counts.get(key, 0) + group.count
    return [Shape(dict(key), count) for key, count in counts.items()]


def _cheapest(types: tuple[MachineType, ...], shapes: list[Shape]) -> list[MachineType]:
    """Leave out types that another one replaces: equal machines for the same shapes that cost no more."""
    wishes = sorted({shape.selector for shape in shapes})
    best: dict[object, MachineType] = {}
    for each in types:
        meets = tuple(meant(wish, each.labels) for wish in wishes)
        key = (tuple(sorted(each.resources.items())), meets)
        if key not in best or each.usd_per_hour < best[key].usd_per_hour:
            best[key] = each
    return list(best.values())


def _running(nodes: tuple[Node, ...]) -> list[_Kind]:
    of_type: dict[str, list[Node]] = {}
    for node in nodes:
        of_type.setdefault(node.type.name, []).append(node)
    return [_Kind(some[0].type, 0.0, tuple(some)) for some in of_type.values()]


def _rows(shapes: list[Shape], kinds: list[_Kind], columns: list[tuple[int, int]]) -> Iterator[Row]:
    of_shape: list[list[tuple[int, float]]] = [[] for _ in shapes]
    of_kind: list[list[tuple[int, int]]] = [[] for _ in kinds]
    for column, (number, place) in enumerate(columns):
        of_shape[number].append((column, 1.0))
        of_kind[place].append((column, number))
    for entries, shape in zip(of_shape, shapes, strict=True):
        yield entries, float(shape.count), math.inf
    for place, (kind, taken) in enumerate(zip(kinds, of_kind, strict=True)):
        if taken:
            yield from _rows_of(kind, len(columns) + place, [(column, shapes[n].resources) for column, n in taken])


def _rows_of(kind: _Kind, machines: int, taken: list[tuple[int, Amounts]]) -> Iterator[Row]:
    """Yield the rows of one kind of machine; its number of machines is the column `machines`."""
    runs = bool(kind.nodes)

    def at_most(entries: list[tuple[int, float]], of_each: float) -> Row:
        return (entries, -math.inf, of_each) if runs else ([*entries, (machines, -of_each)], -math.inf, 0.0)

    for name in sorted({name for _, shape in taken for name in shape}):
        have = kind.amount(name)
        some = [(column, shape[name] / have) for column, shape in taken if name in shape]
        yield at_most(some, 1.0)
        if not runs:
            for part, most in ((_HALF, 1.0), (_THIRD, 2.0)):
                big = [(column, 1.0) for column, share in some if share > part + _EXACT]
                if big:
                    yield at_most(big, most)
    for column, shape in taken:
        yield at_most([(column, 1.0)], kind.most(shape))


def _solved(kinds: list[_Kind], tasks: int, rows: list[Row]) -> float:
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = tasks + len(kinds), len(rows)
    lp.col_cost_ = np.array([0.0] * tasks + [kind.price for kind in kinds])
    lp.col_lower_ = np.zeros(lp.num_col_)
    lp.col_upper_ = np.full(lp.num_col_, np.inf)
    lp.row_lower_ = np.array([low for _, low, _ in rows])
    lp.row_upper_ = np.array([high for _, _, high in rows])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(entries) for entries, _, _ in rows)])
    lp.a_matrix_.index_ = np.array([column for entries, _, _ in rows for column, _ in entries])
    lp.a_matrix_.value_ = np.array([factor for entries, _, _ in rows for _, factor in entries])
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # as it comes
    for option, value in (("output_flag", False), ("threads", 1)):
        solver.setOptionValue(option, value)
    solver.passModel(lp)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"HiGHS finds no optimum: {solver.getModelStatus()}")
    # The dual value bounds from below whatever the primal's rounding; they differ by less than a millionth here.
    return float(solver.getInfo().objective_function_value)
