"""What a Reconciler is put together from. Wiring builds it; tests and simulations build it from fakes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from rayfleet.contracts import Clock, Denied, Engine, KeepsStandby, LaunchRequest, Ledger, Provider, Sink
from rayfleet.loop.clock import SystemClock
from rayfleet.model import Expected, Finding, Launch, Plan, Policy, Snapshot


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often the loop looks and how long it waits for answers. All in seconds."""

    tick_s: float = 5.0
    """A full tick happens at least so often."""
    gap_s: float = 0.02
    """A tick is followed by a pause of at least this, and of twice its own length ..."""
    breather_max_s: float = 0.25
    """... up to this, so that a busy cluster does not make a busy controller."""
    error_gap_s: float = 1.0
    """The same after a tick that failed."""
    poll_busy_s: float = 0.1
    """The engine is asked so often while anything changes ..."""
    poll_quiet_s: float = 0.4
    """... and so often once nothing has for some seconds: a look costs 1.5 ms of CPU, and an idle controller may use
    1 % of a core. Demand is launched for at most this, plus some milliseconds, after Ray shows it."""
    idle_wake_s: float = 0.5
    """A node that has become idle or busy wakes the loop after so long: its time-out is not urgent."""
    orders_s: float = 1.0
    """The ledger is asked for new orders so often."""
    look_patience_s: float = 2.0
    """A tick waits so long for the engine ..."""
    list_patience_s: float = 0.5
    """... and so long for each provider's listing, then goes on with what is known."""
    first_list_patience_s: float = 30.0
    """The first tick waits longer: machines of an earlier controller are to be found before any is launched."""
    fresh_s: float = 0.1
    """An answer of the engine that is younger and not yet used is not asked for again."""
    close_patience_s: float = 5.0
    """On closing, calls under way and sinks are given so long to end."""


@dataclass(frozen=True, slots=True)
class Parts:
    """One cluster's edges and its policy.

    `cluster` is its name. `providers` are by name and at least one (the first takes offers that name none).
    `sinks` get every report, the first of them before all others. `plan` is the pure decision; `check` looks
    for broken invariants in it, which are logged. `expect` is the forecast of the moment, None without one. `standby`
    are those of the providers that can keep machines on standby, by name. `planning`: the thread that plans are made
    in, where several clusters share one event loop; None: the loop's own.
    """

    cluster: str
    policy: Policy
    providers: Mapping[str, Provider]
    engine: Engine
    ledger: Ledger
    plan: Callable[[Snapshot], Plan]
    sinks: tuple[Sink, ...] = ()
    clock: Clock = SystemClock()
    cadence: Cadence = Cadence()
    check: Callable[[Snapshot, Plan], tuple[Finding, ...]] | None = None
    expect: Callable[[float], tuple[Expected, ...]] | None = None
    standby: Mapping[str, KeepsStandby] = field(default_factory=dict)
    planning: Executor | None = None

    def provider(self, name: str | None) -> Provider:
        """Return the provider of that name; the first for None or an unknown name."""
        return self.providers.get(name or "") or next(iter(self.providers.values()))

    def keeper(self, name: str | None) -> KeepsStandby:
        """Return what keeps machines of that provider on standby; Denied when it cannot, as files are told."""
        place = self.provider(name).name
        if place not in self.standby:
            raise Denied(f"provider {place} keeps no machines on standby; take `standby` from the pool")
        return self.standby[place]

    def launch_call(self, launch: Launch, request: LaunchRequest) -> Callable[[], Awaitable[None]]:
        """Return the call that a launch is: new machines to work or to wait, or machines on standby to be started."""

        async def ask() -> None:
            if launch.standby is not None:
                await self.keeper(launch.offer.provider).prepare(request, launch.standby)
            elif launch.reuse:
                await self.keeper(launch.offer.provider).start(request)
            else:
                await self.provider(launch.offer.provider).launch(request)

        return ask


async def close_parts(parts: Parts) -> None:
    """Let go of all edges, sinks first. Machines stay."""
    for sink in parts.sinks:
        await sink.close()
    await parts.engine.close()
    for provider in parts.providers.values():
        await provider.close()
    await parts.ledger.close()
