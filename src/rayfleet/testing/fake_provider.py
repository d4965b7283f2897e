"""A pretend place that machines come from, and a provider for it, both made to misbehave on request.

    place = FakePlace(clock, boot_s=30, listing_delay_s=5)
    provider = FakeProvider(place)
    provider.fail("launch", OutOfStock("none left"), pool="gpu", times=2)
    place.vanish("m1-1")

The place outlives the provider object, as a cloud outlives a controller: `FakeProvider(place)` again is a
restart. Nothing here waits: what a machine is follows from the clock when it is listed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from rayfleet.contracts import (
    Clock,
    Gone,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    Provider,
    ProviderContext,
    ProviderError,
    ProviderKind,
)
from rayfleet.model import OfferKey, StandbyMode, Trouble

Verb = Literal["list", "launch", "release", "prepare", "stop", "start"]

NEVER: Final = float("inf")


@dataclass(slots=True)
class ManualClock:
    """A clock that stands until somebody moves it."""

    at: float = 1000.0

    def now(self) -> float:
        """Return seconds since the epoch, as set."""
        return self.at

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made: the request of a launch, the machine ids of a release, None for a list."""

    verb: Verb
    at: float
    request: LaunchRequest | None = None
    machine_ids: tuple[str, ...] = ()
    error: ProviderError | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted error: the next `times` calls of `verb` (for `pool`, "" = any) end in it.

    `after` machines of the request are made first, so that the caller sees an error though something exists.
    """

    verb: Verb
    error: ProviderError
    pool: str = ""
    times: int = 1
    after: int = 0


@dataclass(frozen=True, slots=True)
class FakeMachine:
    """One machine at the place. Times as the clock's; NEVER = it does not happen.

    `rests_at`: from when on it waits on standby. `starts`: batches that it was started for.
    """

    id: str
    offer: OfferKey
    batch: str
    slot: tuple[str, int]
    head: bool
    launched_at: float
    visible_at: float
    running_at: float
    gone_at: float = NEVER
    unlisted_at: float = NEVER
    interrupt_at: float | None = None
    failed: str = ""
    trouble: Trouble | None = None
    message: str = ""
    released: bool = False
    rests_at: float = NEVER
    starts: frozenset[str] = frozenset()

    def state(self, now: float) -> MachineState:
        """Return what a listing says of it at `now`."""
        if self.released:
            return MachineState.STOPPING
        if self.failed:
            return MachineState.FAILED
        if self.trouble:
            return MachineState.STARTING
        if self.rests_at != NEVER:
            if now >= self.rests_at:
                return MachineState.STANDBY
            return MachineState.STOPPING if now >= self.running_at else MachineState.STARTING
        return MachineState.RUNNING if now >= self.running_at else MachineState.STARTING


@dataclass(slots=True)
class FakePlace:
    """Where the machines are.

    `boot_s`: from launch to running; `stop_s`: from release to gone; `listing_delay_s`: how old a listing's knowledge
    is of machines that came or went. `capacity`: machines at most, by pool; a request beyond it is met in part, and
    ends in OutOfStock when nothing at all is left. `start_s`: from the start of a machine on standby to running.
    """

    clock: Clock
    boot_s: float = 0.0
    stop_s: float = 0.0
    start_s: float = 0.0
    listing_delay_s: float = 0.0
    capacity: dict[str, int] = field(default_factory=dict)
    machines: dict[str, FakeMachine] = field(default_factory=dict)
    slots: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def make(self, request: LaunchRequest, most: int | None = None, *, rest: bool = False) -> int:
        """Make those of the request's machines that were never made, `most` at most; return how many.

        `rest`: to wait on standby.
        """
        wanted = [(request.batch, claim, host) for claim in request.claims for host in range(request.hosts)]
        missing = [slot for slot in wanted if slot not in self.slots]
        room = self._room(request.offer.pool)
        if missing and room == 0:
            raise OutOfStock(f"no {request.offer.pool} left", scope=request.offer)
        for slot in missing[:room][:most]:
            self._add(request, slot, rest=rest)
        return len(missing[:room][:most])

    def existing(self) -> tuple[FakeMachine, ...]:
        """Return the machines that truly exist now, in id order."""
        now = self.clock.now()
        return tuple(machine for _, machine in sorted(self.machines.items()) if now < machine.gone_at)

    def listed(self) -> tuple[Machine, ...]:
        """Return what a listing shows now, in id order."""
        now = self.clock.now()
        shown = [m for _, m in sorted(self.machines.items()) if m.visible_at <= now < m.unlisted_at]
        return tuple(
            Machine(
                m.id,
                m.offer,
                m.batch,
                m.state(now),
                m.head,
                m.launched_at,
                f"{m.id}.fake",
                m.interrupt_at,
                m.failed or m.message,
                m.trouble,
            )
            for m in shown
        )

    def end(self, machine_id: str) -> None:
        """Begin to end a machine; nothing when it is unknown or ending already."""
        machine = self.machines.get(machine_id)
        if machine is not None and machine.gone_at == NEVER:
            self._leaves(replace(machine, released=True), self.clock.now() + self.stop_s)

    def rest(self, machine_id: str) -> None:
        """Begin to stop a machine, for standby; nothing when it waits, is ending or unknown."""
        machine = self.machines.get(machine_id)
        if machine is not None and machine.gone_at == NEVER and machine.rests_at == NEVER:
            self.machines[machine_id] = replace(machine, rests_at=self.clock.now() + self.stop_s)

    def start(self, request: LaunchRequest) -> int:
        """Start the machines that a request reuses, unless its batch has done so before; return how many exist."""
        known = [self.machines[name] for name in request.reuse if name in self.machines]
        known = [machine for machine in known if machine.gone_at == NEVER]
        for machine in known:
            if machine.rests_at != NEVER and request.batch not in machine.starts:
                starts = machine.starts | {request.batch}
                running_at = self.clock.now() + self.start_s
                self.machines[machine.id] = replace(machine, rests_at=NEVER, running_at=running_at, starts=starts)
        return len(known)

    def vanish(self, machine_id: str) -> None:
        """Take a machine away without being asked, at once."""
        self._leaves(self.machines[machine_id], self.clock.now())

    def break_down(self, machine_id: str, message: str) -> None:
        """Have a machine listed as FAILED."""
        self.machines[machine_id] = replace(self.machines[machine_id], failed=message)

    def keep_waiting(self, machine_id: str, trouble: Trouble | None, message: str = "") -> None:
        """Have a machine wait for stock, a quota or an answer; None: it has what it needs."""
        self.machines[machine_id] = replace(self.machines[machine_id], trouble=trouble, message=message)

    def interrupt(self, machine_id: str, at: float) -> None:
        """Announce that a machine will be taken away at `at`; who wants it gone then calls `vanish`."""
        self.machines[machine_id] = replace(self.machines[machine_id], interrupt_at=at)

    def _room(self, pool: str) -> int | None:
        if pool not in self.capacity:
            return None
        return max(0, self.capacity[pool] - Counter(machine.offer.pool for machine in self.existing())[pool])

    def _add(self, request: LaunchRequest, slot: tuple[str, str, int], *, rest: bool) -> None:
        now = self.clock.now()
        _, claim, host = slot
        name = claim if request.hosts == 1 else f"{claim}.{host}"
        machine_id = f"{name}-{len(self.machines) + 1}"
        self.slots[slot] = machine_id
        self.machines[machine_id] = FakeMachine(
            id=machine_id,
            offer=request.offer,
            batch=request.batch,
            slot=(claim, host),
            head=request.head,
            launched_at=now,
            visible_at=now + self.listing_delay_s,
            running_at=now + self.boot_s,
            rests_at=now + self.boot_s + self.stop_s if rest else NEVER,
        )

    def _leaves(self, machine: FakeMachine, gone_at: float) -> None:
        unlisted_at = gone_at + self.listing_delay_s
        self.machines[machine.id] = replace(machine, gone_at=gone_at, unlisted_at=unlisted_at)


class FakeProvider:
    """The contract over a `FakePlace`, with machines on standby.

    `calls` holds every call that was made, in order; `modes` how machines were to wait.
    """

    def __init__(self, place: FakePlace, *, name: str = "fake", list_interval_s: float = 0.5) -> None:
        """Take the place; its faults and calls belong to this object."""
        self.place = place
        self.calls: list[Call] = []
        self.modes: list[StandbyMode] = []
        self.closed = False
        self._name = name
        self._list_interval_s = list_interval_s
        self._faults: list[Fault] = []
        self._held: dict[Verb, asyncio.Event] = {}

    @property
    def name(self) -> str:
        """Return the name it was given."""
        return self._name

    @property
    def list_interval_s(self) -> float:
        """Return the interval it was given, in seconds."""
        return self._list_interval_s

    def fail(self, verb: Verb, error: ProviderError, *, pool: str = "", times: int = 1, after: int = 0) -> None:
        """Script an error (see `Fault`); scripts of one verb and pool are used up in the order given."""
        self._faults.append(Fault(verb, error, pool, times, after))

    def hold(self, verb: Verb) -> asyncio.Event:
        """Have calls of `verb` wait until the returned event is set: a slow or hanging place."""
        return self._held.setdefault(verb, asyncio.Event())

    def count(self, verb: Verb) -> int:
        """Return how many calls of `verb` were made."""
        return sum(call.verb == verb for call in self.calls)

    async def list(self) -> tuple[Machine, ...]:
        """Return what the place shows now."""
        await self._begin(Call("list", self.place.clock.now()))
        return self.place.listed()

    async def launch(self, request: LaunchRequest) -> None:
        """Make the request's machines, as far as capacity and scripted faults let it."""
        pool = request.offer.pool
        call = Call("launch", self.place.clock.now(), request=request)
        await self._begin(call, pool, lambda fault: self.place.make(request, fault.after) if fault.after else 0)
        self.place.make(request)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Begin to end machines."""
        await self._begin(Call("release", self.place.clock.now(), machine_ids=machine_ids))
        for machine_id in machine_ids:
            self.place.end(machine_id)

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Make the request's machines as `launch` does, to wait."""
        self.modes.append(mode)
        await self._begin(Call("prepare", self.place.clock.now(), request=request), request.offer.pool)
        self.place.make(request, rest=True)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        """Begin to have machines wait."""
        self.modes.append(mode)
        await self._begin(Call("stop", self.place.clock.now(), machine_ids=machine_ids))
        for machine_id in machine_ids:
            self.place.rest(machine_id)

    async def start(self, request: LaunchRequest) -> None:
        """Start machines that wait; Gone when there is none of them any more."""
        call = Call("start", self.place.clock.now(), request=request, machine_ids=request.reuse)
        await self._begin(call, request.offer.pool)
        if not self.place.start(request):
            raise Gone(f"none of {', '.join(request.reuse)} exists any more")

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    async def _begin(self, call: Call, pool: str = "", partly: Callable[[Fault], Any] = lambda _: None) -> None:
        """Record the call, wait while it is held, and raise the fault that is scripted for it."""
        fault = self._next_fault(call.verb, pool)
        self.calls.append(replace(call, error=fault.error if fault else None))
        if call.verb in self._held:
            await self._held[call.verb].wait()
        if fault is not None:
            partly(fault)
            raise fault.error

    def _next_fault(self, verb: Verb, pool: str) -> Fault | None:
        for position, fault in enumerate(self._faults):
            if fault.verb == verb and fault.pool in ("", pool):
                left = replace(fault, times=fault.times - 1)
                self._faults[position : position + 1] = [left] if left.times > 0 else []
                return fault
        return None


def fake_kind(place: FakePlace, settings: type[Any]) -> ProviderKind:
    """Return an entry for a provider registry whose providers all stand at `place`."""

    def build(_context: ProviderContext) -> Provider:
        return FakeProvider(place)

    return ProviderKind(name="fake", settings=settings, build=build, standby=tuple(StandbyMode))
