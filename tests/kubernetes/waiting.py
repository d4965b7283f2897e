"""Waiting for what a control plane does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

from rayfleet.testing.kubernetes.control_plane import CommandFailed

T = TypeVar("T")

PATIENCE_S = 60.0
"""Machines that run tests are slow and shared: this bounds a hang, it measures nothing."""
LOOK_S = 0.2
"""Every look may be a run of kubectl: more of them would only slow down what is waited for."""


def eventually(look: Callable[[], T], *, within_s: float = PATIENCE_S) -> T:
    """Look until there is something true to see, and return it; the last failure is what the test fails with."""
    end = time.monotonic() + within_s
    while True:
        try:
            seen = look()
            if seen:
                return seen
            problem: Exception = AssertionError(f"still {seen!r} after {within_s:g} s")
        except (AssertionError, CommandFailed, LookupError, OSError) as failure:
            problem = failure
        if time.monotonic() > end:
            raise problem
        time.sleep(LOOK_S)
