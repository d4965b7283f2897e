"""Runs something asynchronous in a thread with an event loop of its own, for tests and tools that block.

with Background(StatusKubelet(plane.access, 3)) as kubelet:
    plane.kubectl("wait", "--for=condition=Ready", "pod/web")
    kubelet.do(lambda kubelet: kubelet.behave("default", "web", evicted()))
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT_S = 60.0


class Background(Generic[T]):
    """An asynchronous context as a plain one; what it was entered as is reached by `do`, or looked at as `it`."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._entered: list[T] = []

    @property
    def it(self) -> T:
        """What runs there."""
        return self._entered[0]

    def do(self, ask: Callable[[T], Awaitable[R]]) -> R:
        """Have its loop carry something out, and return what came of it."""

        async def asked() -> R:
            return await ask(self.it)

        return self._run(asked())

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._entered.append(self._run(self._context.__aenter__()))
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._context.__aexit__(None, None, None))
        finally:
            self._end_loop()

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    def _end_loop(self) -> None:
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()
