"""Where the pretend machines come from: the Provider contract over a world with boot times, stock, prices and faults.

    launch --api_s--> made --boot_s--> running --join_s--> node --...--> released --stop_s--> gone
                        |                                    '--notice, then vanished (spot), or just vanished
                        '--failed, or its node never joins

What a listing shows is `list_delay_s` old. The place tells the cluster when a machine's node joins or dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from rayfleet.contracts import Clock, Flaky, LaunchRequest, Machine, MachineState, OutOfStock
from rayfleet.model import Market, Offer, OfferKey, Pool, StandbyMode
from rayfleet.simulator.agenda import NEVER, Agenda
from rayfleet.simulator.chance import generator
from rayfleet.simulator.scene import Scene

_HOUR_S: Final = 3600.0
_PLENTY: Final = 10**9
_PURPOSES: Final = ("boot", "start", "join", "stop", "api", "errors", "failures", "spot", "crashes")


@dataclass(slots=True, eq=False)
class SimMachine:
    """One machine, and when each step of its life was (NEVER: not yet). `shown`: as a listing shows it.

    `began_at`: its launch, or its newest start after standby, of which there were `run`. `rests`: how it waits, or is
    to; `era` counts stops and starts, so that what was planned before does not happen after. `starts`: batches it was
    started for.
    """

    id: str
    number: int
    pool: Pool
    offer: OfferKey
    usd_per_hour: float | None
    shown: Machine
    launched_at: float
    running_at: float = NEVER
    joined_at: float = NEVER
    released_at: float = NEVER
    gone_at: float = NEVER
    end: str = ""
    head: bool = False
    began_at: float = 0.0
    rests: StandbyMode | None = None
    at_rest: bool = False
    resting_usd_per_hour: float | None = None
    run: int = 0
    era: int = 0
    starts: set[str] = field(default_factory=set)


@dataclass(slots=True)
class PlaceCounts:
    """What happened at the place. `started`: machines on standby that came to work.

    `doubled`: machines made for a claim that had one already; never to happen.
    """

    launched: int = 0
    calls: int = 0
    flaky: int = 0
    out_of_stock: int = 0
    interrupted: int = 0
    crashed: int = 0
    failed_boots: int = 0
    started: int = 0
    doubled: int = 0


class Dies(Protocol):
    """Told that a machine's node is no more."""

    def __call__(self, machine: SimMachine, *, at_once: bool) -> None:
        """`at_once`: Ray notices at once."""
        ...


@dataclass(slots=True)
class Doors:
    """Whom the place tells of a machine's life, in this order. `dies` also says whether Ray notices at once.

    `rests`: it is paid as one on standby from now on; `resumes`: as one at work.
    """

    made: Callable[[SimMachine], None]
    joins: Callable[[SimMachine], None]
    dies: Dies
    released: Callable[[SimMachine], None]
    ended: Callable[[SimMachine], None]
    rests: Callable[[SimMachine], None]
    resumes: Callable[[SimMachine], None]


