"""The fourth word: every report to every sink, and no sink can slow the loop.

The first sink (the history) is waited for: what was decided is on record before the next tick. Each
other one has a queue and a task of its own; when it is too slow the oldest reports are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from rayfleet.contracts import Engine, Sink
from rayfleet.model import TickReport

log = structlog.get_logger()

QUEUE_LENGTH = 64


class Fanout:
    """Hands reports on. `dropped` and `failed` count per sink name."""

    def __init__(self, sinks: tuple[Sink, ...], queue_length: int = QUEUE_LENGTH) -> None:
        """Write to `sinks`; the first is waited for."""
        self.dropped = {sink.name: 0 for sink in sinks}
        self.failed = {sink.name: 0 for sink in sinks}
        self._first = sinks[:1]
        self._lanes = [_Lane(sink, self, queue_length) for sink in sinks[1:]]
        self._ailing: set[str] = set()

    async def write(self, report: TickReport) -> None:
        """Write to the first sink, queue for the others."""
        for sink in self._first:
            await self.deliver(sink, report)
        for lane in self._lanes:
            lane.put(report)

    async def deliver(self, sink: Sink, report: TickReport) -> None:
        """Write one report to one sink; a failure is counted, and logged when it is the first in a row."""
        try:
            await sink.write(report)
        except Exception as error:  # noqa: BLE001 - a sink may fail in any way; none may stop the loop
            self.failed[sink.name] += 1
            if sink.name not in self._ailing:
                log.warning("sink_failed", sink=sink.name, error=str(error), kind=type(error).__name__)
            self._ailing.add(sink.name)
        else:
            self._ailing.discard(sink.name)

    async def close(self, patience_s: float) -> None:
        """Write what is queued, for at most `patience_s`, then end. Sinks stay open: who made them closes them."""
        await asyncio.gather(*(lane.close(patience_s) for lane in self._lanes))


class _Lane:
    """One sink's queue and the task that empties it."""

    def __init__(self, sink: Sink, fanout: Fanout, length: int) -> None:
        self._sink = sink
        self._fanout = fanout
        self._queue: deque[TickReport] = deque(maxlen=length)
        self._task: asyncio.Task[None] | None = None

    def put(self, report: TickReport) -> None:
        if len(self._queue) == self._queue.maxlen:
            self._fanout.dropped[self._sink.name] += 1
        self._queue.append(report)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name=f"sink {self._sink.name}")

    async def _drain(self) -> None:
        while self._queue:
            await self._fanout.deliver(self._sink, self._queue.popleft())

    async def close(self, patience_s: float) -> None:
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_s)
            self._task.cancel()
            await asyncio.wait({self._task})


class EngineSink:
    """Shows reports in Ray's own status: the engine's `publish` as a sink."""

    name = "engine"

    def __init__(self, engine: Engine) -> None:
        """Publish to `engine`, which its maker closes."""
        self._engine = engine

    async def write(self, report: TickReport) -> None:
        """Publish one report; not while the engine is away, which the report says already."""
        if report.snapshot.engine_up:
            await self._engine.publish(report)

    async def close(self) -> None:
        """Nothing of its own to let go of."""
