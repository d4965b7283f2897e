"""The loop on virtual time with capacity ahead of demand and with limits that look at the clock."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet.contracts import OutOfStock
from rayfleet.model import Buffer, Forecast, Offer, Policy, Pool, Resources, Schedule, Spent, Timeouts, Window
from rayfleet.reports.demand_series import DemandSeries
from rayfleet.testing.virtual_time import START, run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
CPU4 = Pool("cpu4", Resources.of({"CPU": 4}), offers=(Offer(1.0),))
POLICY = Policy(pools=(CPU4,), idle_timeout_s=5.0)
SPARE = Buffer("spare", CPU1, 2)


def test_work_finds_room_and_the_room_is_made_again() -> None:
    async def story() -> None:
        world = World(replace(POLICY, buffers=(SPARE,)))
        async with world.controller():
            await world.until(lambda: len(world.place.existing()) == 1 and world.engine.nodes)
            world.engine.submit(CPU1, count=4, run_s=60)
            await world.until(
                lambda: sum(task.node is not None for task in world.engine.tasks) == 4, within_s=1
            )  # nobody waits for a machine
            await world.until(lambda: len(world.engine.nodes) == 2, within_s=10)
            await world.until(lambda: world.engine.done == 4, within_s=90)
            await world.until(lambda: len(world.place.existing()) == 1, within_s=30)
            before = len(world.place.machines)
            await world.until(lambda: world.clock.now() >= START + 600, within_s=700)
            assert len(world.place.machines) == before == 2  # and it stays so: no machine is exchanged for another

    run_virtual(story())


def test_a_schedule_takes_effect_when_its_time_has_come() -> None:
    """START is 13:46:40; the window opens at 14:00 and closes at 14:30."""

    async def story() -> None:
        office = Schedule("office", Window("0 14 * * *", 1800.0), "cpu4", min_workers=3)
        world = World(replace(POLICY, schedules=(office,)))
        async with world.controller():
            await world.until(lambda: len(world.place.existing()) == 3, within_s=900)
            assert world.clock.now() - (START + 800) <= 1.0
            await world.until(lambda: not world.place.existing(), within_s=2000)
            assert world.clock.now() - (START + 2600) <= 6.0

    run_virtual(story())


@pytest.mark.parametrize("pause_s", [0.0, 300.0])
def test_todays_spending_survives_a_controller_and_counts_what_ran_without_one(pause_s: float) -> None:
    async def story() -> None:
        world = World(replace(POLICY, max_usd_per_day=1000.0))
        world.engine.submit(CPU1, count=8, run_s=36_000)
        async with world.controller():
            await world.until(lambda: len(world.place.existing()) == 2)
            began = world.clock.now()
            await world.until(lambda: world.clock.now() - began >= 600, within_s=700)
        await world.until(lambda: world.clock.now() - began >= 600 + pause_s, within_s=700)
        async with world.controller():
            await world.until(lambda: world.clock.now() - began >= 1200 + pause_s, within_s=1500)
        held = world.memory.record.spent
        assert held is not None
        assert held.at >= began + 1100 + pause_s  # written down at least each minute
        assert held.usd == pytest.approx(2.0 * (held.at - began) / 3600, abs=0.002)
        # ... and not with every tick
        assert world.memory.saves <= 40

    run_virtual(story())


def test_a_machine_is_launched_as_soon_as_the_rest_of_the_money_lasts_until_midnight() -> None:
    """Most of the day passes without a controller, which would look thousands of times and find nothing changed."""

    async def story() -> None:
        world = World(replace(POLICY, max_usd_per_day=24.0), stop_s=0.0)
        world.memory.record = replace(world.memory.record, spent=Spent(23.9, START))
        world.engine.submit(CPU1, count=4, run_s=360_000)
        midnight = START - START % 86400 + 86400
        await asyncio.sleep(midnight - 3600 - world.clock.now())
        async with world.controller():
            await asyncio.sleep(3000)
            assert not world.place.machines  # 0.10 USD are six minutes of a machine
            await world.until(lambda: len(world.place.existing()) == 1, within_s=600)
            assert 0.0 <= world.clock.now() - (midnight - 360.0) <= 6.0

    run_virtual(story())


def test_a_restart_forgets_no_launch_of_the_minute_even_if_it_failed() -> None:
    other = replace(CPU4, name="other", offers=(Offer(2.0),))

    async def story() -> None:
        world = World(replace(POLICY, pools=(CPU4, other), max_launches_per_min=3))
        world.provider.fail("launch", OutOfStock("none left"), pool="cpu4")
        world.engine.submit(CPU1, count=40, run_s=600)
        async with world.controller():
            await world.until(lambda: world.memory.record.backoffs)
        assert not world.claims
        async with world.controller():
            await asyncio.sleep(50.0)
            assert world.provider.count("launch") == 1
            await world.until(lambda: len(world.place.existing()) == 3, within_s=30)

    run_virtual(story())


def test_launches_that_fail_count_against_the_rate() -> None:
    async def story() -> None:
        world = World(replace(POLICY, max_launches_per_min=3, timeouts=Timeouts(backoff_first_s=15.0)))
        world.provider.fail("launch", OutOfStock("none left"), times=1)
        world.engine.submit(CPU1, count=40, run_s=600)
        asked: list[float] = []
        async with world.controller():
            await world.until(lambda: world.clock.now() - START >= 200, within_s=300)
            for call in world.provider.calls:
                if call.request:
                    asked += [call.at] * len(call.request.claims)
        for moment in asked:
            assert sum(moment <= other < moment + 59.9 for other in asked) <= 3
        assert len(asked) >= 9

    run_virtual(story())


def test_a_forecast_has_machines_up_before_the_work_comes(tmp_path: Path) -> None:
    """Work comes every hour at half past; once that is known well enough, its machines are there before it."""

    async def story() -> None:
        hourly = Forecast(season_s=3600.0, lead_s=300.0)
        series = DemandSeries(tmp_path / "series.txt", hourly)
        world = World(replace(POLICY, forecast=hourly))
        waits = []
        async with world.controller(sinks=(*world.parts.sinks, series), expect=series.expect):
            for hour in range(7):
                at = START - START % 3600 + 1800 + (hour + 1) * 3600
                await asyncio.sleep(at - world.clock.now())
                world.engine.submit(CPU1, count=8, run_s=1200)
                await world.until(lambda: all(task.node for task in world.engine.tasks))
                waits.append(world.clock.now() - at)
                await asyncio.sleep(1300)
        assert [wait < 1.0 for wait in (waits[0], waits[1], waits[-1])] == [False, False, True]

    run_virtual(story())
