"""Idle machines that are stopped and kept, at each cloud's own client over its emulator, on virtual time.

What a cluster file's `cache_stopped_nodes: true` comes to: the same machine works again, and a shutdown ends it.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.unit.providers.clouds import POOL, Cloud, cloud

from rayfleet.contracts import Machine, MachineState, StandbyProvider
from rayfleet.model import CPU, MachineFact, Market, Offer, Order, OrderKind, Policy, Resources, Standby
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

TASK = Resources.of({CPU: 2})


class Story:
    """A cluster of at most two workers, of which the idle ones are kept, at an emulated cloud."""

    def __init__(self, there: Cloud, market: Market) -> None:
        self.there = there
        self.provider = cast("StandbyProvider", there.provider())
        self._listed: tuple[Machine, ...] = ()
        offer = Offer(0.1, market=market, zone=there.zones[0], region=there.region, provider=there.name)
        pool = replace(POOL, min_workers=0, max_workers=2, standby=Standby(keep=2), offers=(offer,))
        self.world = World(Policy(pools=(pool,), idle_timeout_s=10.0))
        self.world.engine.machines = lambda: self._listed
        parts = self.world.parts
        self.world.parts = replace(parts, providers={there.name: self}, standby={there.name: self.provider})
        self.name, self.list_interval_s = self.provider.name, self.provider.list_interval_s
        self.launch, self.release, self.close = self.provider.launch, self.provider.release, self.provider.close

    async def list(self) -> tuple[Machine, ...]:
        self._listed = await self.provider.list()
        return self._listed

    async def work(self, done: int) -> None:
        """Have one more task done."""
        self.world.engine.submit(TASK, count=1, run_s=5)
        await self.world.until(lambda: self.world.engine.done == done)

    def rests(self) -> bool:
        """Say whether the only machine is stopped, and the loop knows it."""
        reports = self.world.history.reports
        hosts = [host.machine for claim in reports[-1].plan.claims for host in claim.hosts] if reports else []
        return hosts == [MachineFact.STANDBY] and [each.state for each in self._listed] == [MachineState.STANDBY]


@pytest.fixture(params=["aws", "gcp", "azure", "aliyun"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """Return each of the clouds, one after the other."""
    with cloud(request.param, tmp_path) as found:
        yield found


def test_an_idle_machine_is_stopped_and_the_same_one_works_again(there: Cloud) -> None:
    async def story() -> None:
        it = Story(there, Market.ON_DEMAND)
        async with it.world.controller():
            await it.work(done=1)
            first = list(there.there())
            await it.world.until(it.rests)
            await it.work(done=2)
            await it.world.until(it.rests)
            assert (list(there.there()), there.made()) == (first, 1)
            await it.world.memory.add_order(Order("end", OrderKind.SHUTDOWN))
            await it.world.until(lambda: not there.there())

    run_virtual(story())


def test_an_idle_spot_machine_is_terminated(there: Cloud) -> None:
    async def story() -> None:
        it = Story(there, Market.SPOT)
        async with it.world.controller():
            await it.work(done=1)
            await it.world.until(lambda: not there.there())

    run_virtual(story())
    assert there.made() == 1
