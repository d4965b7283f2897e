"""The loop with real planner, fake place and fake engine on virtual time: what a user sees when all goes well."""

import asyncio

from rayfleet.contracts import Machine
from rayfleet.model import Order, OrderKind, Phase, Policy, Pool, Resources
from rayfleet.testing.fake_provider import FakeProvider
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
CPU4 = Pool("cpu4", Resources.of({"CPU": 4}), max_workers=10)
HEAD = Pool("head", Resources.of({"CPU": 0, "memory": 1e9}))
POLICY = Policy(pools=(CPU4,), idle_timeout_s=5.0)


def test_it_grows_to_what_the_work_needs_and_shrinks_to_nothing() -> None:
    async def story() -> None:
        world = World(POLICY)
        async with world.controller():
            world.engine.submit(CPU1, count=15, run_s=3)
            first = await world.until(lambda: len(world.place.existing()) == 4)
            assert first <= 0.3  # poll of the engine, plan, call
            await world.until(lambda: world.engine.done == 15, within_s=10)
            peak = len(world.place.machines)
            shrunk = await world.until(lambda: not world.place.existing(), within_s=60)
            assert peak == 4
            assert 5.0 <= shrunk <= 6.0  # the idle time-out, a drain, a release
            await world.until(lambda: not world.claims)

    run_virtual(story())


def test_demand_reaches_the_provider_at_once() -> None:
    """Times are in the record: from the engine's answer to the provider call."""

    async def story() -> None:
        world = World(POLICY)
        async with world.controller():
            for _ in range(5):
                world.engine.submit(CPU1, count=4, run_s=1)
                await world.until(lambda: not world.engine.tasks)
                await world.until(lambda: not world.place.existing())
        launches = [report.timings for report in world.history.reports if report.plan.launches]
        assert len(launches) == 5
        assert all(0 <= timings.acted_at - timings.seen_at <= 0.05 for timings in launches)

    run_virtual(story())


def test_a_listing_that_takes_longer_than_a_tick_waits_for_it_wakes_the_loop() -> None:
    """Fifty hosts over SSH take a second: it is planned with what they show then, not when another interval is over."""

    class Slow(FakeProvider):
        async def list(self) -> tuple[Machine, ...]:
            await asyncio.sleep(1.0)
            return await super().list()

    async def story() -> None:
        world = World(Policy(pools=(CPU4,), head=HEAD), boot_s=0.0, join_s=60.0)  # the engine has nothing to tell
        place = Slow(world.place, list_interval_s=60.0)
        async with world.controller(providers={"fake": place}):
            await world.until(lambda: any(claim.head and claim.phase is not Phase.REQUESTED for claim in world.claims))
        (launched,) = (call.at for call in place.calls if call.verb == "launch")
        (seen, *_) = (r.snapshot.now for r in world.history.reports if r.plan.claims[0].phase is not Phase.REQUESTED)
        assert seen - launched <= 5.0 + 1.0 + 0.5  # the next tick, the listing that it asks for

    run_virtual(story())


def test_a_quiet_cluster_costs_little() -> None:
    """An hour without work: a tick each 5 s, a look each 0.4 s, a listing at the provider's interval."""

    async def story() -> None:
        world = World(POLICY)
        async with world.controller() as reconciler:
            await world.until(lambda: world.clock.now() - 1_000_000.0 >= 3600, within_s=3700)
            assert len(world.history.reports) <= 3600 / 5 + 10
            assert world.engine.looks <= 3600 / 0.4 + 3600 / 5 + 10
            assert set(reconciler.woken_by) <= {"engine", "machines"}

    run_virtual(story())


def test_the_head_comes_first_and_leaves_last() -> None:
    async def story() -> None:
        world = World(Policy(pools=(CPU4,), head=HEAD, idle_timeout_s=5.0))
        world.engine.submit(CPU1, count=4, run_s=600)
        async with world.controller() as reconciler:
            await world.until(lambda: any(claim.head and claim.phase is Phase.READY for claim in world.claims))
            requests = [call.request for call in world.provider.calls if call.request]
            assert requests[0].head
            await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == 2)
            await world.ledger.add_order(Order("down", OrderKind.SHUTDOWN, by="ann", at=world.clock.now()))
            await world.until(lambda: [m.head for m in world.place.existing()] == [True])
            await world.until(lambda: not world.place.existing())
            await world.until(lambda: not world.memory.record.orders)
            assert world.memory.record.claims == ()
            assert reconciler.woken_by["order"] >= 1

    run_virtual(story())


def test_run_ends_by_itself_after_a_shutdown() -> None:
    async def story() -> None:
        world = World(Policy(pools=(Pool("cpu4", CPU4.resources, min_workers=2),)))
        async with world.controller() as reconciler:
            await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == 2)
        await world.ledger.add_order(Order("down", OrderKind.SHUTDOWN, by="ann", at=world.clock.now()))
        again = type(reconciler)(world.parts)
        await again.run()
        assert world.place.existing() == ()
        assert world.memory.record.orders == ()
        assert world.memory.record.claims == ()

    run_virtual(story())


def test_an_idle_time_out_that_was_ordered_is_kept_to_the_moment() -> None:
    async def story() -> None:
        world = World(Policy(pools=(CPU4,), idle_timeout_s=60.0))
        await world.ledger.add_order(Order("o1", OrderKind.SET, "idle_timeout_s", "1.5", by="ann"))
        async with world.controller():
            world.engine.submit(CPU1, count=4, run_s=3)
            await world.until(lambda: world.engine.done == 4)
            assert 1.4 <= await world.until(lambda: world.engine.drains) <= 1.8

    run_virtual(story())


def test_demand_that_came_during_a_slow_tick_counts_from_when_it_came() -> None:
    """The record is honest: what waited for the loop is part of the time from demand to launch."""

    async def story() -> None:
        world = World(POLICY)
        world.history.write_s = 0.4
        async with world.controller():
            await asyncio.sleep(3.0)
            world.engine.submit(Resources.of({"CPU": 4}), count=1, run_s=60)
            await world.until(lambda: world.provider.count("launch") == 1)
            await asyncio.sleep(0.1)  # the tick that launches is still being written
            world.engine.submit(Resources.of({"CPU": 3}), count=1, run_s=60)
            await world.until(lambda: world.provider.count("launch") == 2)
            await asyncio.sleep(1.0)
        waits = [r.timings.acted_at - r.timings.seen_at for r in world.history.reports if r.plan.launches]
        assert waits[0] <= 0.05
        assert 0.1 <= waits[1] <= 0.8

    run_virtual(story())


def test_a_node_joined_by_hand_is_used_and_left_alone() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.join_by_hand("abc123", Resources.of({"CPU": 4}))
        async with world.controller():
            world.engine.submit(CPU1, count=4, run_s=3)
            await world.until(lambda: world.engine.done == 4)
            await world.until(lambda: world.clock.now() > 1_000_060.0)
        assert world.place.machines == {}
        assert world.engine.drains == []

    run_virtual(story())


def test_stopping_the_controller_leaves_the_machines() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=100)
        async with world.controller():
            await world.until(lambda: len(world.place.existing()) == 1)
        assert len(world.place.existing()) == 1
        assert [claim.hosts[0].machine_id for claim in world.claims] in ([None], [world.place.existing()[0].id])

    run_virtual(story())
