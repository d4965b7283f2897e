"""The newest answer of one edge: asked in the background, shared by all who want to know.

A slow or silent edge never holds up a tick: who asks waits for as long as it has patience, and the
question goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from rayfleet.contracts import Clock

T = TypeVar("T")
log = structlog.get_logger()


class Poller(Generic[T]):
    """Keeps the answer to one question.

    `value`: the newest answer, None when the last attempt failed or none was made. `asked_at`: when the newest
    good answer was asked for (what it says holds at that time or later). `tried_at`: when the last
    attempt began, by the event loop's clock, which nobody sets back. `trouble`: why the last attempt failed, "" when
    it did not.
    """

    def __init__(self, name: str, call: Callable[[], Awaitable[T]], clock: Clock, expected: type[Exception]) -> None:
        """Ask by `call`; errors of type `expected` belong to its contract, others are logged as faults."""
        self.name = name
        self.value: T | None = None
        self.asked_at: float | None = None
        self.tried_at: float | None = None
        self.trouble = ""
        self._call = call
        self._clock = clock
        self._expected = expected
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, patience_s: float | None = None, late: Callable[[], None] | None = None) -> None:
        """Ask, or join the question that is already under way; wait at most `patience_s` for the answer.

        `late` is called when another answer than the last one comes after that.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name=f"ask {self.name}")
        asking, before = self._asking, self.value
        _, unanswered = await asyncio.wait({asking}, timeout=patience_s)
        if unanswered and late is not None:
            asking.add_done_callback(lambda _: late() if self.value != before else None)

    def due(self, interval_s: float) -> bool:
        """Say whether the last attempt is at least `interval_s` old."""
        return self.tried_at is None or asyncio.get_running_loop().time() - self.tried_at >= interval_s

    @property
    def unanswered(self) -> bool:
        """Say whether no attempt has ended yet, well or badly."""
        return self.asked_at is None and not self.trouble

    async def close(self) -> None:
        """Give up the question that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> None:
        began, self.tried_at = self._clock.now(), asyncio.get_running_loop().time()
        try:
            answer = await self._call()
        except self._expected as error:
            self.value, self.trouble = None, f"{self.name}: {error}"
        except Exception as error:
            log.exception("unexpected_error", edge=self.name)
            self.value, self.trouble = None, f"{self.name}: unexpected {type(error).__name__}: {error}"
        else:
            self.value, self.asked_at, self.trouble = answer, began, ""
        finally:
            self._asking = None
