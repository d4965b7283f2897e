"""A bounded queue and a task for each receiver: none holds up the loop, the sink or another receiver."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

import structlog

from rayfleet.reports.alerts.message import Message
from rayfleet.reports.alerts.receiver import NotDelivered, Receiver

log = structlog.get_logger()

QUEUE_LENGTH: Final = 32
TRY_S: Final = 30.0
"""Whoever has not taken a message after so long is taken not to."""
WAITS_S: Final = (0.0, 2.0, 10.0, 60.0, 300.0)
"""Before each try."""


class Outbox:
    """Hands messages on. `delivered`, `failed` and `dropped` count messages per receiver, by its label."""

    def __init__(self, receivers: Iterable[Receiver], waits_s: tuple[float, ...] = WAITS_S) -> None:
        """Tell these, each message at most `len(waits_s)` times."""
        self._lanes = [_Lane(receiver, self, waits_s) for receiver in receivers]
        labels = [lane.label for lane in self._lanes]
        self.delivered, self.failed, self.dropped = (
            dict.fromkeys(labels, 0),
            dict.fromkeys(labels, 0),
            dict.fromkeys(labels, 0),
        )
        self.errors: dict[str, str] = {}

    def put(self, message: Message) -> None:
        """Queue a message for everybody; where a queue is full its oldest is dropped."""
        for lane in self._lanes:
            lane.put(message)

    async def close(self, patience_s: float) -> None:
        """Go on for at most `patience_s`, then end; what is still queued then counts as dropped."""
        await asyncio.gather(*(lane.close(patience_s) for lane in self._lanes))


class _Lane:
    def __init__(self, receiver: Receiver, outbox: Outbox, waits_s: tuple[float, ...]) -> None:
        self.label = receiver.label
        self._receiver = receiver
        self._outbox = outbox
        self._waits_s = waits_s
        self._queue: deque[Message] = deque(maxlen=QUEUE_LENGTH)
        self._task: asyncio.Task[None] | None = None

    def put(self, message: Message) -> None:
        if len(self._queue) == self._queue.maxlen:
            self._drop(1)
        self._queue.append(message)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name=f"alerts to {self.label}")

    async def close(self, patience_s: float) -> None:
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=patience_s)
        if late:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._drop(len(self._queue))

    def _drop(self, count: int) -> None:
        self._outbox.dropped[self.label] += count
        log.warning("alerts_dropped", receiver=self.label, count=count)

    async def _drain(self) -> None:
        while self._queue:
            message = self._queue[0]
            error = await self._told(message)
            if self._queue and self._queue[0] is message:  # it may have been dropped meanwhile
                self._queue.popleft()
            if error is None:
                self._outbox.delivered[self.label] += 1
                self._outbox.errors.pop(self.label, None)
                continue
            self._outbox.failed[self.label] += 1
            self._outbox.errors[self.label] = str(error)
            log.warning("alert_not_delivered", receiver=self.label, error=str(error))

    async def _told(self, message: Message) -> NotDelivered | None:
        """Tell the receiver, some times; return the last error, None when it was told."""
        error: NotDelivered | None = None
        for wait_s in self._waits_s:
            await asyncio.sleep(wait_s)
            error = await tried(self._receiver, message)
            if error is None or not error.again:
                break
        return error


async def tried(receiver: Receiver, message: Message, within_s: float = TRY_S) -> NotDelivered | None:
    """Tell a receiver once; return why that failed, None when it did not."""
    try:
        async with asyncio.timeout(within_s):
            await receiver.send(message)
    except NotDelivered as error:
        return error
    except TimeoutError:
        return NotDelivered(f"it did not answer within {within_s:g} s")
    return None
