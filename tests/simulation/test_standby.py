"""Machines on standby in the whole loop on virtual time, and what the simulator says that they are worth."""

import asyncio
from dataclasses import replace

from tests.simulation.test_crashes import assert_one_machine_per_claim, live
from tests.simulation.test_simulator import CALM, simulated, work

from rayfleet.contracts import Denied, OutOfStock
from rayfleet.model import Offer, Order, OrderKind, Phase, Policy, Pool, Resources, Standby, StandbyMode
from rayfleet.simulator.chance import always
from rayfleet.simulator.compare import result_json
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
CPU4 = Pool("cpu4", Resources.of({"CPU": 4}), max_workers=10, standby=Standby(2))
POLICY = Policy(pools=(CPU4,), idle_timeout_s=5.0)


def resting(world: World) -> list[str]:
    """Return the machines that the place shows at rest."""
    return [machine.id for machine in world.place.listed() if machine.state.value == "standby"]


async def rest(world: World, count: int) -> None:
    """Wait until so many machines are at rest and the controller has seen it."""
    await world.until(lambda: len(resting(world)) == count)
    await asyncio.sleep(2.0)


def test_machines_wait_work_and_wait_again() -> None:
    """Two are made to wait; work starts them and makes a third; afterwards two wait again, and the rest is gone."""

    async def story() -> None:
        world = World(POLICY, boot_s=30.0)
        async with world.controller():
            await rest(world, 2)
            waiting = set(resting(world))
            world.engine.submit(CPU1, count=8, run_s=20)
            took = await world.until(lambda: not [t for t in world.engine.tasks if t.node is None])
            assert took < 10.0  # none was booted
            assert {n.machine_id for n in world.engine.nodes.values() if n.state.value == "alive"} == waiting
            await world.until(lambda: world.engine.done == 8)
            await world.until(lambda: len(resting(world)) == 2 and len(world.place.existing()) == 2)
        assert {claim.phase for claim in world.claims} == {Phase.STANDBY}

    run_virtual(story())


def test_an_idle_machine_is_stopped_instead_of_given_back() -> None:
    """Nothing is made to wait while work is under way, so the machine that worked is the one that waits."""

    async def story() -> None:
        world = World(replace(POLICY, pools=(replace(CPU4, standby=Standby(percent=50.0)),)))
        async with world.controller():
            world.engine.submit(CPU1, count=4, run_s=3)
            await world.until(lambda: world.engine.done == 4)
            await world.until(lambda: world.provider.count("stop") + world.provider.count("prepare") > 0)

    run_virtual(story())


def test_kept_machines_are_those_that_worked_and_are_the_first_to_work_again() -> None:
    """None is made to wait; the same three come and go with the work, however often; a shutdown ends them."""

    async def story() -> None:
        pool = replace(CPU4, max_workers=3, standby=Standby(keep=3))
        world = World(replace(POLICY, pools=(pool,)), boot_s=30.0)
        async with world.controller():
            await asyncio.sleep(20.0)
            assert world.place.machines == {}
            for number in range(1, 4):
                world.engine.submit(CPU1, count=12, run_s=3)
                await world.until(lambda done=12 * number: world.engine.done == done)  # type: ignore[misc]  # bound now
                await rest(world, 3)
            assert len(world.place.machines) == 3
            assert (world.provider.count("prepare"), world.provider.count("release")) == (0, 0)
            await world.memory.add_order(Order("end", OrderKind.SHUTDOWN))
            await world.until(lambda: not world.place.existing())

    run_virtual(story())


def test_killed_while_they_are_stopped_or_started_none_is_lost_or_made_twice() -> None:
    async def story(kill_after_s: float) -> None:
        pool = replace(CPU4, max_workers=2, standby=Standby(keep=2))
        world = World(replace(POLICY, pools=(pool,)), stop_s=1.0)
        async with world.controller():
            world.engine.submit(CPU1, count=8, run_s=3)
            await world.until(lambda: world.engine.done == 8)
            await asyncio.sleep(kill_after_s)
        async with world.controller():
            await rest(world, 2)
            world.engine.submit(CPU1, count=8, run_s=3)
            await asyncio.sleep(kill_after_s / 5)
        async with world.controller():
            await world.until(lambda: world.engine.done == 16)
            await rest(world, 2)
        assert len(world.place.machines) == 2, f"killed after {kill_after_s} s"

    for tenths in range(40, 80, 4):
        run_virtual(story(tenths / 10))


def test_started_machines_are_other_nodes_of_the_same_machines() -> None:
    """Ray goes on showing the dead node of a machine that is started again; the claim is not taken for dead."""

    async def story() -> None:
        pool = replace(CPU4, max_workers=1, standby=Standby(1))  # beside the one that works none could, so none is made
        world = World(replace(POLICY, pools=(pool,)), join_s=3.0)
        async with world.controller():
            for number in range(1, 4):
                await rest(world, 1)
                world.engine.submit(CPU1, count=4, run_s=3)
                await world.until(lambda done=4 * number: world.engine.done == done)  # type: ignore[misc]  # bound now
        nodes = {node.machine_id for node in world.engine.nodes.values()}
        assert len(nodes) < len(world.engine.nodes)
        findings = [f.reason.code for r in world.history.reports for f in r.plan.findings]
        assert not findings

    run_virtual(story())


