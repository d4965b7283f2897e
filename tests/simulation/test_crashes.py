"""The controller is killed between any two of its steps; the next one on the same ledger loses and doubles nothing.

A step is one side of one call to ledger, provider or engine: so "between save and launch" and "between launch and the
next tick" are two of the points, and all the others are tried too.
"""

import asyncio

import pytest

from rayfleet.loop import Reconciler
from rayfleet.model import Order, OrderKind, Phase, Policy, Pool, Resources
from rayfleet.testing.faults import Life
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
POLICY = Policy(pools=(Pool("cpu4", Resources.of({"CPU": 4}), max_workers=10),), idle_timeout_s=5.0)


async def live(world: World, steps: int, at_most_s: float) -> int:
    """Run one controller that is killed after `steps` steps, or after a time; return the steps it took."""
    life = Life(steps)
    running = asyncio.create_task(Reconciler(life.bind(world.parts)).run())
    killed = asyncio.create_task(life.ended.wait())
    await asyncio.wait({running, killed}, timeout=at_most_s, return_when=asyncio.FIRST_COMPLETED)
    for task in (running, killed):
        task.cancel()
    await asyncio.wait({running, killed})
    return life.taken


async def all_ready(world: World, count: int) -> None:
    await world.until(lambda: sum(claim.phase is Phase.READY for claim in world.claims) == count, within_s=60)


def assert_one_machine_per_claim(world: World) -> None:
    bound = sorted(host.machine_id or "" for claim in world.claims for host in claim.hosts)
    assert bound == sorted(machine.id for machine in world.place.existing())


def test_killed_while_growing() -> None:
    """Three machines are needed; at whatever step it dies, three are made in all and each has its claim."""

    async def story(steps: int) -> int:
        world = World(POLICY)
        world.engine.submit(CPU1, count=12, run_s=1000)
        taken = await live(world, steps, at_most_s=10)
        async with world.controller():
            await all_ready(world, 3)
            await world.until(lambda: not any(task.node is None for task in world.engine.tasks))
        assert len(world.place.machines) == 3, f"killed after step {steps}"
        assert_one_machine_per_claim(world)
        return taken

    longest = run_virtual(story(10_000))
    assert longest > 40
    for steps in range(40):
        run_virtual(story(steps))


@pytest.mark.parametrize("after_s", [0.0, 4.9])
def test_killed_while_shrinking(after_s: float) -> None:
    """At whatever step it dies, the next one releases all, once the work has ended, and forgets all."""

    async def story(steps: int) -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=8, run_s=6)
        async with world.controller():
            await world.until(lambda: world.engine.done == 8)
            await asyncio.sleep(after_s)
        await live(world, steps, at_most_s=10)
        async with world.controller():
            await world.until(lambda: not world.place.existing(), within_s=30)
            await world.until(lambda: not world.claims, within_s=30)
        assert len(world.place.machines) == 2, f"killed after step {steps}"

    for steps in range(0, 60, 2):
        run_virtual(story(steps))


def test_killed_again_and_again() -> None:
    """A controller that lives for a few steps only, again and again, still gets there."""

    async def story(steps: int) -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=12, run_s=1000)
        for _ in range(60):
            await live(world, steps, at_most_s=5)
        async with world.controller():
            await all_ready(world, 3)
        assert len(world.place.machines) == 3
        assert_one_machine_per_claim(world)

    for steps in (3, 7, 8, 9, 13):
        run_virtual(story(steps))


def test_killed_while_shutting_down() -> None:
    async def story(steps: int) -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=8, run_s=1000)
        async with world.controller():
            await all_ready(world, 2)
        await world.ledger.add_order(Order("down", OrderKind.SHUTDOWN, by="ann", at=world.clock.now()))
        await live(world, steps, at_most_s=10)
        if world.memory.record.orders:  # else the first one has done it all
            await Reconciler(world.parts).run()
        assert world.place.existing() == ()
        assert (world.memory.record.claims, world.memory.record.orders) == ((), ())

    for steps in range(0, 40, 2):
        run_virtual(story(steps))


def test_a_lost_ledger_costs_no_machine() -> None:
    """What runs without a claim is adopted: nothing is launched beside it, and it is released when it is idle."""

    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=8, run_s=60)
        async with world.controller():
            await all_ready(world, 2)
        world.memory.record = type(world.memory.record)()
        async with world.controller():
            await all_ready(world, 2)
            assert len(world.place.machines) == 2
            await world.until(lambda: world.engine.done == 8)
            await world.until(lambda: not world.place.existing(), within_s=30)

    run_virtual(story())
