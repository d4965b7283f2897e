"""Drives the production loop over the pretend world on virtual time, and calls `tick()` whenever it could matter.

A tick comes every `tick_s` seconds, as in production, while anything changes. It is skipped while nothing has: no other
demand or nodes, no other listing, no call under way or just ended, no time-out passed, and the last tick did nothing.
That changes no decision, which a test shows by running every tick; it makes a quiet week a matter of seconds.
"""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Cadence, Parts, Reconciler
from rayfleet.loop.deadlines import next_deadline
from rayfleet.model import EXISTING, Claim, Finding, How, Phase, Plan, Policy, Snapshot, TickReport
from rayfleet.planner import plan as own_plan
from rayfleet.planner.invariants import check
from rayfleet.planner.orders import effective_policy
from rayfleet.planner.resting import is_at_rest
from rayfleet.simulator.agenda import NEVER, Agenda
from rayfleet.simulator.bill import Bill
from rayfleet.simulator.chance import generator
from rayfleet.simulator.cluster import Cluster
from rayfleet.simulator.place import Doors, PlaceCounts
from rayfleet.simulator.resting import RestingPlace
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.tally import Tally
from rayfleet.simulator.trace import Trace
from rayfleet.testing.virtual_time import VirtualClock, run_virtual

USED_CHANGES_S: Final = 60.0
"""While only used amounts change, a tick comes so often ..."""
QUIET_S: Final = 300.0
"""... and so often while nothing changes at all."""
OVERTIME_S: Final = 86_400.0
"""So long after the last work has come and could have run, what still waits is given up."""

_DAY_S: Final = 86_400.0
_COLLECT_AFTER: Final = 200_000

Planner = Callable[[Snapshot], Plan]


@dataclass(frozen=True, slots=True)
class Setting:
    """One simulation. `planner` makes a fresh decision function (a peer's, say); None: the production planner.

    `until_s`: where it ends although work is left; None: when all is done and everything idle has left.
    `every_tick`: skip none. `checked`: look for broken invariants in every plan. `reports`: is told of
    every tick.
    """

    name: str
    policy: Policy
    trace: Trace
    scene: Scene = Scene()
    seed: int = 0
    tick_s: float = 5.0
    planner: Callable[[], Planner] | None = None
    until_s: float | None = None
    every_tick: bool = False
    checked: bool = False
    reports: Callable[[TickReport], None] | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of it. `left`: tasks and bundles that are not done; `machines_left`: machines at the end."""

    setting: Setting
    tally: Tally
    counts: PlaceCounts
    end_s: float
    left: int
    machines_left: int
    claims_left: int
    problems: tuple[str, ...] = ()


def run(setting: Setting, progress: Callable[[float], None] = lambda _: None) -> Ran:
    """Simulate; the same setting gives the same result, to the last bit. `progress` is told the virtual seconds."""
    with _few_collections():
        return run_virtual(_Simulation(setting, progress).run())


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cycles of garbage rarely: traces are millions of objects, and hardly any garbage here is in a cycle."""
    before = gc.get_threshold()
    ours = not gc.get_freeze_count()  # what the whole program has put aside stays so
    if ours:
        gc.collect()
        gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if ours:
            gc.unfreeze()


def _is_settled(claim: Claim) -> bool:
    """Say whether a claim may stay as it is for ever: at work, or at rest on standby."""
    return claim.phase is Phase.READY or is_at_rest(claim)


