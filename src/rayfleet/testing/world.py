"""A whole pretend cluster on virtual time: place, engine and ledger that outlive the controllers that come and go.

async def story() -> None:
    world = World(Policy(pools=(cpu4,), idle_timeout_s=5))
    world.engine.submit(Resources.of({"CPU": 1}), count=15, run_s=3)
    async with world.controller():
        await world.until(lambda: world.engine.done == 15)
        await world.until(lambda: not world.place.existing())
run_virtual(story())
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import EngineSink, Parts, Reconciler
from rayfleet.model import Claim, Finding, Plan, Policy, Snapshot
from rayfleet.planner import plan
from rayfleet.planner.invariants import check
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.faults import FakeSink, FaultyLedger
from rayfleet.testing.virtual_time import VirtualClock

_LOOK_AGAIN_S = 0.05


class World:
    """One cluster. `parts` is what a controller is made from; `history` has what the controllers reported.

    Every plan is checked; a broken invariant (`broken`) fails the block in which its controller ran.
    """

    def __init__(self, policy: Policy, *, boot_s: float = 2.0, join_s: float = 1.0, stop_s: float = 0.2) -> None:
        """Make an empty cluster whose machines take `boot_s` to run, nodes `join_s` to join, releases `stop_s`."""
        self.clock = VirtualClock()
        self.place = FakePlace(self.clock, boot_s=boot_s, stop_s=stop_s)
        self.provider = FakeProvider(self.place)
        pools = {pool.name: pool for pool in (*policy.pools, *((policy.head,) if policy.head else ()))}
        self.engine = FakeEngine(
            self.clock, pools, self.place.listed, join_s=join_s, needs_head=policy.head is not None
        )
        self.memory = MemoryLedger()
        self.ledger = FaultyLedger(self.memory)
        self.history = FakeSink("history")
        self.broken: list[Finding] = []
        self.parts = Parts(
            cluster="world",
            policy=policy,
            providers={"fake": self.provider},
            engine=self.engine,
            ledger=self.ledger,
            plan=plan,
            sinks=(self.history, EngineSink(self.engine)),
            clock=self.clock,
            check=self._check,
            standby={"fake": self.provider},
        )

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return what the ledger holds."""
        return self.memory.record.claims

    @asynccontextmanager
    async def controller(self, **changes: Any) -> AsyncIterator[Reconciler]:
        """Run a Reconciler inside the block, made from `parts` with `changes`; its failure is the block's."""
        reconciler = Reconciler(replace(self.parts, **changes))
        running = asyncio.create_task(reconciler.run())
        try:
            yield reconciler
            if running.done():
                await running
        finally:
            running.cancel()
            await asyncio.wait({running})
        assert not self.broken, [f"{finding.subject}: {finding.reason.text}" for finding in self.broken]

    def _check(self, snapshot: Snapshot, plan: Plan) -> tuple[Finding, ...]:
        found = check(snapshot, plan)
        self.broken += found
        return found

    async def until(self, happened: Callable[[], object], within_s: float = 600.0) -> float:
        """Let time pass until `happened` and return how long that took; AssertionError after `within_s`."""
        began = self.clock.now()
        while not happened():
            assert self.clock.now() - began < within_s, f"it did not happen within {within_s:g} s"
            await asyncio.sleep(_LOOK_AGAIN_S)
        return self.clock.now() - began
