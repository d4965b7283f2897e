"""The loop's edges on the machine that launches: what its Reconciler may see and touch of a cluster elsewhere.

    up     HeadOnly(provider) + Booted + Policy(no pools, head)   -> one head, READY when its recipe has run
    down   InReach(provider)  + Nobody + the whole policy         -> everything in reach goes, the head last

The workers are the business of the controller on the head: `up` does not even see them, so it can neither launch nor
release one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.contracts import (
    Clock,
    Engine,
    EngineView,
    KeepsHosts,
    LaunchRequest,
    Ledger,
    Machine,
    MachineState,
    Node,
    Provider,
    ProviderError,
    SilentHost,
    Sink,
    StartScript,
)
from rayfleet.loop import Parts
from rayfleet.loop.clock import SystemClock
from rayfleet.model import NO_LABELS, Demand, NodeFact, Policy, Pool, Resources, TickReport
from rayfleet.planner import plan
from rayfleet.planner.invariants import check

_AWAY: Final = frozenset({MachineState.STOPPING, MachineState.STANDBY})


@dataclass(frozen=True, slots=True)
class Heads:
    """What the ledger here tells of heads. `ready`: machines that worked; `ours`: machines and batches it knows of."""

    ready: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()


class HeadOnly:
    """A provider as `up` sees it: only heads exist, and nothing else can be asked for.

    `kept`: heads that worked before, and those that were there before us and that somebody else has launched. Whatever
    goes wrong when they are brought up to date, they are not given up: a cluster runs on them. `machines`: what was
    listed last, as it is.
    """

    def __init__(
        self, inner: Provider, known: Heads = Heads(), leaving: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """Let `inner` do the work. `leaving`: called with each head before it is given back."""
        self.inner = inner
        self._leaving = leaving
        self.kept = known.ready
        self.machines: tuple[Machine, ...] = ()
        self._known: Heads | None = known  # until the first listing

    @property
    def name(self) -> str:
        """Return the provider's type."""
        return self.inner.name

    @property
    def list_interval_s(self) -> float:
        """Return how often `list` is worth calling, in seconds."""
        return self.inner.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Return the heads of this cluster; those that are kept as running, as long as they are there."""
        self.machines = tuple(machine for machine in await self.inner.list() if machine.head)
        if self._known is not None:
            ours, self._known = self._known.ours, None
            self.kept |= {m.id for m in self.machines if ours.isdisjoint((m.id, m.batch))}
        return tuple(replace(m, state=MachineState.RUNNING) if self.keeps(m) else m for m in self.machines)

    def keeps(self, machine: Machine) -> bool:
        """Say whether a machine is kept, whatever goes wrong; none that ends or rests anyhow is."""
        return machine.id in self.kept and machine.state not in _AWAY

    def done(self, machine_id: str) -> bool:
        """Say whether a machine has all that its recipe gives."""
        return any(m.id == machine_id and m.state is MachineState.RUNNING for m in self.machines)

    def trouble(self, machine_id: str) -> str:
        """Return why a machine could not be set up, whole; "" when it could, or may still."""
        machine = next((m for m in self.machines if m.id == machine_id), None)
        if machine is not None and machine.state is MachineState.STANDBY:
            again = "rayfleet up starts it where it can, or start it where it is"
            return f"{machine_id} is stopped, by somebody else: {again}; or end the cluster: rayfleet down"
        return machine.message if machine is not None and machine.state is MachineState.FAILED else ""

    def waits(self, machine_id: str) -> str:
        """Return what a machine's set-up waits for or is at; "" when nothing is known of it."""
        machine = next((m for m in self.machines if m.id == machine_id), None)
        return machine.message if machine is not None and machine.state is MachineState.STARTING else ""

    async def launch(self, request: LaunchRequest) -> None:
        """Ask for the head. ValueError for anything else."""
        if not request.head:
            raise ValueError(f"only the head is launched from here, not {request.offer.pool}")
        await self.inner.launch(request)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Give heads back."""
        if self._leaving is not None:
            for machine_id in machine_ids:
                await self._leaving(machine_id)
        await self.inner.release(machine_ids)

    async def close(self) -> None:
        """Let go of connections."""
        await self.inner.close()


SILENT_S: Final = 30.0
"""A host of one's own that does not answer for so long is not waited for by `down`."""
_LIST_AGAIN_S: Final = 1.0


