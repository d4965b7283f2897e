"""Who gets which of the things that nobody shares: augmenting paths, for wants of which there are few.

Wants are served in their order, each with as many columns as it may have. A later want takes a column from an earlier
one only when that finds another, so that whoever comes first is never left short for whoever comes later, and in all as
many are served as can be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from rayfleet.planner.capacity import Counts

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Want:
    """So many different columns (`count`) of those that suit, the best-liked first."""

    count: int
    columns: Counts


def matched(wants: list[Want], size: int) -> list[Counts]:
    """Return the columns that each want gets, none of them twice; `size`: one more than the highest column."""
    holder = np.full(size, NOBODY, np.int64)
    for number, want in enumerate(wants):
        free = want.columns[holder[want.columns] == NOBODY][: want.count]
        holder[free] = number
        for _ in range(want.count - free.size):
            if not _augmented(wants, holder, number):
                break
    return [want.columns[holder[want.columns] == number] for number, want in enumerate(wants)]


def _augmented(wants: list[Want], holder: Counts, start: int) -> bool:
    """Get one more column for a want, by moving others along the shortest way; False when there is none."""
    came: dict[int, tuple[int, int]] = {start: (NOBODY, NOBODY)}  # want: who would take which of its columns
    queue = deque([start])
    while queue:
        number = queue.popleft()
        columns = wants[number].columns
        holders = holder[columns]
        free = columns[holders == NOBODY]
        if free.size:
            _move_along(holder, came, number, int(free[0]))
            return True
        others, firsts = np.unique(holders, return_index=True)
        for other, first in zip(others.tolist(), firsts.tolist(), strict=True):
            if other not in came:
                came[other] = (number, int(columns[first]))
                queue.append(other)
    return False


def _move_along(holder: Counts, came: dict[int, tuple[int, int]], number: int, column: int) -> None:
    while number != NOBODY:
        taker, given = came[number]
        holder[column] = number
        number, column = taker, given
