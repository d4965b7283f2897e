"""The thing that runs on the machines (Ray), as the loop sees it.

    EngineError
     |- EngineDown      it does not answer            -> nothing may be concluded; machines stay
     |   '- EngineRefuses   it does not take our token    -> the same; read the token anew
     '- DrainRefused    the node is busy              -> back to READY, asked again later

Each error names what the caller should do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from rayfleet.model import Demand, FrozenMap, Labels, NodeFact, Pool, Resources, TickReport


class EngineError(Exception):
    """The engine could not do what was asked."""


class EngineDown(EngineError):
    """The engine does not answer (yet, or any more)."""


class EngineRefuses(EngineDown):
    """The engine answers, and does not take the token that it is shown."""


class DrainRefused(EngineError):
    """The node is in use and the reason was idleness."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the engine says of one node.

    `id` is the engine's own; `instance_id` the provider's machine id that the node was started
    with ("" for a node that somebody else started). `state` is ALIVE, DRAINING or DEAD. `idle_s` is 0
    for a node in use. `activity`: what keeps it busy, for people. `leaves_at`: when whoever drains it takes it away, in
    seconds since the epoch; only while it is drained by somebody else.
    """

    id: str
    instance_id: str
    pool: str
    state: NodeFact
    total: Resources
    available: Resources
    labels: Labels
    idle_s: float = 0.0
    activity: tuple[str, ...] = ()
    head: bool = False
    address: str = ""
    leaves_at: float | None = None


@dataclass(frozen=True, slots=True)
class EngineView:
    """One answer of the engine: what waits and what has joined. `received_at`: seconds since the epoch."""

    demand: Demand
    nodes: tuple[Node, ...]
    received_at: float
    session: str = ""


def fingerprint(view: EngineView) -> frozenset[object]:
    """Return what a plan can depend on, for telling whether a new plan is worth making. Pure.

    Demand without its age, and which nodes there are in which state. Left out is what always changes and never
    needs an answer at once: ages, idle counters, free amounts.
    """
    demand = view.demand
    parts = Counter[object](
        (
            *(("task", task.shape, task.selectors, task.count) for task in demand.tasks),
            *(("gang", gang.strategy, gang.bundles, gang.placed, gang.count) for gang in demand.gangs),
            *(("requested", wish.shape, wish.selectors, wish.count) for wish in demand.requested),
            *(("node", node.id, node.instance_id, node.state) for node in view.nodes),
            ("session", view.session),
        )
    )
    return frozenset(parts.items())


@dataclass(frozen=True, slots=True)
class StartScript:
    """How a machine starts its node: a pure value that a provider delivers.

    `argv` is the command, `env` the environment on top of the machine's own. The provider adds
    RAYFLEET_MACHINE_ID (its id of the machine), RAYFLEET_MACHINE_DIR (a directory of the machine's
    own that exists) and RAYFLEET_CLUSTER; the command reads them at run time. It runs in the foreground for as long as
    the node lives and ends the whole node on SIGTERM.

    It creates the empty file RAYFLEET_MACHINE_DIR/started when its node has joined (ALIVE): a provider that bounds
    how many machines boot at once lets the next one start then. It exits with 0 when its node left because it
    was drained, with anything else when it could not start or died; its last lines of output say why.
    """

    argv: tuple[str, ...]
    env: FrozenMap[str] = FrozenMap()


class Engine(Protocol):
    """What the loop asks of Ray."""

    async def look(self) -> EngineView:
        """Return demand and nodes now.

        Raises:
            EngineDown: no answer in time, or no head yet.
        """
        ...

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        """Ask a node to leave by `deadline` (seconds since the epoch). `voluntary`: only when it is idle.

        The head and unknown nodes are never drained. A node that is already dead counts as done.

        Raises:
            DrainRefused: `voluntary` and the node is in use, or it is the head or unknown.
            EngineDown: no answer.
        """
        ...

    async def publish(self, report: TickReport) -> None:
        """Show the report in Ray's own status and as events to drivers.

        Raises:
            EngineDown: no answer.
        """
        ...

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:
        """Return how a machine of `pool` starts. Pure."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Resizable(Engine, Protocol):
    """An engine whose nodes can become larger or smaller while they run."""

    async def resize(self, node_id: str, size: Resources) -> None:
        """Have a node offer as much from now on, of what `size` names; it must have it already.

        Raises:
            EngineError: the node is unknown, or it cannot be told.
        """
        ...
