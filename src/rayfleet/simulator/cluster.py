"""The pretend Ray as the loop sees it: the Engine contract over the work and its nodes.

Everything happens by the agenda; `look` only shows it. A node that drains takes nothing new and leaves when it is
empty. A machine that vanishes is noticed after `detect_s`; until then its node looks as it did.
"""

from __future__ import annotations

from typing import Final

from rayfleet.contracts import Clock, DrainRefused, EngineDown, EngineView, Node, StartScript
from rayfleet.model import UNITS, Labels, NodeFact, OfferKey, Policy, Pool, Resources, TickReport
from rayfleet.model.policy import offer_labels
from rayfleet.planner.capacity import INTERNAL_HEAD
from rayfleet.simulator.agenda import Agenda
from rayfleet.simulator.chance import generator
from rayfleet.simulator.nodes import SimNode
from rayfleet.simulator.place import SimMachine
from rayfleet.simulator.scene import Scene
from rayfleet.simulator.tally import Tally
from rayfleet.simulator.trace import Trace
from rayfleet.simulator.work import Workload

_DAY_S: Final = 86_400.0
_RUNS_TASKS: Final = ("runs tasks",)


class Cluster:
    """The Engine contract. `version` changes whenever an answer would show other demand or other nodes."""

    def __init__(self, clock: Clock, agenda: Agenda, policy: Policy, scene: Scene, seed: int) -> None:
        """Make an empty cluster; `begin` gives it its work."""
        self.down = False
        self.tally = Tally(agenda.now, scene.wait_goal_s)
        self.work = Workload(agenda, scene, seed, self.tally)
        self.work.emptied = lambda node: self._close(node, NodeFact.DEAD)
        self._clock, self._agenda, self._scene = clock, agenda, scene
        self._policy = policy
        self._chance = generator(seed, "drains")
        self._outages = generator(seed, "outages")
        self._nodes_version = 0
        self._amounts: dict[tuple[int, ...], Resources] = {}
        self._labels: dict[Labels, Labels] = {}  # equal ones are one value: so they are quick to compare

    def begin(self, trace: Trace) -> None:
        """Take the work, and plan what happens by itself."""
        pools = [*self._policy.pools, *((self._policy.head,) if self._policy.head else ())]
        self.work.begin(trace, {name for pool in pools for name in pool.resources} | {INTERNAL_HEAD})
        self._plan_outage()

    @property
    def version(self) -> int:
        """Return a number that changes with the demand and the nodes."""
        return self.work.version + self._nodes_version

    # ---- the contract -------------------------------------------------------------------------------

    async def look(self) -> EngineView:
        """Show what waits and what has joined."""
        self._agenda.advance(self._clock.now())
        self._answer_or_raise()
        now = self._agenda.now
        nodes = tuple([self._shown(node, now) for node in self.work.table.nodes.values()])
        return EngineView(self.work.demand(now), nodes, now)

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:  # noqa: ARG002 - the contract's
        """An idle node leaves at once, a busy one when its work has ended; a busy one refuses a voluntary drain."""
        self._agenda.advance(self._clock.now())
        self._answer_or_raise()
        node = self.work.table.nodes.get(node_id)
        if node is None or node.head:
            raise DrainRefused(f"{node_id} is unknown or the head")
        whim = voluntary and self._scene.drains_refused and self._chance.random() < self._scene.drains_refused
        if node.state is NodeFact.ALIVE and ((voluntary and node.runs) or whim):
            raise DrainRefused(f"{node_id} is in use")
        if node.state is NodeFact.ALIVE:
            self._close(node, NodeFact.DRAINING if node.runs else NodeFact.DEAD)

    async def publish(self, report: TickReport) -> None:
        """Nobody looks at this Ray's own status."""

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        """Return a command that names the pool; pretend machines do not run it."""
        return StartScript(("simulated-node", pool.name, "head" if head else "worker"))

    async def close(self) -> None:
        """Nothing is held."""

    def _answer_or_raise(self) -> None:
        if self.down or (self._policy.head is not None and self.work.first is None):
            raise EngineDown("the GCS does not answer")

    def _shown(self, node: SimNode, now: float) -> Node:
        """Return the node as an answer shows it: the same value as long as nothing about it changes."""
        shown = node.shown
        if shown is None:
            activity = _RUNS_TASKS if node.runs else ()
            shown = node.shown = Node(
                node.id, node.machine_id, node.pool, node.state, node.resources, self._available(node), node.labels,
                0.0, activity, node.head,
            )  # fmt: skip
        if node.runs or now <= node.idle_since:
            return shown
        return Node(
            node.id, node.machine_id, node.pool, node.state, node.resources, shown.available, node.labels,
            now - node.idle_since, (), node.head,
        )  # fmt: skip

    def _available(self, node: SimNode) -> Resources:
        if not node.runs:
            return node.resources
        free = tuple(node.free)
        known = self._amounts.get(free)
        if known is None:
            known = self._amounts[free] = Resources(dict(zip(self.work.table.names, free, strict=True)))
        return known

    # ---- nodes --------------------------------------------------------------------------------------

    def joins(self, machine: SimMachine) -> None:
        """Take in the node of a machine."""
        pool, now = machine.pool, self._agenda.now
        resources = Resources(pool.resources.merged({INTERNAL_HEAD: UNITS})) if machine.head else pool.resources
        labels = offer_labels(pool, OfferKey(pool.name, zone=machine.offer.zone, market=machine.offer.market))
        labels = self._labels.setdefault(labels, labels)
        node = self.work.table.add(node_of(machine), machine.id, pool.name, resources, labels)
        node.idle_since, node.head = now, machine.head
        if machine.head:
            self.work.first = node
        self._nodes_version += 1
        self.tally.level("nodes").add(now, 1)
        self.work.node_joined(node)

    def dies(self, machine: SimMachine, *, at_once: bool) -> None:
        """End the node of a machine; Ray notices `at_once`, or only after a while."""
        node = self.work.table.nodes.get(node_of(machine))
        if node is None or node.state is NodeFact.DEAD:
            return
        self.work.table.open[node.row] = False
        self.work.halt(node)
        if at_once:
            self._close(node, NodeFact.DEAD)
        else:
            self._agenda.at(self._agenda.now + self._scene.detect_s, self._close, node, NodeFact.DEAD)

    def machine_ended(self, machine: SimMachine) -> None:
        """Show the node of a machine that is gone no more, once Ray has noticed."""
        node = self.work.table.nodes.get(node_of(machine))
        if node is None:
            return
        node.lost = True
        if node.state is NodeFact.DEAD:
            self._forget(node)

    def _close(self, node: SimNode, state: NodeFact) -> None:
        if node.state is NodeFact.DEAD:
            return
        self.work.table.close(node, state)
        self._nodes_version += 1
        if state is NodeFact.DEAD:
            self.tally.level("nodes").add(self._agenda.now, -1)
            self.work.lose(node)
            if node.lost:
                self._forget(node)

    def _forget(self, node: SimNode) -> None:
        self.work.table.remove(node)
        self._nodes_version += 1

    # ---- outages ------------------------------------------------------------------------------------

    def _plan_outage(self) -> None:
        if self._scene.engine_outages_per_day and self.work.under_way:
            after_s = self._outages.expovariate(self._scene.engine_outages_per_day / _DAY_S)
            self._agenda.at(self._agenda.now + after_s, self._outage)

    def _outage(self) -> None:
        self.down = True
        self._nodes_version += 1
        self._agenda.at(self._agenda.now + self._scene.engine_outage_s, self._outage_ends)

    def _outage_ends(self) -> None:
        self.down = False
        self._nodes_version += 1
        self._plan_outage()


def node_of(machine: SimMachine) -> str:
    """Return the id of the node that a machine's raylet gets; another one after each time on standby."""
    return f"node-{machine.id}" + (f".{machine.run}" if machine.run else "")