def test_a_start_without_stock_leaves_the_machine_waiting() -> None:
    async def story() -> None:
        world = World(replace(POLICY, pools=(replace(CPU4, standby=Standby(1)),)))
        async with world.controller():
            await rest(world, 1)
            world.provider.fail("start", OutOfStock("none left"))
            world.engine.submit(CPU1, count=1, run_s=3)
            await world.until(lambda: world.provider.count("start") == 1)
            await world.until(lambda: [c.phase for c in world.claims] == [Phase.STANDBY])
            assert len(resting(world)) == 1
            await world.until(lambda: world.engine.done == 1, within_s=400)  # after the back-off
            assert world.provider.count("start") == 2

    run_virtual(story())


def test_what_cannot_be_stopped_is_given_back() -> None:
    async def story() -> None:
        world = World(replace(POLICY, pools=(replace(CPU4, min_workers=1, standby=Standby(1)),)))
        async with world.controller():
            await world.until(lambda: len(resting(world)) == 1)
            world.engine.submit(CPU1, count=8, run_s=3)
            world.provider.fail("stop", Denied("spot machines cannot be stopped"), times=9)
            await world.until(lambda: world.engine.done == 8)
            await world.until(lambda: world.provider.count("stop") or len(world.place.existing()) == 2)
            await world.until(lambda: len(world.place.existing()) == 2 and len(resting(world)) == 1)

    run_virtual(story())


def test_down_ends_what_waits() -> None:
    async def story() -> None:
        world = World(POLICY)
        async with world.controller():
            await world.until(lambda: len(resting(world)) == 2)
            await world.ledger.add_order(Order("o", OrderKind.SHUTDOWN, at=world.clock.now()))
            await world.until(lambda: not world.place.existing() and not world.claims)

    run_virtual(story())


def test_a_controller_that_is_killed_at_any_step_doubles_and_loses_nothing() -> None:
    """Between the save and the call of a launch to wait, a start and a stop, and everywhere else."""

    async def story(steps: int) -> int:
        world = World(replace(POLICY, pools=(replace(CPU4, standby=Standby(1)),)))
        taken = await live(world, steps, at_most_s=8)
        world.engine.submit(CPU1, count=4, run_s=3)
        taken += await live(world, max(0, steps - taken), at_most_s=25)
        async with world.controller():
            await world.until(lambda: world.engine.done == 4, within_s=900)
            await world.until(lambda: len(resting(world)) == len(world.place.existing()) == 1, within_s=900)
            await world.until(lambda: len(world.claims) == 1)
        assert_one_machine_per_claim(world)
        assert len(world.place.machines) <= 2, f"killed after step {steps}"
        return taken

    longest = run_virtual(story(10_000))
    assert longest > 60
    for steps in range(0, longest, 2):
        run_virtual(story(steps))


# ---- the simulator ------------------------------------------------------------------------------------


BURSTS = "\n".join(f"{at},CPU=1,32,100,," for at in (600, 1800, 3000))


def _policy(standby: Standby | None, usd: float = 0.02) -> Policy:
    pool = Pool("cpu16", Resources.of({"CPU": 16}), offers=(Offer(0.8, standby_usd_per_hour=usd),), standby=standby)
    return Policy(pools=(pool,), idle_timeout_s=60.0)


def test_simulate_shows_what_standby_is_worth() -> None:
    """Bursts wait for 21 s instead of 36: 15 to start where a boot takes 30; what waits costs its disk."""
    scene = replace(CALM, start_s=always(15.0))
    cold = result_json(simulated(work(BURSTS), _policy(None), scene))
    warm_run = simulated(work(BURSTS), _policy(Standby(2)), scene)
    warm = result_json(warm_run)
    assert cold["wait_s"]["max"] >= warm["wait_s"]["max"] + 10
    assert warm_run.counts.started == 6
    assert warm_run.problems == ()
    assert warm_run.machines_left == 0
    assert set(warm_run.tally.usd) == {"cpu16 on_demand", "cpu16 standby"}
    hours = warm_run.end_s / 3600
    assert 0 < warm_run.tally.usd["cpu16 standby"] <= 2 * 0.02 * hours
    booted = simulated(work(BURSTS), _policy(Standby(2, mode=StandbyMode.BOOTED)), scene)
    assert result_json(booted)["wait_s"]["max"] < warm["wait_s"]["max"]
    assert booted.tally.usd["cpu16 standby"] > warm_run.tally.usd["cpu16 standby"]