class _Simulation:
    """One run. Only usable on the virtual loop, where it is made too late for nothing to have happened."""

    def __init__(self, setting: Setting, progress: Callable[[float], None]) -> None:
        self.setting = setting
        self.progress = progress
        self.broken: dict[str, None] = {}
        self.clock = VirtualClock()

    async def run(self) -> Ran:
        """Let the world and the loop go on until the end."""
        self._build()
        began, at, limit_s = self.clock.now(), self.clock.now(), self._limit_s()
        while True:
            self.agenda.advance(at)
            if self._due(at):
                await self._tick()
            at = self._next(at)
            if at == NEVER or at - began > limit_s:
                break
            await asyncio.sleep(at - self.clock.now())
        return await self._ended(began)

    def _build(self) -> None:
        setting, now = self.setting, self.clock.now()
        self.began = now
        self.agenda = Agenda(now)
        self.cluster = Cluster(self.clock, self.agenda, setting.policy, setting.scene, setting.seed)
        self.tally = self.cluster.tally
        self.bill = Bill(self.tally, setting.scene.bill_least_s)
        doors = Doors(
            made=self.bill.made,
            joins=self.cluster.joins,
            dies=self.cluster.dies,
            released=lambda machine: self.bill.released(machine, self.agenda.now),
            ended=self.cluster.machine_ended,
            rests=lambda machine: self.bill.rests(machine, self.agenda.now),
            resumes=lambda machine: self.bill.resumes(machine, self.agenda.now),
        )
        self.place = RestingPlace(self.clock, self.agenda, setting.scene, setting.seed, doors)
        self.ledger = MemoryLedger()
        self.reconciler = Reconciler(self._parts())
        self.cluster.begin(setting.trace)
        self.report: TickReport | None = None
        self.seen: tuple[int, int] = (-1, -1)
        self.woken = -1
        self.ticked_at = float("-inf")
        self.timeout_at = NEVER
        self.restarts = generator(setting.seed, "restarts")
        self.restart_at = now

    def _parts(self) -> Parts:
        setting = self.setting
        return Parts(
            cluster="simulated",
            policy=setting.policy,
            providers={self.place.name: self.place},
            engine=self.cluster,
            ledger=self.ledger,
            plan=own_plan if setting.planner is None else setting.planner(),
            clock=self.clock,
            standby={self.place.name: self.place},
            cadence=Cadence(tick_s=setting.tick_s),
            check=self._check if setting.checked else None,
        )

    def _check(self, snapshot: Snapshot, plan: Plan) -> tuple[Finding, ...]:
        found = check(snapshot, plan)
        self.broken.update(dict.fromkeys(f"{finding.subject}: {finding.reason.text}" for finding in found))
        return found

    # ---- when ---------------------------------------------------------------------------------------

    def _due(self, now: float) -> bool:
        """Say whether a tick at `now` could decide anything that the last one did not."""
        report = self.report
        if report is None or self.setting.every_tick or self._acted(report):
            return True
        if self.seen[0] != self.cluster.version or self.woken != self._woken():
            return True
        if self.place.version != self.place.listed_version and now >= self._listing_at():
            return True
        return now >= self._deadline()

    def _acted(self, report: TickReport) -> bool:
        return bool(report.plan.actions or report.troubles or report.error or not report.saved)

    def _woken(self) -> int:
        return self.reconciler.woken_by.total()

    def _listing_at(self) -> float:
        return self.place.listed_at + self.setting.scene.list_interval_s

    def _deadline(self) -> float:
        """Return when the next plan can differ although nothing happens."""
        report = self.report
        if report is None:
            return float("-inf")
        busy = self.seen[1] != self.cluster.work.used_version
        moments = [self.ticked_at + (USED_CHANGES_S if busy else QUIET_S), self._idle_deadline()]
        return min(*moments, self.timeout_at)

    def _idle_deadline(self) -> float:
        """Return when the next node that has become idle since the last tick has been so for long enough."""
        policy, least = self.setting.policy, NEVER
        timeouts = {
            pool.name: policy.idle_timeout_s if pool.idle_timeout_s is None else pool.idle_timeout_s
            for pool in policy.pools
        }
        for node in self.cluster.work.idle:
            moment = node.idle_since + timeouts.get(node.pool, policy.idle_timeout_s)
            if self.ticked_at < moment < least and not node.head:
                least = moment
        return least

    def _next(self, now: float) -> float:
        """Return the next moment, on the grid of ticks, at which one may be due; NEVER: it is over."""
        report, now = self.report, max(now, self.clock.now())
        grid = self._grid(now + self.setting.tick_s / 2)
        if self.setting.every_tick or report is None or self._acted(report) or self.place.under_way:
            return NEVER if self._over() else grid
        if self._due(now):
            return grid
        if self._over():
            return NEVER
        listing = self._listing_at() if self.place.version != self.place.listed_version else NEVER
        return max(grid, self._grid(min(self.agenda.next_at, self._deadline(), listing)))

    def _grid(self, moment: float) -> float:
        """Return the first moment of the grid that is not before `moment`."""
        tick_s = self.setting.tick_s
        return self.began + math.ceil(round((moment - self.began) / tick_s, 6)) * tick_s

    def _limit_s(self) -> float:
        trace = self.setting.trace
        longest_s = max((row.duration_s for row in trace.rows), default=0.0)
        own = trace.last_s + longest_s + OVERTIME_S
        return own if self.setting.until_s is None else self.setting.until_s

    def _over(self) -> bool:
        """Say whether nothing will change any more: nothing on its way, nothing idle that may go."""
        if self.setting.until_s is not None or self.report is None:
            return False
        work, plan = self.cluster.work, self.report.plan
        if work.under_way or self.place.under_way or self._acted(self.report) or self.report.snapshot.demand:
            return False
        moving = any(not _is_settled(c) or (c.retry_at or 0.0) >= self.ticked_at for c in plan.claims)
        return not moving and work.finished and self._idle_deadline() == NEVER and self._settled()

    def _settled(self) -> bool:
        """Say whether every idle machine has been judged: what is still here stays for good."""
        policy = self.setting.policy
        timeouts = [policy.idle_timeout_s, *(p.idle_timeout_s for p in policy.pools if p.idle_timeout_s is not None)]
        patience_s = max(timeouts) + 2 * self.setting.tick_s
        idle = [node for node in self.cluster.work.idle if not node.head]
        return all(self.ticked_at - node.idle_since > patience_s for node in idle)

    # ---- one tick -----------------------------------------------------------------------------------

    async def _tick(self) -> None:
        await self._maybe_restart()
        self.seen = (self.cluster.version, self.cluster.work.used_version)
        self.woken = self._woken()
        self.ticked_at = self.clock.now()
        self.report = report = await self.reconciler.tick()
        found = next_deadline(effective_policy(report.snapshot), report.plan, report.snapshot.now)
        self.timeout_at = NEVER if found is None else found
        self._count(report)
        if self.setting.reports is not None:
            self.setting.reports(report)
        self.progress(self.ticked_at - self.began)

    async def _maybe_restart(self) -> None:
        """End the controller and let another one take over on the same ledger, when it is time."""
        rate = self.setting.scene.controller_restarts_per_day
        if rate and self.clock.now() >= self.restart_at:
            if self.restart_at > self.began:
                await self.reconciler.close()
                self.reconciler = Reconciler(self._parts())
            self.restart_at = self.clock.now() + self.restarts.expovariate(rate / _DAY_S)

    def _count(self, report: TickReport) -> None:
        tally = self.tally
        tally.ticks += 1
        tally.failed_ticks += bool(report.error)
        if report.error:
            self.broken.setdefault(report.error.strip().splitlines()[-1])
        for launch in report.plan.launches:
            tally.launch_reasons[launch.reason.code] += launch.count
        for drain in report.plan.drains:
            tally.release_reasons[drain.reason.code] += len(drain.hosts)
        for release in report.plan.releases:
            if release.how is not How.END:
                tally.release_reasons[release.reason.code] += len(release.hosts)
        for unmet in report.plan.unmet:
            tally.unmet_reasons[unmet.reason.code] += 1

    async def _ended(self, began: float) -> Ran:
        now = self.agenda.now
        await self.reconciler.close()
        self.tally.settle(now)
        self.bill.close(now)
        left = self.setting.trace.tasks - self.tally.done
        claims = [claim for claim in self.ledger.record.claims if claim.phase in EXISTING and not claim.head]
        machines = sum(not machine.head and not machine.at_rest for machine in self.place.existing.values())
        return Ran(
            self.setting, self.tally, self.place.counts, now - began, left, machines, len(claims), tuple(self.broken)
        )
