"""The nodes of the pretend Ray as one table, and the node that Ray's default (hybrid) policy would choose.

The rule, in our words: among the nodes with room now, those whose busiest of CPU, memory and object store is used below
one half count as equally good; the others are worse the fuller they are. One of the best fifth of the cluster's
nodes is taken by chance. The node from which work is submitted goes first when none is better. Work that needs no GPU
takes a node with GPUs only when no other has room.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rayfleet.contracts import Node
from rayfleet.model import CPU, GPU, MEMORY, OBJECT_STORE, Labels, NodeFact, Resources

SPREAD_FROM: Final = 0.5
"""A node that is used less is as good as an empty one ..."""
BEST_SHARE: Final = 0.2
"""... and one of this share of all nodes, the best ones, is taken by chance."""
_FIRST_ROWS: Final = 64

Need = tuple[tuple[int, int], ...]
"""What one task takes: (column, units)."""
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(slots=True, eq=False)
class SimNode:
    """One node: its row in the table, what it has and what is free, in units. `lost`: its machine is gone already."""

    row: int
    id: str
    machine_id: str
    pool: str
    labels: Labels
    resources: Resources
    total: list[int]
    free: list[int]
    idle_since: float
    head: bool = False
    gpu: bool = False
    state: NodeFact = NodeFact.ALIVE
    lost: bool = False
    runs: dict[Any, None] = field(default_factory=dict)
    shown: Node | None = None


class NodeTable:
    """All nodes. `names`: the resources that count, in the order of the columns."""

    def __init__(self, names: Sequence[str], chance: Random) -> None:
        """Start without nodes."""
        self.names = tuple(names)
        self.nodes: dict[str, SimNode] = {}
        self.rows: list[SimNode | None] = [None] * _FIRST_ROWS
        self.free = np.zeros((_FIRST_ROWS, len(self.names)), np.int64)
        self.open: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.gpu: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.fullness = np.zeros(_FIRST_ROWS)
        self.alive = 0
        self._chance = chance
        self._vacant = list(range(_FIRST_ROWS))[::-1]
        self._critical = [n for n, name in enumerate(self.names) if name in (CPU, MEMORY, OBJECT_STORE)]

    def need(self, shape: Resources) -> Need:
        """Return a shape as columns and units."""
        return tuple((self.names.index(name), units) for name, units in shape.items())

    def add(self, node_id: str, machine_id: str, pool: str, resources: Resources, labels: Labels) -> SimNode:
        """Add a node; the caller sets what else is to be said of it."""
        if not self._vacant:
            self._grow()
        total = [resources.get(name, 0) for name in self.names]
        node = SimNode(self._vacant.pop(), node_id, machine_id, pool, labels, resources, total, list(total), 0.0)
        node.gpu = bool(resources.get(GPU))
        self.nodes[node_id], self.rows[node.row] = node, node
        self.free[node.row], self.open[node.row], self.gpu[node.row] = total, True, node.gpu
        self.fullness[node.row] = 0.0
        self.alive += 1
        return node

    def close(self, node: SimNode, state: NodeFact) -> None:
        """Let nothing more come onto a node, for it is DRAINING or DEAD."""
        if node.state is NodeFact.ALIVE:
            self.alive -= 1
        node.state, node.shown = state, None
        self.open[node.row] = False

    def remove(self, node: SimNode) -> None:
        """Forget a node that is DEAD."""
        if self.nodes.pop(node.id, None) is not None:
            self.rows[node.row] = None
            self._vacant.append(node.row)

    def take(self, node: SimNode, need: Need, count: int) -> None:
        """Put `count` of `need` onto a node; a negative count gives it back."""
        free, row = node.free, node.row
        for column, units in need:
            free[column] -= units * count
            self.free[row, column] = free[column]
        total = node.total
        self.fullness[row] = max((1 - free[c] / total[c] for c in self._critical if total[c]), default=0.0)
        node.shown = None

    def room(self, node: SimNode, need: Need) -> int:
        """Return how many of `need` a node has room for now."""
        free = node.free
        return min((free[column] // units for column, units in need), default=1 << 30)

    # ---- choosing -----------------------------------------------------------------------------------

    def choose(self, need: Need, count: int, eligible: Mask, first: SimNode | None = None) -> list[tuple[SimNode, int]]:
        """Return where up to `count` tasks go. `first`: the node that they are submitted from."""
        fits = self.open & eligible
        for column, units in need:
            fits &= self.free[:, column] >= units
        found = np.flatnonzero(fits)
        if not found.size:
            return []
        if any(self.names[column] == GPU for column, _ in need):
            return self._among(found, need, count, first)
        gpu = self.gpu[found]
        chosen = self._among(found[~gpu], need, count, first)
        left = count - sum(n for _, n in chosen)
        return chosen + (self._among(found[gpu], need, left, first) if left and gpu.any() else [])

    def _among(self, found: Indices, need: Need, count: int, first: SimNode | None) -> list[tuple[SimNode, int]]:
        """Choose among nodes that fit at least one each."""
        if not found.size:
            return []
        if count == 1:
            return [(self._at(self._best(found, first)), 1)]
        most = np.full(found.size, count, np.int64)
        for column, units in need:
            np.minimum(most, self.free[found, column] // units, out=most)
        if int(most.sum()) <= count:
            return [(self._at(int(row)), int(n)) for row, n in zip(found, most, strict=True)]
        return self._one_by_one(found, need, count, first)

    def _at(self, row: int) -> SimNode:
        node = self.rows[row]
        assert node is not None  # noqa: S101 - only rows with a node are open
        return node

    @property
    def _best_count(self) -> int:
        return max(1, int(self.alive * BEST_SHARE))

    def _best(self, found: Indices, first: SimNode | None) -> int:
        """Return the row that one task goes to."""
        fullness = self.fullness[found]
        low = found[fullness < SPREAD_FROM]
        if first is not None and first.row in (low if low.size else found[fullness == fullness.min()]):
            return first.row
        drawn = self._chance.randrange(min(self._best_count, found.size))
        if drawn < low.size:
            return int(low[drawn])
        high = found[fullness >= SPREAD_FROM]
        place = drawn - low.size
        order = np.argsort(self.fullness[high], kind="stable")
        return int(high[order[place]])

    def _one_by_one(self, found: Indices, need: Need, count: int, first: SimNode | None) -> list[tuple[SimNode, int]]:
        """Choose for many tasks of one shape: as `_best` for one after the other, with the order kept up to date."""
        fullness = self.fullness[found]
        is_low = fullness < SPREAD_FROM
        low: list[int] = found[is_low].tolist()
        high: list[tuple[float, int]] = sorted(zip(fullness[~is_low].tolist(), found[~is_low].tolist(), strict=True))
        free: dict[int, list[int]] = {}  # of the nodes that have been chosen
        taken: dict[int, int] = {}
        best, chance = self._best_count, self._chance
        for _ in range(count):
            size = len(low) + len(high)
            if not size:
                break
            drawn = chance.randrange(min(best, size))
            if first is not None and first.row in low:
                drawn = low.index(first.row)
            row = low.pop(drawn) if drawn < len(low) else high.pop(drawn - len(low))[1]
            taken[row] = taken.get(row, 0) + 1
            left = free.get(row)
            if left is None:
                left = free[row] = list(self._at(row).free)
            for column, units in need:
                left[column] -= units
            if all(left[column] >= units for column, units in need):
                self._put_back(row, left, low, drawn, high)
        return [(self._at(row), n) for row, n in taken.items()]

    def _put_back(self, row: int, left: list[int], low: list[int], drawn: int, high: list[tuple[float, int]]) -> None:
        total = self._at(row).total
        fullness = max((1 - left[c] / total[c] for c in self._critical if total[c]), default=0.0)
        if fullness < SPREAD_FROM:
            low.insert(drawn, row)
        else:
            insort(high, (fullness, row))

    def _grow(self) -> None:
        """Double the table."""
        size = len(self.rows)
        self.free = np.concatenate([self.free, np.zeros_like(self.free)])
        self.open = np.concatenate([self.open, np.zeros_like(self.open)])
        self.gpu = np.concatenate([self.gpu, np.zeros_like(self.gpu)])
        self.fullness = np.concatenate([self.fullness, np.zeros_like(self.fullness)])
        self.rows += [None] * size
        self._vacant = list(range(size, 2 * size))[::-1]
