"""One tick of the loop with a thousand settled machines, beside one reconcile of Ray's autoscaler with as many nodes.

The whole loop runs - observe, join, plan, check of invariants, act, report - over rayfleet's fakes on virtual time,
with 1,000 and 10,000 claims of which nine in ten are busy; the engine's answer is made once, as the peer's is.
Processor time of one `tick()`, median. Another figure has the real ledger and history (SQLite) as in production. The
peer is Ray v2's `Reconciler.reconcile` with its own instance manager and in-memory storage over 1,000 nodes in the same
state, and a provider that has nothing to do; its processor time, median. Neither side parses protobufs.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.effort import Effort
from benchmarks.figures import Figure, Goal, Measured
from rayfleet.contracts import EngineView
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.loop import Parts, Reconciler, close_parts
from rayfleet.model import Demand, Phase, Policy, Pool, Resources, TaskDemand
from rayfleet.reports.history import History
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CLAIMS, MANY = 1_000, 10_000
TICK_S, MANY_S = 0.010, 0.100
_WARM_UP = 3
_CPUS = Resources.of({"CPU": 4})
_PENDING = Demand(tasks=(TaskDemand(Resources.of({"CPU": 1}), 100),))


class StillEngine(FakeEngine):
    """A pretend Ray that always gives the same answer, so that making it costs nothing while others are measured."""

    answer: EngineView | None = None

    async def look(self) -> EngineView:
        """Return the answer, received just now."""
        if self.answer is None:
            return await super().look()
        return replace(self.answer, received_at=self.clock.now())


def measure(effort: Effort, folder: Path) -> Measured:
    """Measure it."""
    calls = 5 * effort.calls
    samples = {
        "tick_s": run_virtual(_ticks(calls, Demand())),
        "tick_many_s": run_virtual(_ticks(calls, Demand(), claims=MANY)),
        "tick_with_files_s": run_virtual(_ticks(calls, Demand(), folder)),
        "tick_100_pending_s": run_virtual(_ticks(calls, _PENDING)),
        "ray_reconcile_s": _reconciles(effort.calls, pending=0),
        "ray_reconcile_100_pending_s": _reconciles(1, pending=100),
    }
    middle = {name: median(seconds) for name, seconds in samples.items()}
    peer, peer_pending = middle["ray_reconcile_s"], middle["ray_reconcile_100_pending_s"]
    return Measured(
        (
            Figure("tick, 1,000 claims, nothing to do", "CPU s", middle["tick_s"], peer, "Ray v2", goal=Goal(TICK_S)),
            Figure("the same, 10,000 claims", "CPU s", middle["tick_many_s"], goal=Goal(MANY_S)),
            Figure(
                "1,000 claims, with ledger and history in files", "CPU s", middle["tick_with_files_s"], peer, "Ray v2"
            ),
            Figure("tick, 1,000 claims, 100 tasks wait", "CPU s", middle["tick_100_pending_s"], peer_pending, "Ray v2"),
        ),
        samples,
    )


async def _ticks(calls: int, pending: Demand, folder: Path | None = None, claims: int = CLAIMS) -> list[float]:
    """Return the processor seconds of each of `calls` ticks of a settled cluster. `folder`: for real files."""
    parts = await _settled(pending, claims)
    if folder is not None:
        record = await parts.ledger.load()
        parts = replace(parts, sinks=(History(folder / "history"),), ledger=SqliteLedger(folder / "ledger"))
        await parts.ledger.save(record)
    reconciler = Reconciler(parts)
    seconds = [await _one_tick(reconciler, parts.cadence.tick_s, claims) for _ in range(_WARM_UP + calls)]
    await reconciler.close()
    await close_parts(parts)
    return seconds[_WARM_UP:]


async def _settled(pending: Demand, claims: int) -> Parts:
    """Return the parts of a cluster that has all its machines, nine in ten of them busy."""
    world = World(Policy(pools=(Pool("cpu4", _CPUS, min_workers=claims),)))
    async with world.controller():
        await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == claims)
    view = await world.engine.look()
    nodes = tuple(
        replace(node, available=Resources(), idle_s=0.0, activity=("runs tasks",)) if number % 10 else node
        for number, node in enumerate(view.nodes)
    )
    still = StillEngine(world.clock, world.engine.pools, world.place.listed)
    still.answer = replace(view, nodes=nodes, demand=pending)
    return replace(world.parts, engine=still, sinks=())


async def _one_tick(reconciler: Reconciler, after_s: float, claims: int) -> float:
    await asyncio.sleep(after_s)
    gc.collect()
    began = time.process_time()
    report = await reconciler.tick()
    took_s = time.process_time() - began
    if report.error or len(report.snapshot.claims) != claims or report.plan.actions:
        raise RuntimeError(f"that was no quiet tick over {claims} claims: {report.error} {report.plan.actions[:3]}")
    return took_s


def _reconciles(calls: int, pending: int) -> list[float]:
    """Return the processor seconds of each of Ray's reconciles over as many nodes in the same state."""
    from benchmarks.stock_planner import StockTick

    peer = StockTick(CLAIMS, pending=pending)
    seconds = []
    for _ in range(calls):
        gc.collect()
        began = time.process_time()
        peer.reconcile()
        seconds.append(time.process_time() - began)
    return seconds
