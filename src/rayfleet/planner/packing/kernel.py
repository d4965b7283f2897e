"""Which kernel runs: the one in C where it was built, else the same in Python. Both give identical numbers."""

from __future__ import annotations

import ctypes
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from rayfleet.planner.packing import slow
from rayfleet.planner.packing.call import Kernel, Start, Way
from rayfleet.planner.packing.problem import Numbers, Problem

LIBRARY: Final = "_kernel.so"
VERSION: Final = 2
"""Of `kernel.c`, which this module fits."""


class _Problem(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("pieces", "variants", "rows", "pools")),
        *((name, ctypes.c_void_p) for name in slow.ARRAYS),
    )


def _address(array: Numbers) -> int:
    return array.ctypes.data


def loaded(path: str) -> Any:
    """Return a library's function; None where it was not built, or from another version of the source."""
    try:
        library = ctypes.CDLL(path)
        function = library.rayfleet_start
        version = ctypes.c_int64.in_dll(library, "rayfleet_kernel_version").value
    except (OSError, AttributeError, ValueError):  # not built, or something else
        return None
    if version != VERSION:
        return None
    function.restype = ctypes.c_int64
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [
        pointer, pointer, number, number, number, pointer, pointer, pointer, number, pointer, number, pointer,
    ]  # fmt: skip
    return function


_FUNCTION: Final = loaded(__file__.rpartition("kernel.py")[0] + LIBRARY)

NAME: Final = "C" if _FUNCTION else "Python"
"""Which kernel is in use, for people."""


class _Desk:
    """One problem as the library reads it, with the arrays that a start is told and writes: made once per problem.

    A start takes some ten microseconds, and so does handing over twenty addresses.
    """

    def __init__(self, problem: Problem) -> None:
        arrays = (_address(getattr(problem, name)) for name in slow.ARRAYS)
        rooms = problem.room.size
        self._problem = _Problem(problem.pieces, len(problem.variants), problem.shift.size, rooms - 2, *arrays)
        self.prefer_many = int(problem.prefer_many)
        self.worth, self.left = np.empty(problem.pieces, np.int64), np.empty(problem.pieces, np.int64)
        self.room, self.visits = np.empty(rooms, np.int64), np.empty(1, np.int64)
        self.told = (ctypes.addressof(self._problem), _address(self.worth))
        self.counted_down = (_address(self.left), _address(self.room))
        self.visited = _address(self.visits)
        self.lengthen(_LAUNCHES)

    def lengthen(self, launches: int) -> None:
        """Have room for so many launches."""
        self.launches = np.empty((launches, 4), np.int64)
        self.entries = np.empty((launches * _ENTRIES, 3), np.int64)
        self.written = (_address(self.launches), launches, _address(self.entries), launches * _ENTRIES)


_LAUNCHES: Final = 256
_ENTRIES: Final = 16
"""Entries of a launch, on average, that there is room for at first."""

_DESKS: Final[WeakKeyDictionary[Problem, _Desk]] = WeakKeyDictionary()
"""One for each problem, for as long as it lives: that is within one plan."""


def in_c(problem: Problem, worth: Numbers, way: Way, left: Numbers, room: Numbers) -> Start:
    """Run one start in the library."""
    desk = _DESKS.get(problem)
    if desk is None:
        desk = _DESKS[problem] = _Desk(problem)
    desk.worth[:] = worth
    while True:
        desk.left[:], desk.room[:], desk.visits[0] = left, room, 0
        made = _FUNCTION(
            *desk.told, way.mode, int(way.any_variant), desk.prefer_many, *desk.counted_down, *desk.written,
            desk.visited,
        )  # fmt: skip
        if made >= 0:
            size = int(desk.launches[made - 1, 2] + desk.launches[made - 1, 3]) if made else 0
            launches, entries = desk.launches[:made].copy(), desk.entries[:size].copy()
            return Start(launches, entries, desk.left.copy(), desk.room.copy(), int(desk.visits[0]))
        if made != -1:
            raise MemoryError
        desk.lengthen(4 * len(desk.launches))


def quickest() -> Kernel:
    """Return the quicker of the two kernels that are there."""
    return in_c if _FUNCTION else slow.start
