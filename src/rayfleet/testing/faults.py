"""Faults for the loop's other edges: a ledger on a full disk, a slow or broken sink, a controller that is killed.

`Life` counts the steps of one controller: every call to an edge is two (before it has an effect, and after). When the
steps are used up, that call and every later one hang for ever, as those of a killed process would. What
is left - ledger, machines, nodes - is what the next controller finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from rayfleet.contracts import (
    Engine,
    EngineView,
    KeepsStandby,
    LaunchRequest,
    Ledger,
    LedgerUnavailable,
    Machine,
    Provider,
    Record,
    StartScript,
)
from rayfleet.loop import Parts
from rayfleet.model import Order, Pool, StandbyMode, TickReport

T = TypeVar("T")


@dataclass(slots=True)
class FaultyLedger:
    """A ledger whose reading or writing fails while `read_error` or `write_error` says why."""

    inner: Ledger
    read_error: str = ""
    write_error: str = ""

    async def load(self) -> Record:
        """Load, or fail."""
        if self.read_error:
            raise LedgerUnavailable(self.read_error)
        return await self.inner.load()

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        """Save, or fail without a change."""
        if self.write_error:
            raise LedgerUnavailable(self.write_error)
        await self.inner.save(record, answered=answered)

    async def add_order(self, order: Order) -> None:
        """Add, or fail without a change."""
        if self.write_error:
            raise LedgerUnavailable(self.write_error)
        await self.inner.add_order(order)

    async def close(self) -> None:
        """Close the inner one."""
        await self.inner.close()


@dataclass(slots=True)
class FakeSink:
    """Remembers reports; takes `write_s` for each, and fails while `error` is set."""

    name: str = "fake"
    write_s: float = 0.0
    error: Exception | None = None
    reports: list[TickReport] = field(default_factory=list)
    closed: bool = False

    async def write(self, report: TickReport) -> None:
        """Take its time, then remember or fail."""
        await asyncio.sleep(self.write_s)
        if self.error is not None:
            raise self.error
        self.reports.append(report)

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


@dataclass(slots=True)
class Life:
    """A controller's life of `steps` steps. `ended` is set when they are used up."""

    steps: int
    taken: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def step(self) -> None:
        """Take one step; hang for ever when there is none left."""
        if self.taken >= self.steps:
            self.ended.set()
            await asyncio.Event().wait()
        self.taken += 1
        await asyncio.sleep(0)

    async def around(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be the last."""
        await self.step()
        result = await call()
        await self.step()
        return result

    def bind(self, parts: Parts) -> Parts:
        """Return parts whose every call takes steps of this life."""
        providers = {name: _MortalProvider(provider, self) for name, provider in parts.providers.items()}
        engine, ledger = _MortalEngine(parts.engine, self), _MortalLedger(parts.ledger, self)
        standby = {name: _MortalKeeper(keeper, self) for name, keeper in parts.standby.items()}
        return replace(parts, providers=providers, engine=engine, ledger=ledger, standby=standby)


@dataclass(slots=True)
class _MortalLedger:
    inner: Ledger
    life: Life

    async def load(self) -> Record:
        return await self.life.around(self.inner.load)

    async def save(self, record: Record, *, answered: tuple[str, ...] = ()) -> None:
        await self.life.around(lambda: self.inner.save(record, answered=answered))

    async def add_order(self, order: Order) -> None:
        await self.life.around(lambda: self.inner.add_order(order))

    async def close(self) -> None:
        await self.inner.close()


@dataclass(slots=True)
class _MortalProvider:
    inner: Provider
    life: Life

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def list_interval_s(self) -> float:
        return self.inner.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        return await self.life.around(self.inner.list)

    async def launch(self, request: LaunchRequest) -> None:
        await self.life.around(lambda: self.inner.launch(request))

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        await self.life.around(lambda: self.inner.release(machine_ids))

    async def close(self) -> None:
        await self.inner.close()


@dataclass(slots=True)
class _MortalKeeper:
    inner: KeepsStandby
    life: Life

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        await self.life.around(lambda: self.inner.prepare(request, mode))

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        await self.life.around(lambda: self.inner.stop(machine_ids, mode))

    async def start(self, request: LaunchRequest) -> None:
        await self.life.around(lambda: self.inner.start(request))


@dataclass(slots=True)
class _MortalEngine:
    inner: Engine
    life: Life

    async def look(self) -> EngineView:
        return await self.inner.look()  # only looks: being killed in it is being killed before the next step

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        await self.life.around(lambda: self.inner.drain(node_id, deadline, reason, voluntary=voluntary))

    async def publish(self, report: TickReport) -> None:
        await self.inner.publish(report)

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        return self.inner.start_script(pool, head=head)

    async def close(self) -> None:
        await self.inner.close()
