"""A pretend cluster on real time: the loop and its exporter are real, the place and Ray behind it are made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Parts, Reconciler
from rayfleet.loop.clock import SystemClock
from rayfleet.loop.parts import Cadence
from rayfleet.model import Plan, Policy, Pool, Resources, Snapshot, Timeouts
from rayfleet.planner import plan
from rayfleet.reports.metrics.endpoint import Endpoint, serve
from rayfleet.reports.metrics.sink import About, Metrics
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.faults import FakeSink, FaultyLedger

QUICK = Timeouts(visibility_timeout_s=0.2, flaky_first_s=0.2, backoff_max_s=60.0, settle_s=0.1, drain_retry_s=0.5)
CPU = Resources.of({"CPU": 1})


@dataclass
class Pretended:
    """One cluster: what can be made to fail, and where its figures are."""

    place: FakePlace
    provider: FakeProvider
    engine: FakeEngine
    ledger: FaultyLedger
    endpoint: Endpoint
    running: asyncio.Task[None]
    raises: list[str] = field(default_factory=list)

    async def stand_still(self) -> None:
        """End the loop; its figures stay where they are."""
        self.running.cancel()
        await asyncio.wait({self.running})


@asynccontextmanager
async def pretended(name: str, pool: Pool, timeouts: Timeouts = QUICK, **policy: Any) -> AsyncIterator[Pretended]:
    """Run a cluster with one pool until left; fields of Policy may be given."""
    clock = SystemClock()
    place = FakePlace(clock)
    provider = FakeProvider(place, list_interval_s=0.1)
    engine = FakeEngine(clock, {pool.name: pool}, place.listed)
    engine.join_by_hand("head", Resources.of({}), head=True)
    ledger, metrics = FaultyLedger(MemoryLedger()), Metrics(About(name, "tests", "fake", "0"), lambda: "session_1")
    raises: list[str] = []

    def decided(snapshot: Snapshot) -> Plan:
        if raises:
            raise RuntimeError(raises[0])
        return plan(snapshot)

    settled = Policy(pools=(pool,), timeouts=timeouts, idle_timeout_s=0.3)
    parts = Parts(
        cluster=name,
        policy=replace(settled, **policy),
        providers={"fake": provider},
        engine=engine,
        ledger=ledger,
        plan=decided,
        sinks=(FakeSink("history"), metrics),
        clock=clock,
        cadence=Cadence(tick_s=0.5, error_gap_s=0.2),
    )
    endpoint = serve(metrics.registry, "127.0.0.1", 0)
    running = asyncio.create_task(Reconciler(parts).run())
    found = Pretended(place, provider, engine, ledger, endpoint, running, raises)
    try:
        yield found
    finally:
        await found.stand_still()
        await endpoint.close()