class Place:
    """The place. `version` changes when a listing would; `under_way` calls have not been answered."""

    def __init__(self, clock: Clock, agenda: Agenda, scene: Scene, seed: int, doors: Doors) -> None:
        """Make an empty place."""
        self.version = 0
        self.listed_version = -1
        self.listed_at = float("-inf")
        self.under_way = 0
        self.counts = PlaceCounts()
        self.existing: dict[str, SimMachine] = {}
        self._clock, self._agenda, self._scene, self._seed, self._doors = clock, agenda, scene, seed, doors
        self._shown: dict[str, Machine] = {}
        self._listing: tuple[Machine, ...] | None = ()
        self._slots: dict[tuple[str, str, int], str] = {}
        self._owned: set[tuple[str, int]] = set()
        self._chance = {name: generator(seed, name) for name in _PURPOSES}
        self._prices: dict[tuple[OfferKey, int], float] = {}
        self._began = agenda.now

    # ---- the contract -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Return the provider's name."""
        return "simulated"

    @property
    def list_interval_s(self) -> float:
        """Return the scene's interval."""
        return self._scene.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        """Return what a listing shows now; Flaky at times."""
        await self._called()
        self._maybe_flaky("the listing was not answered")
        if self._listing is None:
            self._listing = tuple(machine for _, machine in sorted(self._shown.items()))
        self.listed_version, self.listed_at = self.version, self._clock.now()
        return self._listing

    async def launch(self, request: LaunchRequest) -> None:
        """Make the request's machines as far as the stock allows; what was made before under its token stays."""
        await self._called()
        fails = self._chance["errors"].random() < self._scene.api_errors
        if fails and self._chance["errors"].random() < 0.5:  # noqa: PLR2004 - half of the failures come too early ...
            self._flaky("the launch was not answered")
        self._make(request)
        if fails:  # ... and half too late
            self._flaky("the launch was not answered, although it was done")

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Begin to end machines."""
        await self._called()
        self._maybe_flaky("the release was not answered")
        for machine_id in machine_ids:
            machine = self.existing.get(machine_id)
            if machine is not None and machine.released_at == NEVER:
                self._release(machine)

    async def close(self) -> None:
        """Nothing is held."""

    async def _called(self) -> None:
        """Let the call take its time, and the world go on meanwhile."""
        self.counts.calls += 1
        self.under_way += 1
        try:
            await asyncio.sleep(self._scene.api_s.draw(self._chance["api"]))
        finally:
            self.under_way -= 1
        self._agenda.advance(self._clock.now())

    def _maybe_flaky(self, message: str) -> None:
        if self._scene.api_errors and self._chance["errors"].random() < self._scene.api_errors:
            self._flaky(message)

    def _flaky(self, message: str) -> None:
        self.counts.flaky += 1
        raise Flaky(message)

    # ---- making -------------------------------------------------------------------------------------

    def _make(self, request: LaunchRequest, rests: StandbyMode | None = None) -> None:
        wanted = [(request.batch, claim, host) for claim in request.claims for host in range(request.hosts)]
        missing = [slot for slot in wanted if slot not in self._slots]
        if not missing:
            return
        room = self._room(request.offer)
        room -= room % request.hosts
        if room <= 0:
            self.counts.out_of_stock += 1
            raise OutOfStock(f"no {request.offer.pool} left", scope=request.offer)
        for slot in missing[:room] if room < len(missing) else missing:
            self._add(request, slot, rests)

    def _room(self, offer: OfferKey) -> int:
        """Return how many more machines of an offer there are."""
        passed_s = self._agenda.now - self._began
        rooms = [
            stock.machines - sum(stock.scope.covers(machine.offer) for machine in self.existing.values())
            for stock in self._scene.stock
            if stock.from_s <= passed_s < stock.until_s and stock.scope.covers(offer)
        ]
        return min(rooms, default=_PLENTY)

    def _add(self, request: LaunchRequest, slot: tuple[str, str, int], rests: StandbyMode | None) -> None:
        now = self._agenda.now
        self.counts.launched += 1
        number = self.counts.launched
        name = f"{slot[1]}-{number}" if request.hosts == 1 else f"{slot[1]}.{slot[2]}-{number}"
        self._slots[slot] = name
        self.counts.doubled += slot[1:] in self._owned
        self._owned.add(slot[1:])
        shown = Machine(
            name, request.offer, request.batch, MachineState.STARTING, request.head, now, f"{name}.simulated"
        )
        usd = self.price(request.pool, request.offer)
        machine = SimMachine(name, number, request.pool, request.offer, usd, shown, now, head=request.head)
        machine.began_at, machine.rests = now, rests
        self.existing[name] = machine
        self._doors.made(machine)
        self._show(machine, shown)
        boot_s = self._boot_s(machine)
        self._agenda.at(now + boot_s, self._boots, machine, self._fate(machine), 0)
        self._plan_its_end(machine, boot_s)

    def _boot_s(self, machine: SimMachine) -> float:
        """Draw how long a machine takes; a head is there at once, for a trace begins when the cluster has one."""
        if machine.head:
            return 0.0
        return (self._scene.pool(machine.pool.name).boot_s or self._scene.boot_s).draw(self._chance["boot"])

    def price(self, pool: Pool, key: OfferKey) -> float | None:
        """Return what a machine of an offer costs by the hour when it is launched now."""
        own = self._scene.pool(pool.name).usd_per_hour
        offers: tuple[Offer, ...] = tuple(offer for offer in pool.offers if offer.key(pool.name) == key)
        usd = offers[0].usd_per_hour if offers else None
        usd = own if usd is None else usd
        if usd is None or self._scene.price.name == "constant":
            return usd if usd is None else usd * self._scene.price.numbers[0]
        period = int((self._agenda.now - self._began) // self._scene.price_every_s)
        if (key, period) not in self._prices:
            chance = generator(self._seed, f"price/{pool.name}/{key.zone}/{key.market}/{period}")
            self._prices[key, period] = self._scene.price.draw(chance)
        return usd * self._prices[key, period]

    def _fate(self, machine: SimMachine) -> str:
        """Draw whether the machine's boot fails, and how."""
        own = self._scene.pool(machine.pool.name).boot_failures
        share = self._scene.boot_failures if own is None else own
        if not share or machine.head:
            return ""
        drawn = self._chance["failures"].random()
        if drawn >= share:
            return ""
        self.counts.failed_boots += 1
        return "failed" if drawn < share / 2 else "silent"

    def _plan_its_end(self, machine: SimMachine, boot_s: float) -> None:
        """Draw when the machine is interrupted or crashes, if it does."""
        scene, now = self._scene, self._agenda.now
        if machine.head:
            return
        if machine.offer.market is Market.SPOT and scene.spot_interruptions_per_hour:
            after_s = self._chance["spot"].expovariate(scene.spot_interruptions_per_hour) * _HOUR_S
            self._agenda.at(now + boot_s + after_s, self._announce, machine)
        if scene.crashes_per_hour:
            after_s = self._chance["crashes"].expovariate(scene.crashes_per_hour) * _HOUR_S
            self._agenda.at(now + boot_s + after_s, self._crash, machine)

    # ---- what happens to machines -------------------------------------------------------------------

    def _boots(self, machine: SimMachine, fate: str, era: int) -> None:
        if machine.released_at != NEVER or machine.gone_at != NEVER or machine.era != era:
            return
        if fate == "failed":
            self._show(machine, replace(machine.shown, state=MachineState.FAILED, message="its boot disk is damaged"))
            return
        machine.running_at = self._agenda.now
        if machine.rests is not None:
            self._booted_to_rest(machine)
            return
        self._show(machine, replace(machine.shown, state=MachineState.RUNNING))
        if fate != "silent":
            spread = self._scene.pool(machine.pool.name).join_s or self._scene.join_s
            join_s = 0.0 if machine.head else spread.draw(self._chance["join"])
            self._agenda.at(self._agenda.now + join_s, self._joins, machine, era)

    def _booted_to_rest(self, machine: SimMachine) -> None:
        """Nothing is made to wait here: `RestingPlace` is where that is done."""
        raise NotImplementedError(f"{machine.id} cannot wait")

    def _joins(self, machine: SimMachine, era: int) -> None:
        if machine.released_at == NEVER and machine.gone_at == NEVER and machine.era == era:
            machine.joined_at = self._agenda.now
            self._doors.joins(machine)

    def _announce(self, machine: SimMachine) -> None:
        if machine.released_at == NEVER and machine.gone_at == NEVER:
            self.counts.interrupted += 1
            goes_at = self._agenda.now + self._scene.spot_notice_s
            self._show(machine, replace(machine.shown, interrupt_at=goes_at))
            self._agenda.at(goes_at, self._vanish, machine, "interrupted")

    def _crash(self, machine: SimMachine) -> None:
        if machine.released_at == NEVER and machine.gone_at == NEVER:
            self.counts.crashed += 1
            self._vanish(machine, "crashed")

    def _vanish(self, machine: SimMachine, why: str) -> None:
        if machine.gone_at == NEVER:
            machine.end = machine.end or why
            if machine.released_at == NEVER:
                self._doors.released(machine)
            self._doors.dies(machine, at_once=False)
            self._gone(machine)

    def _release(self, machine: SimMachine) -> None:
        machine.released_at, machine.end = self._agenda.now, "released"
        self._show(machine, replace(machine.shown, state=MachineState.STOPPING))
        self._doors.released(machine)
        self._doors.dies(machine, at_once=True)
        self._agenda.at(self._agenda.now + self._scene.stop_s.draw(self._chance["stop"]), self._gone, machine)

    def _gone(self, machine: SimMachine) -> None:
        if machine.gone_at == NEVER:
            machine.gone_at = self._agenda.now
            del self.existing[machine.id]
            self._doors.ended(machine)
            self._hide(machine)

    # ---- what a listing shows -----------------------------------------------------------------------

    def _show(self, machine: SimMachine, shown: Machine) -> None:
        machine.shown = shown
        self._later(lambda: self._shown.__setitem__(machine.id, shown))

    def _hide(self, machine: SimMachine) -> None:
        self._later(lambda: self._shown.pop(machine.id, None))

    def _later(self, change: Callable[[], object]) -> None:
        if self._scene.list_delay_s:
            self._agenda.at(self._agenda.now + self._scene.list_delay_s, self._changed, change)
        else:
            self._changed(change)

    def _changed(self, change: Callable[[], object]) -> None:
        change()
        self._listing = None
        self.version += 1