class InReach:
    """A provider as `down` sees it: a machine whose host stays silent is listed no longer, and told of at the end.

    `give_up`: nothing is listed where all of one's own hosts stay silent, or whoever says which those are.
    """

    def __init__(self, inner: Provider, *, give_up: bool = False) -> None:
        """Let `inner` do the work."""
        self.inner = inner
        self._give_up = give_up and isinstance(inner, KeepsHosts)
        self._failed: float | None = None  # since when no listing could be had
        self._since: dict[str, float] = {}  # by machine: when its host was found silent first

    @property
    def name(self) -> str:
        """Return the provider's type."""
        return self.inner.name

    @property
    def list_interval_s(self) -> float:
        """Return how often `list` is worth calling, in seconds."""
        return self.inner.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Return the machines that answer, or did a moment ago, or that are not on somebody's own hosts."""
        machines = await self._listed()
        now = asyncio.get_running_loop().time()
        silent = {host.machine_id for host in self.silent()}
        self._since = {machine_id: self._since.get(machine_id, now) for machine_id in silent}
        return tuple(m for m in machines if m.id not in silent or now - self._since[m.id] < SILENT_S)

    async def _listed(self) -> tuple[Machine, ...]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await self.inner.list()
            except ProviderError:
                if not self._give_up:
                    raise
                self._failed = loop.time() if self._failed is None else self._failed
                if loop.time() - self._failed >= SILENT_S:
                    return ()
                await asyncio.sleep(_LIST_AGAIN_S)
            else:
                self._failed = None
                return found

    def silent(self) -> tuple[SilentHost, ...]:
        """Return the hosts that did not answer the last listing."""
        return self.inner.silent() if isinstance(self.inner, KeepsHosts) else ()

    async def launch(self, request: LaunchRequest) -> None:
        """Refuse: everything goes. ValueError."""
        raise ValueError(f"nothing is launched by down, not even {request.offer.pool}")

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Give machines back."""
        await self.inner.release(machine_ids)

    async def close(self) -> None:
        """Let go of connections."""
        await self.inner.close()


class Nobody:
    """An engine that nobody asks: it shows no node and no demand, so that nothing is waited for when all is to go."""

    async def look(self) -> EngineView:
        """Return an empty cluster."""
        return EngineView(Demand(), self.nodes(), time.time())

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes to be shown."""
        return ()

    async def drain(self, node_id: str, deadline: float, reason: str, *, voluntary: bool) -> None:
        """Do nothing: what there is goes with its machine."""

    async def publish(self, report: TickReport) -> None:
        """Show it to nobody."""

    def start_script(self, pool: Pool, *, head: bool) -> StartScript:  # noqa: ARG002 - the contract's signature
        """Return nothing to be run: the launcher comes over SSH."""
        return StartScript(())

    async def close(self) -> None:
        """Nothing to let go of."""


class Booted(Nobody):
    """An engine that takes a head for its node: alive as soon as its recipe has run, or when it worked before."""

    def __init__(self, provider: HeadOnly) -> None:
        """Ask what was listed last, each time somebody looks."""
        self._provider = provider

    def nodes(self) -> tuple[Node, ...]:
        """Return a node for each machine that is set up."""
        provider = self._provider
        ready = [m for m in provider.machines if provider.keeps(m) or provider.done(m.id)]
        none = Resources()
        return tuple(
            Node(m.id, m.id, m.offer.pool, NodeFact.ALIVE, none, none, NO_LABELS, head=m.head, address=m.address)
            for m in ready
        )


def head_policy(policy: Policy) -> Policy:
    """Return the policy of a cluster that is its head alone."""
    return Policy(head=policy.head, timeouts=policy.timeouts, overlays=policy.overlays)


def parts(
    cluster: str,
    policy: Policy,
    edges: tuple[Provider, Engine, Ledger],
    sinks: tuple[Sink, ...],
    clock: Clock | None = None,
) -> Parts:
    """Return what a Reconciler here is made from."""
    provider, engine, ledger = edges
    return Parts(
        cluster=cluster,
        policy=policy,
        providers={provider.name: provider},
        engine=engine,
        ledger=ledger,
        plan=plan,
        sinks=sinks,
        check=check,
        clock=clock or SystemClock(),
    )
