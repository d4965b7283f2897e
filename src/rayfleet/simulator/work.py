"""The work in the pretend Ray: it comes from the trace, waits in queues, runs on nodes, and may lose them.

comes --room?--> runs --> done           a node dies: what ran there waits again, from its beginning
  '--no--> waits --room comes free--^    a bundle's node dies: its whole placement group starts again
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import numpy as np

from rayfleet.model import (
    ANYWHERE,
    Bundle,
    Demand,
    Gang,
    NodeFact,
    Resources,
    Selectors,
    Strategy,
    TaskDemand,
)
from rayfleet.simulator.agenda import Agenda
from rayfleet.simulator.chance import generator
from rayfleet.simulator.gangs import Placed, Wanted, place_gang
from rayfleet.simulator.nodes import Mask, Need, NodeTable, SimNode
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.tally import Level, Tally
from rayfleet.simulator.trace import Trace, Work

GANG_RETRY_S: Final = 1.0
"""A placement group that waits is tried again so often, as in Ray."""


@dataclass(slots=True)
class Batch:
    """Tasks of one row that wait. `again`: they ran before and lost their node."""

    row: Work
    count: int
    since: float
    again: bool = False


@dataclass(slots=True, eq=False)
class TaskClass:
    """Work of one shape and one choice of labels, which waits in one queue. `masks`: the nodes of each alternative."""

    shape: Resources
    selectors: Selectors
    need: Need
    levels: tuple[tuple[Level, float], ...]
    masks: list[Mask] = field(default_factory=list)
    queue: deque[Batch] = field(default_factory=deque)
    waiting: int = 0


@dataclass(slots=True, eq=False)
class GangJob:
    """One placement group. `runs`: where its bundles are; empty while it waits."""

    strategy: Strategy
    classes: tuple[TaskClass, ...]
    duration_s: float
    since: float
    again: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """Return what the loop is told of it."""
        return tuple(Bundle(of.shape, of.selectors) for of in self.classes)


@dataclass(slots=True, eq=False)
class Run:
    """`count` tasks that run together on a node until the agenda ends them. `over`: they have ended or been lost."""

    node: SimNode
    of: TaskClass
    count: int
    row: Work | None
    gang: GangJob | None = None
    over: bool = False


class Workload:
    """All work, and the table of nodes that it runs on.

    `version` changes with what waits, `used_version` with what runs. `idle` holds the nodes that run nothing.
    """

    def __init__(self, agenda: Agenda, scene: Scene, seed: int, tally: Tally) -> None:
        """Start without work; `begin` brings it."""
        self.version = 0
        self.used_version = 0
        self.table = NodeTable((), generator(seed, "placing"))
        self.first: SimNode | None = None
        self.idle: dict[SimNode, None] = {}
        self.emptied: Callable[[SimNode], None] = lambda _: None
        self._agenda, self._scene, self._seed, self.tally = agenda, scene, seed, tally
        self._chance = generator(seed, "run_time")
        self._jitter = scene.run_time.name != "constant"
        self._factor = scene.run_time.numbers[0] if not self._jitter else 1.0
        self._began = agenda.now
        self._rows: tuple[Work, ...] = ()
        self._next = 0
        self._classes: dict[tuple[Resources, Selectors], TaskClass] = {}
        self._waiting: dict[TaskClass, None] = {}
        self._gangs: dict[GangJob, None] = {}
        self._gangs_tried_at = float("-inf")
        self._gangs_due = False
        self._waits, self._runs = tally.level("waiting"), tally.level("running")

    def begin(self, trace: Trace, names: set[str]) -> None:
        """Take the trace. `names`: the resources of the pools."""
        asked = {name for shape in {row.shape for row in trace.rows} for name in shape}
        self.table = NodeTable(sorted(names | asked), generator(self._seed, "placing"))
        self._rows = trace.rows
        self._await_row()

    @property
    def all_here(self) -> bool:
        """Say whether no more work is to come."""
        return self._next >= len(self._rows)

    @property
    def under_way(self) -> bool:
        """Say whether work is to come or runs: time alone will change something."""
        return not self.all_here or self._runs.value > 0

    @property
    def finished(self) -> bool:
        """Say whether all work is done."""
        return not self.under_way and not self._waiting and not self._gangs

    def demand(self, now: float) -> Demand:
        """Return what waits."""
        tasks = tuple(
            TaskDemand(of.shape, of.waiting, of.selectors, max(0.0, now - of.queue[0].since)) for of in self._waiting
        )
        found: dict[tuple[Strategy, tuple[TaskClass, ...]], list[GangJob]] = {}
        for job in self._gangs:
            found.setdefault((job.strategy, job.classes), []).append(job)
        gangs = tuple(
            Gang(jobs[0].strategy, jobs[0].bundles, len(jobs), max(0.0, now - min(job.since for job in jobs)))
            for jobs in found.values()
        )
        return Demand(tasks, gangs)

    # ---- work comes ---------------------------------------------------------------------------------

    def _await_row(self) -> None:
        if not self.all_here:
            self._agenda.at(self._began + self._rows[self._next].submit_s, self._come)

    def _come(self) -> None:
        """Take every row of this moment."""
        begin = self._next
        while not self.all_here and self._began + self._rows[self._next].submit_s <= self._agenda.now:
            self._next += 1
        rows = self._rows[begin : self._next]
        for row in rows:
            if row.gang is None:
                self._submit(row)
        named = sorted((row for row in rows if row.gang and row.group), key=lambda row: (row.gang or "", row.group))
        for _, group in groupby(named, key=lambda row: (row.gang, row.group)):
            self._submit_gang(list(group))
        for row in rows:
            if row.gang is not None and not row.group:
                self._submit_gang([row])
        self._await_row()

    def _submit(self, row: Work) -> None:
        of = self._class(row.shape, row.selectors)
        self._queue(of, Batch(row, row.count, self._agenda.now))

    def _queue(self, of: TaskClass, batch: Batch) -> None:
        """Start as much of a batch as has room, when nothing of its kind waits already; the rest waits."""
        self._waits.add(self._agenda.now, batch.count)
        of.queue.append(batch)
        before, of.waiting = of.waiting, of.waiting + batch.count
        if before == 0:
            self._place(of)
        if of.waiting:
            self._waiting[of] = None
            self.version += 1

    def _class(self, shape: Resources, selectors: Selectors) -> TaskClass:
        key = (shape, selectors)
        found = self._classes.get(key)
        if found is None:
            levels = tuple((self.tally.level(f"used {name}"), units / 10_000) for name, units in shape.items())
            found = self._classes[key] = TaskClass(shape, selectors, self.table.need(shape), levels)
            found.masks = [np.zeros(len(self.table.rows), np.bool_) for _ in selectors or (ANYWHERE,)]
            for node in self.table.nodes.values():
                self._admit(found, node)
        return found

    def _admit(self, of: TaskClass, node: SimNode) -> None:
        """Note which alternatives of a class hold on a node."""
        for n, selector in enumerate(of.selectors or (ANYWHERE,)):
            if len(of.masks[n]) < len(self.table.rows):
                of.masks[n] = np.concatenate([of.masks[n], np.zeros(len(self.table.rows) - len(of.masks[n]), np.bool_)])
            of.masks[n][node.row] = selector.holds(node.labels)

    def _place(self, of: TaskClass) -> None:
        """Start what has room anywhere; alternatives are tried in their order."""
        for mask in of.masks:
            if not of.waiting:
                return
            for node, count in self.table.choose(of.need, of.waiting, mask, self.first):
                self._start(of, node, count)

    # ---- work runs ----------------------------------------------------------------------------------

    def node_joined(self, node: SimNode) -> None:
        """Start what waits and has room on a new node."""
        self.idle[node] = None
        for of in self._classes.values():
            self._admit(of, node)
        self._fill(node)

    def _fill(self, node: SimNode) -> None:
        """Start what waits on a node where room has come free."""
        if self._gangs:
            self._retry_gangs()
        if not self._waiting or not self.table.open[node.row]:
            return
        for of in list(self._waiting):
            room = self.table.room(node, of.need)
            if room > 0 and any(mask[node.row] for mask in of.masks):
                self._start(of, node, min(room, of.waiting))

    def _start(self, of: TaskClass, node: SimNode, count: int) -> None:
        """Start the first `count` waiting tasks of a class on a node."""
        now = self._agenda.now
        self._use(node, of, count)
        of.waiting -= count
        self._waits.add(now, -count)
        self.version += of in self._waiting
        if not of.waiting:
            self._waiting.pop(of, None)
        while count:
            batch = of.queue[0]
            part = min(count, batch.count)
            if not batch.again:
                self.tally.waited(now - batch.since, part)
            self._run(node, of, part, batch.row)
            batch.count -= part
            count -= part
            if not batch.count:
                of.queue.popleft()

    def _run(self, node: SimNode, of: TaskClass, count: int, row: Work) -> None:
        for size in [1] * count if self._jitter else [count]:
            run = Run(node, of, size, row)
            node.runs[run] = None
            factor = self._scene.run_time.draw(self._chance) if self._jitter else self._factor
            self._agenda.at(self._agenda.now + row.duration_s * factor, self._end, run)

    def _use(self, node: SimNode, of: TaskClass, count: int) -> None:
        now = self._agenda.now
        self.used_version += 1
        self.table.take(node, of.need, count)
        self._runs.add(now, count)
        for level, amount in of.levels:
            level.add(now, amount * count)
        if count > 0:
            self.idle.pop(node, None)

    def _end(self, run: Run) -> None:
        """A run has come to its end."""
        if run.over:
            return
        self._stop(run)
        self.tally.done += run.count
        self._fill(run.node)
        self._empty(run.node)

    def _stop(self, run: Run) -> None:
        run.over = True
        del run.node.runs[run]
        self._use(run.node, run.of, -run.count)

    def _empty(self, node: SimNode) -> None:
        """Note that a node has become idle; one that drains leaves now."""
        if node.runs:
            return
        node.idle_since = self._agenda.now
        if node.state is NodeFact.DRAINING:
            self.emptied(node)
        elif node.state is NodeFact.ALIVE:
            self.idle[node] = None

    # ---- work is lost -------------------------------------------------------------------------------

    def halt(self, node: SimNode) -> None:
        """End what runs on a node that is gone, without anybody's noticing yet: it will never be done there."""
        for run in node.runs:
            run.over = True

    def lose(self, node: SimNode) -> None:
        """Have what ran on a dead node wait again."""
        self.idle.pop(node, None)
        runs = list(node.runs)
        for run in runs:
            self._stop(run)
        for run in runs:
            if run.row is not None:
                self.tally.retried += run.count
                self._queue(run.of, Batch(run.row, run.count, self._agenda.now, again=True))
        for job in dict.fromkeys(run.gang for run in runs if run.gang is not None):
            self._restart(job)

    def _restart(self, job: GangJob) -> None:
        self.tally.gang_restarts += 1
        runs, job.runs = job.runs, []
        for run in runs:
            if run in run.node.runs:
                self._stop(run)
                self._fill(run.node)
                self._empty(run.node)
        job.again, job.since = True, self._agenda.now
        self._await_room(job)

    # ---- placement groups ---------------------------------------------------------------------------

    def _submit_gang(self, rows: list[Work]) -> None:
        classes = tuple(self._class(row.shape, row.selectors) for row in rows for _ in range(row.count))
        strategy = rows[0].gang
        if strategy is not None:
            duration_s = max(row.duration_s for row in rows)
            self._await_room(GangJob(strategy, classes, duration_s, self._agenda.now))

    def _await_room(self, job: GangJob) -> None:
        self._waits.add(self._agenda.now, len(job.classes))
        if not self._try_gang(job):
            self._gangs[job] = None
            self.version += 1

    def _retry_gangs(self) -> None:
        """Have what waits tried again, no sooner than `GANG_RETRY_S` after the last time."""
        if self._gangs and not self._gangs_due:
            self._gangs_due = True
            self._agenda.at(self._gangs_tried_at + GANG_RETRY_S, self._try_gangs)

    def _try_gangs(self) -> None:
        self._gangs_due, self._gangs_tried_at = False, self._agenda.now
        for job in list(self._gangs):
            if self._try_gang(job):
                del self._gangs[job]
                self.version += 1

    def _try_gang(self, job: GangJob) -> bool:
        wanted = [Wanted(of.need, _any(of.masks)) for of in job.classes]
        placed = place_gang(self.table, job.strategy, wanted)
        if placed is None:
            return False
        self._start_gang(job, placed)
        return True

    def _start_gang(self, job: GangJob, placed: Placed) -> None:
        now = self._agenda.now
        size = len(job.classes)
        self._waits.add(now, -size)
        if not job.again:
            self.tally.waited(now - job.since, size)
        for node, n in placed:
            run = Run(node, job.classes[n], 1, None, job)
            node.runs[run] = None
            job.runs.append(run)
            self._use(node, run.of, 1)
        factor = self._scene.run_time.draw(self._chance) if self._jitter else self._factor
        self._agenda.at(now + job.duration_s * factor, self._end_gang, job, tuple(job.runs))

    def _end_gang(self, job: GangJob, runs: tuple[Run, ...]) -> None:
        """Its time is over: unless a node was lost since, all of it is done."""
        if any(run.over for run in runs):
            return
        job.runs = []
        for run in runs:
            self._stop(run)
        self.tally.done += len(runs)
        for node in dict.fromkeys(run.node for run in runs):
            self._fill(node)
            self._empty(node)


def _any(masks: list[Mask]) -> Mask:
    mask = masks[0]
    for other in masks[1:]:
        mask = mask | other
    return mask
