"""An asyncio loop on virtual time: whoever sleeps is woken at once, and the clock shows that the time has passed.

    run_virtual(my_test())          # an hour of sleeps takes milliseconds, and always the same ones
    VirtualClock().now()            # inside: START plus the seconds that have "passed"

Only the selector knows: where it would wait, it adds the time-out to the clock instead. Work for other threads is
done on the spot, so that nothing real is ever waited for.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

T = TypeVar("T")

START: Final = 1_000_000.0
"""What VirtualClock shows when a virtual loop begins, in seconds since the epoch."""


class Deadlock(Exception):
    """Everything waits for something that never comes: on virtual time nothing outside can end that."""


class _Selector(selectors.DefaultSelector):
    """Waits never: time moves on instead."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; else let the time-out pass."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("every task waits, and no timer runs")
            self.passed_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its time starts at 0."""

    def __init__(self) -> None:
        """Make the loop with its own selector."""
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._virtual.passed_s

    def run_in_executor(  # type: ignore[override]  # the base is typed with a TypeVarTuple
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do the work here and now."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to who awaits the result
            done.set_exception(error)
        return done


class VirtualClock:
    """The Clock contract on the running virtual loop."""

    def now(self) -> float:
        """Return START plus the loop's time."""
        return START + asyncio.get_running_loop().time()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a fresh virtual loop to its end and return its result; tasks that are left are cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
