"""What a controller launched last that nobody could ask to stop: `suspend` and `down` wait for it; killed anywhere."""

import asyncio

import pytest
from tests.unit.launcher.remote import test_suspend
from tests.unit.launcher.remote.test_suspend import Cloud

from rayfleet.contracts import LaunchRequest, MachineState
from rayfleet.launcher.remote.reconcile import LATE_S
from rayfleet.model import Pool, Resources
from rayfleet.testing.virtual_time import run_virtual

cloud = test_suspend.cloud


async def late_worker(cloud: Cloud, after_s: float) -> None:
    """Have a worker appear whose launch was under way: the controller that asked for it is gone."""
    await asyncio.sleep(after_s)
    pool = Pool("w", Resources.of({"CPU": 1}))
    cloud.place.make(LaunchRequest("w9", pool.offers[0].key("w"), pool, ("w-9",)))


@pytest.mark.parametrize("calls", range(1, 7))
@pytest.mark.parametrize("then_down", [False, True], ids=["suspend", "down"])
def test_a_launch_under_way_is_waited_for_by_whoever_goes_on(cloud: Cloud, calls: int, then_down: bool) -> None:
    """Its controller could not be asked, and whoever knew that was killed: the head that rests does not tell."""

    async def story() -> None:
        await cloud.up()
        cloud.head.down = True
        assert await cloud.killed(cloud.suspend, calls, after=True)
        late = asyncio.create_task(late_worker(cloud, LATE_S / 2))
        await (cloud.down() if then_down else cloud.suspend())
        assert late.done()
        assert cloud.states() == ({} if then_down else {"head-1-1": MachineState.STANDBY})

    run_virtual(story())


@pytest.mark.parametrize("calls", [None, *range(1, 6)])
def test_a_launch_under_way_is_waited_for_by_down(cloud: Cloud, calls: int | None) -> None:
    """The head that could not be asked is given back; also when whoever did so was killed then."""

    async def story() -> None:
        await cloud.up()
        cloud.head.down = True
        if calls is not None:
            assert await cloud.killed(cloud.down, calls, after=True)
        late = asyncio.create_task(late_worker(cloud, LATE_S / 2))
        await cloud.down()
        assert late.done()
        assert cloud.states() == {}

    run_virtual(story())


def test_what_was_asked_to_stop_is_not_waited_for(cloud: Cloud) -> None:
    async def story() -> None:
        await cloud.up()
        began = asyncio.get_running_loop().time()
        await cloud.suspend()
        await cloud.down()
        assert asyncio.get_running_loop().time() - began < LATE_S

    run_virtual(story())
