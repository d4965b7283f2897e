"""A pretend Ray over pretend machines: nodes join when machines run, work runs on nodes, and all of it can misbehave.

    engine = FakeEngine(clock, pools, machines=place.listed, join_s=1)
    engine.submit(Resources.of({"CPU": 1}), count=15, run_s=3)
    engine.kill_node("w1-1"); engine.down = True

Nothing here waits: what has happened by now follows from the clock whenever somebody looks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from rayfleet.contracts import (
    Clock,
    DrainRefused,
    EngineDown,
    EngineView,
    Machine,
    MachineState,
    Node,
    StartScript,
    fingerprint,
)
from rayfleet.model import (
    NO_LABELS,
    Demand,
    FrozenMap,
    NodeFact,
    Pool,
    Resources,
    TaskDemand,
    TickReport,
)


@dataclass(slots=True)
class FakeNode:
    """One node. `machine_id` "" = joined by hand. `since_idle`: when its last work ended."""

    id: str
    machine_id: str
    pool: str
    total: Resources
    labels: FrozenMap[str] = NO_LABELS
    head: bool = False
    state: NodeFact = NodeFact.ALIVE
    since_idle: float = 0.0


@dataclass(slots=True)
class FakeTask:
    """One unit of work; `node` None = it waits, and since `submitted_at`."""

    shape: Resources
    run_s: float
    submitted_at: float
    node: str | None = None
    ends_at: float = 0.0


@dataclass(slots=True)
class FakeEngine:
    """The Engine contract. `demand` waits beside the submitted work, until a test changes it.

    `join_s`: from a machine's running to its node's joining. `never_join`: machine ids or pools whose nodes never do.
    `needs_head`: without a living head node nobody answers. `look_s`: how long an answer takes.
    `down`: nobody answers. `refuses`: every voluntary drain is refused. `hangs`: nodes take a drain and do not leave.
    `reports`: what was published. `session`: the name of Ray's session.
    """

    clock: Clock
    pools: dict[str, Pool]
    machines: Callable[[], Iterable[Machine]]
    join_s: float = 0.0
    never_join: set[str] = field(default_factory=set)
    needs_head: bool = False
    demand: Demand = Demand()
    look_s: float = 0.0
    down: bool = False
    refuses: bool = False
    hangs: bool = False
    looks: int = 0
    pulses: int = 0
    drains: list[tuple[str, bool]] = field(default_factory=list)
    reports: list[TickReport] = field(default_factory=list)
    nodes: dict[str, FakeNode] = field(default_factory=dict)
    tasks: list[FakeTask] = field(default_factory=list)
    done: int = 0
    closed: bool = False
    session: str = ""
    _running_since: dict[str, float] = field(default_factory=dict)
    _runs: dict[str, int] = field(default_factory=dict)

    # ---- the contract -------------------------------------------------------------------------------

    async def look(self) -> EngineView:
        """Let happen what has happened by now, and show it."""
        self.looks += 1
        await asyncio.sleep(self.look_s)
        self._answer_or_raise()
        return EngineView(
            self._all_demand(), tuple(self._shown(node) for node in self.nodes.values()), self.clock.now()
        )

    async def pulse(self) -> Hashable:
        """Show whether there is anything new, in the way in which Ray would."""
        self.pulses += 1
        await asyncio.sleep(self.look_s)
        self._answer_or_raise()
        shown = [self._shown(node) for node in self.nodes.values()]
        nodes = frozenset((node.id, node.state, node.idle_s > 0) for node in shown if not node.head)
        return fingerprint(EngineView(self._all_demand(), (), 0.0)), nodes

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        """An idle node leaves at once, a busy one when its work has ended; a busy one refuses a voluntary drain."""
        await asyncio.sleep(0)
        self._answer_or_raise()
        self.drains.append((node_id, voluntary))
        node = self.nodes.get(node_id)
        if node is None or node.head or (voluntary and (self.refuses or self._used(node))):
            raise DrainRefused(f"{node_id} is in use, unknown or the head")
        if node.state is NodeFact.ALIVE:
            node.state = NodeFact.DRAINING if self.hangs or self._used(node) else NodeFact.DEAD

    async def publish(self, report: TickReport) -> None:
        """Remember the report."""
        self._answer_or_raise()
        self.reports.append(report)

    async def resize(self, node_id: str, size: Resources) -> None:
        """Have a node offer as much."""
        self._answer_or_raise()
        node = self.nodes[node_id]
        node.total = Resources({**node.total, **size})

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        """Return a command that names the pool; pretend machines do not run it."""
        return StartScript(("fake-node", pool.name, "head" if head else "worker"))

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    # ---- what a test makes happen -------------------------------------------------------------------

    def submit(self, shape: Resources, count: int = 1, run_s: float = 1.0) -> None:
        """Add `count` tasks that each take `run_s` on a node with room."""
        now = self.clock.now()
        self.tasks += [FakeTask(shape, run_s, now) for _ in range(count)]

    def join_by_hand(self, node_id: str, total: Resources, *, head: bool = False) -> None:
        """Have a node join that no provider knows."""
        self.nodes[node_id] = FakeNode(node_id, "", "", total, head=head, since_idle=self.clock.now())

    def kill_node(self, machine_id: str) -> None:
        """End the node of a machine; the machine stays. What ran there waits again."""
        self.nodes[node_of(machine_id)].state = NodeFact.DEAD

    # ---- the pretend world --------------------------------------------------------------------------

    def _answer_or_raise(self) -> None:
        self._join_and_leave()
        if self.down or (self.needs_head and not any(n.head for n in self.nodes.values() if n.state is NodeFact.ALIVE)):
            raise EngineDown("the GCS does not answer")
        self._work()

    def _join_and_leave(self) -> None:
        now, here = self.clock.now(), {machine.id: machine for machine in self.machines()}
        for machine in here.values():
            if machine.state is MachineState.STANDBY:
                self._rests(machine.id)
            since = self._running_since.setdefault(machine.id, now) if machine.state is MachineState.RUNNING else now
            late = now - since < self.join_s or machine.state is not MachineState.RUNNING
            if not late and self.never_join.isdisjoint({machine.id, machine.offer.pool}):
                self._join(machine, since + self.join_s)
        for node in self.nodes.values():
            machine_now = here.get(node.machine_id)
            if node.machine_id and (machine_now is None or machine_now.state in _NO_NODE):
                node.state = NodeFact.DEAD

    def _rests(self, machine_id: str) -> None:
        """Forget when a machine began to run: started again, it has another node, and the old one stays dead."""
        if self._running_since.pop(machine_id, None) is not None:
            self._runs[machine_id] = self._runs.get(machine_id, 0) + 1

    def _join(self, machine: Machine, at: float) -> None:
        pool = self.pools[machine.offer.pool]
        node = FakeNode(
            node_of(machine.id, self._runs.get(machine.id, 0)),
            machine.id,
            pool.name,
            pool.resources,
            pool.labels,
            machine.head,
            since_idle=at,
        )
        self.nodes.setdefault(node.id, node)

    def _work(self) -> None:
        """End what has run long enough, send back what lost its node, and start what has room."""
        now = self.clock.now()
        for task in [task for task in self.tasks if task.node is not None]:
            node = self.nodes[task.node or ""]
            if node.state is NodeFact.DEAD:
                task.node = None
            elif task.ends_at <= now:
                self.tasks.remove(task)
                self.done += 1
                node.since_idle = max(node.since_idle, task.ends_at)
        for node in self.nodes.values():
            if node.state is NodeFact.DRAINING and not self.hangs and not self._used(node):
                node.state = NodeFact.DEAD
        free = {n.id: n.total - self._used(n) for n in self.nodes.values() if n.state is NodeFact.ALIVE}
        for task in [task for task in self.tasks if task.node is None]:
            place = next((name for name, room in free.items() if task.shape.fits(room)), None)
            if place is not None:
                free[place] -= task.shape
                task.node, task.ends_at = place, now + task.run_s

    def _used(self, node: FakeNode) -> Resources:
        used = Resources()
        for task in self.tasks:
            used = used + task.shape if task.node == node.id else used
        return used

    def _all_demand(self) -> Demand:
        now, waiting = self.clock.now(), [task for task in self.tasks if task.node is None]
        counts = Counter(task.shape for task in waiting)
        ages = {task.shape: now - task.submitted_at for task in reversed(waiting)}
        tasks = tuple(TaskDemand(shape, count, age_s=ages[shape]) for shape, count in counts.items())
        return Demand((*tasks, *self.demand.tasks), self.demand.gangs, self.demand.requested)

    def _shown(self, node: FakeNode) -> Node:
        used = self._used(node)
        idle_s = 0.0 if used else max(0.0, self.clock.now() - node.since_idle)
        activity = ("runs tasks",) if used else ()
        return Node(
            node.id, node.machine_id, node.pool, node.state, node.total, node.total - used, node.labels, idle_s,
            activity, node.head,
        )  # fmt: skip


_NO_NODE = frozenset({MachineState.FAILED, MachineState.STOPPING, MachineState.STANDBY})


def node_of(machine_id: str, run: int = 0) -> str:
    """Return the id of the node that a machine's raylet gets; `run`: how often it was on standby before."""
    return f"ray-{machine_id}" + (f".{run}" if run else "")
