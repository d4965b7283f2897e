"""The whole controller over Google's client over the emulator, on virtual time: what only Google does.

What all clouds do, and what it leads to, is told in test_faults_with_the_loop.py.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.unit.providers.gcp.place import at

from rayfleet.contracts import Machine, MachineState, Provider
from rayfleet.model import CPU, Market, Offer, Policy, Pool, Resources
from rayfleet.providers.gcp.labels import BATCH, offer_of, read
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

A, B = "us-central1-a", "us-central1-b"
MAKING: Final = ("compute.instances.insert", "compute.instances.bulkInsert")
STOCK: Final = "ZONE_RESOURCE_POOL_EXHAUSTED"
FOREVER: Final = 10**6
OFFERS: Final = (Offer(0.1, zone=A, provider="gcp"), Offer(0.2, zone=B, provider="gcp"))


class Story:
    """A cluster that wants three workers, at an emulated project."""

    def __init__(self, cloud: GcpEmulator, folder: Path, offers: tuple[Offer, ...] = OFFERS, **settings: Any) -> None:
        self.cloud = cloud
        pool = Pool("workers", Resources.of({CPU: 4}), min_workers=3, offers=offers)
        self.world = World(Policy(pools=(pool,)))
        self._new: Callable[[], Provider] = lambda: at(cloud, folder, cluster="world", retry_delay_s=1.0, **settings)
        self.renew()

    def renew(self) -> None:
        """Have the next controller begin with a provider that remembers only what is on disk."""
        self.world.engine.machines = self._machines
        self.world.parts = replace(self.world.parts, providers={"gcp": self._new()}, standby={})

    def _machines(self) -> tuple[Machine, ...]:
        running = [m for m in self.cloud.account.machines.values() if m.body["status"] == "RUNNING"]
        return tuple(
            Machine(m.name, offer_of(m.body["labels"]), read(m.body["labels"], BATCH), MachineState.RUNNING)
            for m in running
        )

    def zones(self) -> Counter[str]:
        """Return in which zones machines run."""
        everything = self.cloud.account.machines.values()
        return Counter(machine.zone for machine in everything if machine.body["status"] == "RUNNING")

    def launches(self) -> int:
        """Return how often machines were asked for."""
        return sum(self.cloud.calls[action] for action in MAKING)

    def fail(self, **fault: Any) -> None:
        """Have every launch meet a fault from now on."""
        self.cloud.faults += [Fault(action, times=FOREVER, **fault) for action in MAKING]

    async def lasts(self, seconds: float) -> None:
        """Let time pass."""
        until = self.world.clock.now() + seconds
        await self.world.until(lambda: self.world.clock.now() >= until, within_s=2 * seconds)


def told(story: Coroutine[Any, Any, None]) -> None:
    run_virtual(story)


def test_no_stock_that_is_told_late_ends_in_another_zone_too(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.operation_looks = 4

    async def story() -> None:
        it = Story(cloud, tmp_path, launch_wait_s=0.0)
        it.fail(operation=STOCK, zone=A)
        async with it.world.controller():
            await it.world.until(lambda: it.zones() == {B: 3})
        assert cloud.account.ever_made == 3

    told(story())


def test_what_google_takes_is_replaced_and_leaves_nothing(cloud: GcpEmulator, tmp_path: Path) -> None:
    async def story() -> None:
        it = Story(cloud, tmp_path, (Offer(0.05, Market.SPOT, zone=A, provider="gcp"),))
        async with it.world.controller():
            await it.world.until(lambda: it.zones() == {A: 3})
            first, second, third = sorted(machine.name for machine in cloud.account.machines.values())
            cloud.account.preempt(first)
            cloud.account.vanish(second)
            await it.world.until(lambda: it.zones() == {A: 3} and cloud.account.ever_made == 5)
            await it.lasts(120)
        assert len(cloud.account.machines) == 3
        assert third in {machine.name for machine in cloud.account.machines.values()}

    told(story())


def test_controllers_that_die_while_answers_are_lost_make_nothing_twice(cloud: GcpEmulator, tmp_path: Path) -> None:
    async def story() -> None:
        it = Story(cloud, tmp_path)
        cloud.account.hide_new = 3
        for action in MAKING:
            cloud.faults.append(Fault(action, status=503, done=True, times=4))
        for _ in range(3):
            async with it.world.controller():
                await it.lasts(2)
            it.renew()
        async with it.world.controller():
            await it.world.until(lambda: it.zones().total() == 3)
            await it.lasts(120)
        assert (cloud.account.ever_made, len(cloud.account.machines)) == (3, 3)

    told(story())
