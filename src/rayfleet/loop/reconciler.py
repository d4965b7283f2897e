"""The control loop: tick; sleep until the interval has passed or something wakes it.

One tick is four calls: observe -> plan -> act -> report. Whatever was unexpected in it fails that tick
loudly, with its report saved, and the next one runs.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from rayfleet.contracts import LedgerUnavailable, Provider, Record
from rayfleet.loop.act import Acted, Actor, Inbox
from rayfleet.loop.deadlines import next_deadline
from rayfleet.loop.fanout import Fanout
from rayfleet.loop.observe import Observer, Sight
from rayfleet.loop.parts import Parts
from rayfleet.loop.watch import kept_up, watch_engine, watch_orders, watch_provider
from rayfleet.model import OrderKind, Plan, Policy, Snapshot, TickReport, Timings
from rayfleet.planner.orders import effective_policy

log = structlog.get_logger()

_TRIES_WITH_OUTCOMES = 3


class Reconciler:
    """Keeps one cluster as its policy and its work want it.

    `tick()` may be called by itself (tests, simulations); `run()` ticks until told to stop or until an order to shut
    down is done. One Reconciler at a time per ledger.
    """

    def __init__(self, parts: Parts) -> None:
        """Take the edges; no I/O yet. ValueError without a provider."""
        if not parts.providers:
            raise ValueError("a cluster needs at least one provider")
        self.policy: Policy = parts.policy
        self.fanout = Fanout(parts.sinks)
        self.woken_by: Counter[str] = Counter()
        self._parts = parts
        self._clock = parts.clock
        self._inbox = Inbox(self.wake)
        self._observer = Observer(parts, self._inbox)
        self._actor = Actor(parts, self._inbox)
        self._ticks = 0
        self._failed_ticks = 0  # in a row
        self._woken = asyncio.Event()
        self._wake_at: float | None = None

    # ---- one tick -------------------------------------------------------------------------------------

    async def tick(self) -> TickReport:
        """Observe, plan, act, report once. Expected troubles and unexpected errors are in the report."""
        began = self._clock.now()
        sight, plan, acted = None, Plan(), Acted()
        timings, error = Timings(), ""
        try:
            sight = await self._observer.observe(self.policy)
            timings = replace(timings, observe_s=self._clock.now() - began, seen_at=sight.seen_at)
            if sight.held is not None:
                plan = await self._planned(sight.snapshot)
                timings = replace(timings, plan_s=self._clock.now() - began - timings.observe_s)
                acted = await self._actor.act(sight.snapshot, plan, sight.held)
        except Exception:
            error = traceback.format_exc()
            log.exception("tick_failed", cluster=self._parts.cluster)
        self._settle(sight, acted, failed=bool(error))
        before_act_s = timings.observe_s + timings.plan_s
        timings = replace(timings, act_s=self._clock.now() - began - before_act_s, acted_at=acted.acted_at)
        return await self._report(sight, plan, timings, error, acted)

    async def _planned(self, snapshot: Snapshot) -> Plan:
        """Plan here and now, or wait for one's turn in the thread that several clusters share."""
        if self._parts.planning is None:
            return self._plan(snapshot)
        return await asyncio.get_running_loop().run_in_executor(self._parts.planning, self._plan, snapshot)

    def _plan(self, snapshot: Snapshot) -> Plan:
        plan = self._parts.plan(snapshot)
        if self._parts.check is not None:
            for finding in self._parts.check(snapshot, plan):
                log.error("invariant_broken", subject=finding.subject, reason=finding.reason.text)
        return plan

    def _settle(self, sight: Sight | None, acted: Acted, *, failed: bool) -> None:
        """Forget outcomes that the ledger now remembers, keep the others; list again what a call has changed.

        Outcomes over which plan after plan fails are dropped: the facts of the next snapshots say the same more slowly.
        """
        self._failed_ticks = self._failed_ticks + 1 if failed else 0
        if acted.held is not None:
            self._observer.remember(acted.held)
        outcomes = sight.snapshot.outcomes if sight else ()
        if outcomes and self._failed_ticks > _TRIES_WITH_OUTCOMES:
            log.error("outcomes_dropped", outcomes=[str(outcome) for outcome in outcomes])
        elif not acted.saved:
            self._inbox.put_back(outcomes)
        if outcomes:
            self._observer.expire_listings()

    async def _report(self, sight: Sight | None, plan: Plan, timings: Timings, error: str, acted: Acted) -> TickReport:
        self._ticks += 1
        snapshot = sight.snapshot if sight else Snapshot(now=self._clock.now(), policy=self.policy, engine_up=False)
        troubles = (*(sight.troubles if sight else ()), *acted.troubles)
        report = TickReport(self._ticks, self._parts.cluster, snapshot, plan, timings, error, troubles, acted.saved)
        await self.fanout.write(report)
        return report

    # ---- the loop -------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Tick until `stop` is set, or until an order to shut down stands and nothing of ours is left.

        In the latter case the ledger is empty when this returns. On stop, calls under way are waited for a moment;
        machines stay and the next Reconciler on the same ledger goes on with them.
        """
        stop = stop or asyncio.Event()
        async with self._watching(stop):
            while not stop.is_set():
                self._woken.clear()
                self._wake_at = None
                began = asyncio.get_running_loop().time()
                report = await self.tick()
                if self._is_over(report) and await self._clean_ledger(report):
                    return
                if report.saved and _lost_the_last_machine(report):
                    self.wake("the last machine is gone")  # a shutdown may be over, and somebody waits for it
                await self._sleep(report, began)

    def wake(self, why: str, within_s: float = 0.0) -> None:
        """Have the next tick in `within_s` seconds at the latest. `why`, in a word, is counted in `woken_by`."""
        self.woken_by[why] += 1
        at = asyncio.get_running_loop().time() + within_s
        self._wake_at = at if self._wake_at is None else min(self._wake_at, at)
        self._woken.set()

    async def close(self) -> None:
        """End all tasks of the loop. The parts stay open: who made them closes them (`close_parts`)."""
        patience_s = self._parts.cadence.close_patience_s
        await self._actor.close(patience_s)
        await self._observer.close()
        await self.fanout.close(patience_s)

    async def _sleep(self, report: TickReport, began: float) -> None:
        """Wait for the interval, the next time-out or a wake-up, and never so briefly that the loop spins.

        `began` and all that is compared with it are of the event loop's clock: the machine's may be set at any moment.
        """
        cadence, ended = self._parts.cadence, asyncio.get_running_loop().time()
        timings = report.timings
        breather_s = min(2 * (timings.observe_s + timings.plan_s + timings.act_s), cadence.breather_max_s)
        gap_s = cadence.error_gap_s if report.error else max(cadence.gap_s, breather_s)
        earliest, latest = ended + gap_s, began + cadence.tick_s
        if not report.error:
            deadline = next_deadline(effective_policy(report.snapshot), report.plan, report.snapshot.now)
            latest = latest if deadline is None else min(latest, ended + deadline - self._clock.now())
        while True:
            at = max(earliest, latest if self._wake_at is None else min(latest, self._wake_at))
            self._woken.clear()
            # Not `wait_for`: before Python 3.12 that one can swallow the cancellation of its own task.
            try:
                async with asyncio.timeout_at(at):
                    await self._woken.wait()
            except TimeoutError:
                return

    @asynccontextmanager
    async def _watching(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Run the watchers beside the loop; end them, and the calls under way, with it."""
        observer, parts, cadence = self._observer, self._parts, self._parts.cadence
        watchers = [
            partial(watch_engine, observer.engine, cadence, self.wake, observer.heard),
            partial(watch_orders, parts.ledger, cadence.orders_s, self.wake),
            *(
                partial(watch_provider, poller, partial(_interval, parts.providers[name]), self.wake)
                for name, poller in observer.listings.items()
            ),
        ]
        tasks = [asyncio.create_task(kept_up(watcher, cadence.error_gap_s)) for watcher in watchers]
        tasks.append(asyncio.create_task(self._await_stop(stop)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()

    async def _await_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake("stop")

    # ---- shutdown -------------------------------------------------------------------------------------

    def _is_over(self, report: TickReport) -> bool:
        """Say whether a shutdown is ordered and done: no claim, no call, and every provider lists nothing."""
        snapshot = report.snapshot
        ordered = any(order.kind is OrderKind.SHUTDOWN for order in snapshot.orders)
        ours = [claim for claim in (*snapshot.claims, *report.plan.claims) if not claim.foreign]
        nothing_listed = all(poller.value == () for poller in self._observer.listings.values())
        return ordered and nothing_listed and not ours and not self._actor.busy and not report.error

    async def _clean_ledger(self, report: TickReport) -> bool:
        """Empty the ledger; False when it cannot be written now."""
        orders = tuple(order.id for order in report.snapshot.orders)
        try:
            record = Record(serial=report.plan.serial, spent=report.plan.spent)
            await self._parts.ledger.save(record, answered=orders)
        except LedgerUnavailable as error:
            log.warning("ledger_unavailable", error=str(error))
            return False
        return True


def _interval(provider: Provider) -> float:
    return provider.list_interval_s


def _lost_the_last_machine(report: TickReport) -> bool:
    return not report.plan.claims and any(not claim.foreign for claim in report.snapshot.claims)
