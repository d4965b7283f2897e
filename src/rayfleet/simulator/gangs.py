"""Where a placement group goes, whole or not at all, as Ray's four strategies want it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayfleet.model import Strategy
from rayfleet.simulator.nodes import Mask, Need, NodeTable, SimNode

Placed = list[tuple[SimNode, int]]
"""(node, number of the bundle) for each bundle."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One bundle: what it takes and on which nodes it may be."""

    need: Need
    eligible: Mask


def place_gang(table: NodeTable, strategy: Strategy, bundles: Sequence[Wanted]) -> Placed | None:
    """Return where every bundle goes; None when not all of them can go anywhere now."""
    free = table.free.copy()
    if strategy is Strategy.STRICT_PACK:
        rows = _on_one(table, free, bundles)
    else:
        rows = _one_after_the_other(table, free, strategy, bundles)
    if rows is None:
        return None
    return [(node, n) for n, row in enumerate(rows) if (node := table.rows[row]) is not None]


def _on_one(table: NodeTable, free: npt.NDArray[np.int64], bundles: Sequence[Wanted]) -> list[int] | None:
    """Put all bundles onto the node that they fill best."""
    whole: dict[int, int] = {}
    fits = table.open.copy()
    for bundle in bundles:
        fits &= bundle.eligible
        for column, units in bundle.need:
            whole[column] = whole.get(column, 0) + units
    row = _tightest(free, fits, tuple(whole.items()))
    return None if row is None else [row] * len(bundles)


def _one_after_the_other(
    table: NodeTable, free: npt.NDArray[np.int64], strategy: Strategy, bundles: Sequence[Wanted]
) -> list[int] | None:
    """Place bundles in order: PACK where one is already, if it can; SPREAD in rounds; STRICT_SPREAD one on a node."""
    rows: list[int] = []
    used = np.zeros(len(table.rows), np.bool_)
    for bundle in bundles:
        fits = table.open & bundle.eligible
        fresh = fits & (used if strategy is Strategy.PACK else ~used)
        row = _tightest(free, fresh, bundle.need)
        if row is None and strategy is not Strategy.STRICT_SPREAD:
            used[:] &= strategy is Strategy.PACK  # the next round of SPREAD begins
            row = _tightest(free, fits, bundle.need)
        if row is None:
            return None
        for column, units in bundle.need:
            free[row, column] -= units
        used[row] = True
        rows.append(row)
    return rows


def _tightest(free: npt.NDArray[np.int64], fits: Mask, need: Need) -> int | None:
    """Return the row that has room and would have least left, in shares of what is asked for."""
    fits = fits.copy()
    for column, units in need:
        fits &= free[:, column] >= units
    found = np.flatnonzero(fits)
    if not found.size:
        return None
    left = sum((free[found, column] / units for column, units in need), np.zeros(found.size))
    return int(found[int(np.argmin(left))])
