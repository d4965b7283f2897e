"""The fake provider misbehaves exactly as told, and its time is the clock's."""

import asyncio

import pytest
from pydantic import BaseModel

from rayfleet.contracts import Flaky, LaunchRequest, MachineState, OutOfStock, QuotaReached
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.testing.fake_provider import FakePlace, FakeProvider, ManualClock, fake_kind


def request(batch: str, *claims: str, pool: str = "cpu1", hosts: int = 1) -> LaunchRequest:
    return LaunchRequest(batch, OfferKey(pool), Pool(pool, Resources.of({CPU: 1})), claims, hosts)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_machines_boot_and_stop_in_the_clocks_time(clock: ManualClock) -> None:
    place = FakePlace(clock, boot_s=30, stop_s=10)
    provider = FakeProvider(place)
    await provider.launch(request("b1", "c1"))
    (machine,) = await provider.list()
    assert (machine.state, machine.launched_at) == (MachineState.STARTING, clock.now())
    clock.advance(30)
    assert [m.state for m in await provider.list()] == [MachineState.RUNNING]
    await provider.release((machine.id,))
    assert [m.state for m in await provider.list()] == [MachineState.STOPPING]
    clock.advance(9)
    assert len(await provider.list()) == 1
    clock.advance(1)
    assert await provider.list() == ()


async def test_listings_lag_behind_both_ways(clock: ManualClock) -> None:
    place = FakePlace(clock, listing_delay_s=5)
    provider = FakeProvider(place)
    await provider.launch(request("b1", "c1"))
    assert (len(place.existing()), await provider.list()) == (1, ())
    clock.advance(5)
    (machine,) = await provider.list()
    place.vanish(machine.id)
    assert place.existing() == ()
    assert [m.state for m in await provider.list()] == [MachineState.RUNNING], "the listing does not know yet"
    clock.advance(5)
    assert await provider.list() == ()


async def test_errors_come_in_order_for_their_verb_and_pool(clock: ManualClock) -> None:
    provider = FakeProvider(FakePlace(clock))
    provider.fail("launch", OutOfStock("no gpu"), pool="gpu", times=2)
    provider.fail("launch", QuotaReached("full"))
    for error in (OutOfStock, OutOfStock, QuotaReached):
        with pytest.raises(error):
            await provider.launch(request("b1", "c1", pool="gpu"))
    await provider.launch(request("b1", "c1", pool="gpu"))
    assert [type(call.error) for call in provider.calls] == [OutOfStock, OutOfStock, QuotaReached, type(None)]
    assert provider.count("launch") == 4
    assert provider.count("release") == 0


async def test_an_error_can_come_after_part_of_the_work(clock: ManualClock) -> None:
    provider = FakeProvider(FakePlace(clock))
    provider.fail("launch", Flaky("cut off"), after=2)
    with pytest.raises(Flaky):
        await provider.launch(request("b1", "c1", "c2", "c3"))
    assert len(await provider.list()) == 2
    await provider.launch(request("b1", "c1", "c2", "c3"))
    assert len(await provider.list()) == 3


async def test_capacity_gives_a_part_then_nothing_then_what_came_back(clock: ManualClock) -> None:
    provider = FakeProvider(FakePlace(clock, capacity={"cpu1": 2}))
    await provider.launch(request("b1", "c1", "c2", "c3"))
    first, _ = await provider.list()
    with pytest.raises(OutOfStock) as raised:
        await provider.launch(request("b2", "c4"))
    assert raised.value.scope == OfferKey("cpu1")
    await provider.launch(request("b3", "c5", pool="other"))
    await provider.release((first.id,))
    await provider.launch(request("b2", "c4"))
    assert [m.batch for m in await provider.list()] == ["b1", "b2", "b3"]


async def test_breakdowns_and_interruptions_are_listed(clock: ManualClock) -> None:
    place = FakePlace(clock)
    provider = FakeProvider(place)
    await provider.launch(request("b1", "c1", "c2"))
    first, second = [machine.id for machine in await provider.list()]
    place.break_down(first, "disk died")
    place.interrupt(second, clock.now() + 120)
    broken, doomed = await provider.list()
    assert (broken.state, broken.message) == (MachineState.FAILED, "disk died")
    assert doomed.interrupt_at == clock.now() + 120


async def test_a_held_call_waits_and_is_recorded_when_it_begins(clock: ManualClock) -> None:
    provider = FakeProvider(FakePlace(clock))
    let_go = provider.hold("launch")
    call = asyncio.create_task(provider.launch(request("b1", "c1")))
    await asyncio.sleep(0)
    assert provider.count("launch") == 1
    assert await provider.list() == ()
    let_go.set()
    await call
    assert len(await provider.list()) == 1


async def test_a_kind_builds_providers_of_one_place(clock: ManualClock) -> None:
    place = FakePlace(clock)
    kind = fake_kind(place, BaseModel)
    assert kind.name == "fake"
    await FakeProvider(place).launch(request("b1", "c1"))
    assert len(place.existing()) == 1
