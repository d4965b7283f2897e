"""The whole controller over each cloud's own client over its emulator, on virtual time: faults and what they lead to.

A cluster that wants three workers has them in the end, and never one too many, whatever the cloud does meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.providers.clouds import POOL, Cloud, cloud, zones

from rayfleet.contracts import LaunchRequest, Machine, MachineState, Provider
from rayfleet.model import Offer, Policy
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

WANTED = POOL.min_workers


class Watched:
    """A provider whose last listing is known, for nodes come from machines that run."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self.listed: tuple[Machine, ...] = ()

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def list_interval_s(self) -> float:
        return self._inner.list_interval_s

    async def list(self) -> tuple[Machine, ...]:
        self.listed = await self._inner.list()
        return self.listed

    async def launch(self, request: LaunchRequest) -> None:
        await self._inner.launch(request)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        await self._inner.release(machine_ids)

    async def close(self) -> None:
        await self._inner.close()


class Story:
    """A cluster at an emulated cloud, in two zones, the first of which is cheaper. `never`: machines without a node."""

    def __init__(self, there: Cloud) -> None:
        self.there = there
        self.never: set[str] = set()
        offers = tuple(
            Offer(0.1 + number / 10, zone=zone, region=there.region, provider=there.name)
            for number, zone in enumerate(there.zones)
        )
        self.world = World(Policy(pools=(replace(POOL, offers=offers),)))
        self.world.engine.machines = self._machines
        self.renew()

    def renew(self) -> None:
        """Have the next controller begin with a provider that remembers only what is on disk."""
        self._provider = Watched(self.there.provider())
        self.world.parts = replace(self.world.parts, providers={self.there.name: self._provider}, standby={})

    def _machines(self) -> tuple[Machine, ...]:
        there = self.there.there()
        running = (each for each in self._provider.listed if each.state is MachineState.RUNNING)
        return tuple(each for each in running if each.id in there and each.id not in self.never)

    def nodes(self) -> int:
        """Return how many nodes could have come."""
        return len(self._machines())

    async def all_there(self, within_s: float = 600) -> float:
        """Wait until all that is wanted runs; return how long that took."""
        return await self.world.until(lambda: self.nodes() == WANTED, within_s)

    async def lasts(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)


@pytest.fixture(params=["aws", "gcp", "azure", "aliyun"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """Return each of the clouds, one after the other."""
    with cloud(request.param, tmp_path) as found:
        yield found


Told = Callable[[Story], Awaitable[None]]


def tell(there: Cloud, told: Told, made: int = WANTED) -> None:
    """Tell a story to its end: as many machines as are wanted are there, and so many were ever made."""

    async def story() -> None:
        it = Story(there)
        await told(it)

    run_virtual(story())
    assert (len(there.there()), there.made()) == (WANTED, made)


def test_no_stock_in_one_zone_ends_in_another(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.sold_out(there.zones[0])
        async with it.world.controller():
            assert await it.all_there() < 60
        assert zones(there) == {there.zones[1]: WANTED}
        assert there.launches() <= 1 + 2 * there.per_launch

    tell(there, told)


def test_no_stock_anywhere_is_asked_for_seldom_and_had_when_it_is_back(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.sold_out()
        async with it.world.controller():
            await it.lasts(300)
            assert there.launches() <= 6 * there.per_launch
            assert there.there() == {}
            there.heal()
            await it.all_there(within_s=1800)

    tell(there, told)


def test_a_quota_keeps_from_asking_in_every_zone(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.quota()
        async with it.world.controller():
            await it.lasts(300)
            assert there.launches() <= 3 * there.per_launch
            there.heal()
            await it.all_there(within_s=3600)

    tell(there, told)


def test_a_storm_of_throttling_is_sat_out(there: Cloud) -> None:
    """A call a second on average at most: every cloud allows several times as many."""

    async def told(it: Story) -> None:
        there.storm()
        async with it.world.controller():
            await it.lasts(300)
            assert there.calls() <= 300
            there.heal()
            await it.all_there(within_s=1800)

    tell(there, told)


def test_a_part_of_a_fleet_is_completed_elsewhere(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.one_less()
        async with it.world.controller():
            await it.all_there()
            await it.lasts(30)

    tell(there, told)


def test_a_machine_that_vanishes_is_replaced(there: Cloud) -> None:
    async def told(it: Story) -> None:
        async with it.world.controller():
            await it.all_there()
            there.vanish(min(there.there()))
            await it.world.until(lambda: there.made() == WANTED + 1)
            await it.all_there()
            await it.lasts(30)

    tell(there, told, made=WANTED + 1)


def test_new_machines_that_are_listed_late_are_not_made_again(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.hide_new(3)
        async with it.world.controller():
            await it.all_there()
            await it.lasts(30)

    tell(there, told)


def test_a_boot_that_never_finishes_is_given_up_and_replaced(there: Cloud) -> None:
    """The others are not held up by it."""

    async def told(it: Story) -> None:
        async with it.world.controller():
            await it.world.until(there.there)
            it.never.add(min(there.there()))
            await it.world.until(lambda: it.nodes() == WANTED - 1, within_s=60)
            await it.all_there(within_s=3600)
            await it.lasts(30)
        assert not it.never & there.there().keys()

    tell(there, told, made=WANTED + 1)


def test_controllers_that_die_while_answers_are_lost_make_nothing_twice(there: Cloud) -> None:
    async def told(it: Story) -> None:
        there.hide_new(2)
        there.lose_answers(4)
        for _ in range(3):
            async with it.world.controller():
                await it.lasts(2)
            it.renew()
        async with it.world.controller():
            await it.all_there()
            await it.lasts(30)

    tell(there, told)
