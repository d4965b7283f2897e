"""Which kernel runs: the one in C where it was built, else the same in Python. Both give identical numbers."""

from __future__ import annotations

import ctypes
from typing import Any, Final

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


def in_c(problem: Problem, worth: Numbers, way: Way, left: Numbers, room: Numbers) -> Start:
    """Run one start in the library."""
    left, room = left.copy(), room.copy()
    visits = np.zeros(1, np.int64)
    held = _Problem(
        problem.pieces, len(problem.variants), problem.shift.size, room.size - 2,
        *(_address(getattr(problem, name)) for name in slow.ARRAYS),
    )  # fmt: skip
    launch_room = 256
    while True:
        launches = np.empty((launch_room, 4), np.int64)
        entries = np.empty((launch_room * 16, 3), np.int64)
        now_left, now_room = left.copy(), room.copy()
        made = _FUNCTION(
            ctypes.byref(held), _address(worth), way.mode, int(way.any_variant), int(problem.prefer_many),
            _address(now_left), _address(now_room), _address(launches), launch_room, _address(entries),
            len(entries), _address(visits),
        )  # fmt: skip
        if made >= 0:
            size = int(launches[made - 1, 2] + launches[made - 1, 3]) if made else 0
            return Start(launches[:made], entries[:size], now_left, now_room, int(visits[0]))
        if made != -1:
            raise MemoryError
        launch_room *= 4
        visits[0] = 0


def quickest() -> Kernel:
    """Return the quicker of the two kernels that are there."""
    return in_c if _FUNCTION else slow.start
