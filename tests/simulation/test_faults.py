"""What goes wrong around the loop, on virtual time: each fault is named, and nothing is lost or doubled."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from rayfleet.contracts import EngineView, Flaky, LaunchRequest, OutOfStock
from rayfleet.model import (
    Demand,
    OutcomeKind,
    Phase,
    Plan,
    Policy,
    Pool,
    Resources,
    Snapshot,
    TaskDemand,
    Timeouts,
    Trouble,
)
from rayfleet.planner import plan
from rayfleet.testing.fake_engine import FakeEngine
from rayfleet.testing.fake_provider import Call, FakeProvider
from rayfleet.testing.faults import FakeSink
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
CPU4 = Pool("cpu4", Resources.of({"CPU": 4}), max_workers=10)
BIG8 = Pool("big8", Resources.of({"CPU": 8}), max_workers=10)
TIMEOUTS = Timeouts(
    visibility_timeout_s=2,
    request_timeout_s=20,
    boot_timeout_s=15,
    node_timeout_s=8,
    backoff_first_s=4,
    flaky_first_s=1,
)
POLICY = Policy(pools=(CPU4,), idle_timeout_s=5.0, timeouts=TIMEOUTS)


def ready(world: World) -> int:
    return sum(claim.phase is Phase.READY for claim in world.claims)


class Buggy(FakeProvider):
    """A provider with a fault in its own code, which shows in its first launch."""

    async def launch(self, request: LaunchRequest) -> None:
        if self.count("launch") == 0:
            self.calls.append(Call("launch", self.place.clock.now(), request))
            raise KeyError("instance_type")
        await super().launch(request)


# ---- provider ---------------------------------------------------------------------------------------


def test_out_of_stock_takes_the_other_pool_and_comes_back_later() -> None:
    async def story() -> None:
        world = World(replace(POLICY, pools=(CPU4, BIG8)))
        world.provider.fail("launch", OutOfStock("no cpu4 left"), pool="cpu4")
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await world.until(lambda: world.engine.done == 4, within_s=20)
        assert [machine.offer.pool for machine in world.place.machines.values()] == ["big8"]
        failures = [o for report in world.history.reports for o in report.snapshot.outcomes if o.trouble]
        assert [(failure.trouble, failure.message) for failure in failures] == [(Trouble.OUT_OF_STOCK, "no cpu4 left")]
        assert any(backoff.scope.pool == "cpu4" for backoff in world.memory.record.backoffs)

    run_virtual(story())


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_flaky_launch_is_asked_again_under_its_token(after: int) -> None:
    """Whether the lost call made none, some or all of the machines: in the end there are three."""

    async def story() -> None:
        world = World(POLICY)
        world.provider.fail("launch", Flaky("no answer"), after=after)
        world.engine.submit(CPU1, count=12, run_s=30)
        async with world.controller():
            await world.until(lambda: ready(world) == 3, within_s=60)
        assert len(world.place.machines) == 3

    run_virtual(story())


def test_an_unexpected_error_of_a_provider_is_a_flaky_call() -> None:
    """A fault in a provider's own code costs a try; the loop says so and goes on."""

    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller(providers={"fake": Buggy(world.place)}):
            await world.until(lambda: world.engine.done == 4, within_s=60)
        failures = [o for report in world.history.reports for o in report.snapshot.outcomes if o.trouble]
        assert [(o.trouble, o.message) for o in failures] == [(Trouble.FLAKY, "unexpected KeyError: 'instance_type'")]

    run_virtual(story())


def test_a_launch_that_hangs_is_not_made_twice() -> None:
    async def story() -> None:
        world = World(POLICY)
        held = world.provider.hold("launch")
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await asyncio.sleep(15)
            assert world.provider.count("launch") == 1
            assert world.history.reports[-1].snapshot.in_flight != ()
            held.set()
            await world.until(lambda: world.engine.done == 4, within_s=30)
        assert len(world.place.machines) == 1

    run_virtual(story())


def test_a_machine_that_never_joins_is_replaced() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await world.until(world.place.existing)
            first = world.place.existing()[0].id
            world.engine.never_join.add(first)
            await world.until(lambda: world.engine.done == 4, within_s=60)
            await world.until(lambda: not world.place.existing(), within_s=30)
        assert len(world.place.machines) == 2

    run_virtual(story())


def test_a_machine_that_vanishes_is_replaced_and_its_ghost_is_no_capacity() -> None:
    """The engine still shows the node as alive for a while: nothing may be placed on it."""

    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=20)
        async with world.controller():
            await world.until(lambda: ready(world) == 1)
            await asyncio.sleep(4)  # past the time in which a listing is not believed
            lost = world.place.existing()[0].id
            world.place.vanish(lost)
            took = await world.until(lambda: len(world.place.machines) == 2, within_s=20)
            assert took <= 1.0
            await world.until(lambda: world.engine.done == 4, within_s=60)

    run_virtual(story())


def test_a_node_that_is_killed_is_replaced() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=20)
        async with world.controller():
            await world.until(lambda: ready(world) == 1)
            world.engine.kill_node(world.place.existing()[0].id)
            await world.until(lambda: len(world.place.machines) == 2, within_s=5)
            await world.until(lambda: world.engine.done == 4, within_s=60)
            await world.until(lambda: not world.claims, within_s=30)

    run_virtual(story())


def test_listings_that_fail_half_of_the_time_change_nothing() -> None:
    async def story() -> None:
        world = World(POLICY)
        for _ in range(200):
            world.provider.fail("list", Flaky("try again"), times=1)
        world.engine.submit(CPU1, count=12, run_s=5)
        async with world.controller():
            await world.until(lambda: world.engine.done == 12, within_s=200)
            await world.until(lambda: not world.place.existing(), within_s=200)
        assert len(world.place.machines) == 3
        assert any("provider fake: try again" in report.troubles for report in world.history.reports)

    run_virtual(story())


# ---- engine -----------------------------------------------------------------------------------------


def test_an_engine_outage_changes_nothing_and_is_named() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=8, run_s=40)
        async with world.controller():
            await world.until(lambda: ready(world) == 2)
            world.engine.down = True
            await asyncio.sleep(30)
            last = world.history.reports[-1]
            assert not last.snapshot.engine_up
            assert "engine: the GCS does not answer" in last.troubles
            assert ready(world) == 2
            world.engine.down = False
            await world.until(lambda: world.engine.done == 8, within_s=60)
            await world.until(lambda: not world.claims, within_s=30)
        assert len(world.place.machines) == 2

    run_virtual(story())


def test_an_engine_that_answers_slowly_does_not_stop_the_loop() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.look_s = 7.0
        async with world.controller():
            await asyncio.sleep(60)
            ticks = len(world.history.reports)
        assert ticks >= 60 / 7.0

    run_virtual(story())


def test_a_refused_drain_is_tried_again_later() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        world.engine.refuses = True
        async with world.controller():
            await world.until(lambda: len(world.engine.drains) == 3, within_s=60)
            assert ready(world) == 1
            world.engine.refuses = False
            await world.until(lambda: not world.place.existing(), within_s=30)

    run_virtual(story())


def test_a_node_that_hangs_after_its_drain_is_ended_at_its_deadline() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        world.engine.hangs = True
        async with world.controller():
            await world.until(lambda: world.engine.drains, within_s=60)
            left_after_s = await world.until(lambda: not world.place.existing(), within_s=60)
            assert TIMEOUTS.node_timeout_s <= left_after_s < TIMEOUTS.node_timeout_s + 1
            await world.until(lambda: not world.claims, within_s=10)
        assert len(world.engine.drains) == 1, "it is not asked again"

    run_virtual(story())


# ---- ledger -----------------------------------------------------------------------------------------


def test_nothing_is_launched_that_the_ledger_cannot_hold() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.ledger.write_error = "ledger: database or disk is full"
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await asyncio.sleep(20)
            last = world.history.reports[-1]
            assert world.provider.count("launch") == 0
            assert last.troubles == ("ledger: database or disk is full; 1 launches are held",)
            assert not last.saved
            assert world.engine.reports[-1].troubles == last.troubles
            world.ledger.write_error = ""
            await world.until(lambda: world.engine.done == 4, within_s=20)

    run_virtual(story())


def test_what_is_idle_leaves_even_while_the_ledger_cannot_be_written() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await world.until(lambda: world.engine.done == 4)
            world.ledger.write_error = "ledger: database or disk is full"
            await world.until(lambda: world.engine.drains, within_s=20)
            world.ledger.write_error = ""
            await world.until(lambda: not world.claims, within_s=60)
            await world.until(lambda: not world.place.existing(), within_s=10)

    run_virtual(story())


def test_a_ledger_that_was_never_readable_decides_nothing() -> None:
    """Without its record nobody knows what is ours: no launch, no release, a report that says why."""

    async def story() -> None:
        world = World(POLICY)
        world.ledger.read_error = "ledger: unable to open database file"
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller():
            await asyncio.sleep(10)
            assert world.provider.count("launch") == 0
            assert world.history.reports[-1].troubles == ("ledger: unable to open database file",)
            world.ledger.read_error = ""
            await world.until(lambda: world.engine.done == 4, within_s=20)

    run_virtual(story())


def test_what_was_saved_is_known_while_the_ledger_cannot_be_read() -> None:
    """Else the machine that was just asked for would be asked for once more, and its claim be overwritten."""

    async def story() -> None:
        world = World(POLICY)
        world.place.listing_delay_s = 5.0
        world.engine.submit(CPU1, count=4, run_s=200)
        async with world.controller():
            await world.until(lambda: world.place.machines)
            world.ledger.read_error = "ledger: database is locked"
            await asyncio.sleep(3)
            world.engine.submit(CPU1, count=1, run_s=200)
            await world.until(lambda: len(world.place.machines) == 2, within_s=5)
            await asyncio.sleep(20)
            world.ledger.read_error = ""
            await world.until(lambda: all(task.node for task in world.engine.tasks), within_s=20)
        assert len(world.place.machines) == 2
        assert [claim.phase for claim in world.claims] == [Phase.READY, Phase.READY]

    run_virtual(story())


# ---- the loop itself --------------------------------------------------------------------------------


def test_an_error_in_the_planner_fails_the_tick_with_its_report_and_the_next_tick_runs() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)
        faults = [ZeroDivisionError("no machines"), ZeroDivisionError("no machines")]

        def faulty(snapshot: Snapshot) -> Plan:
            if faults:
                raise faults.pop()
            return plan(snapshot)

        async with world.controller(plan=faulty):
            await world.until(lambda: world.engine.done == 4, within_s=20)
        failed = [report for report in world.history.reports if report.error]
        assert len(failed) == 2
        assert all("ZeroDivisionError: no machines" in report.error for report in failed)
        assert all(report.snapshot.demand for report in failed)
        assert failed[1].snapshot.now - failed[0].snapshot.now >= 1.0

    run_virtual(story())


def test_a_failed_tick_loses_no_outcome() -> None:
    """The launch fails, and the plan that should learn of it fails too: the next plan learns of it."""

    async def story() -> None:
        world = World(replace(POLICY, pools=(CPU4, BIG8)))
        world.provider.fail("launch", OutOfStock("no cpu4 left"), pool="cpu4")
        world.engine.submit(CPU1, count=4, run_s=2)
        faults = [ZeroDivisionError()]

        def faulty(snapshot: Snapshot) -> Plan:
            if snapshot.outcomes and faults:
                raise faults.pop()
            return plan(snapshot)

        async with world.controller(plan=faulty):
            await world.until(lambda: world.engine.done == 4, within_s=20)
        assert [machine.offer.pool for machine in world.place.machines.values()] == ["big8"]

    run_virtual(story())


def test_an_outcome_that_no_plan_survives_is_dropped_and_the_loop_goes_on() -> None:
    async def story() -> None:
        world = World(POLICY)
        world.engine.submit(CPU1, count=4, run_s=2)

        def faulty(snapshot: Snapshot) -> Plan:
            if any(outcome.kind is OutcomeKind.LAUNCH for outcome in snapshot.outcomes):
                raise ZeroDivisionError
            return plan(snapshot)

        async with world.controller(plan=faulty):
            await world.until(lambda: world.engine.done == 4, within_s=30)
            await world.until(lambda: not world.claims, within_s=30)
        assert sum(bool(report.error) for report in world.history.reports) == 4
        assert len(world.place.machines) == 1

    run_virtual(story())


def test_a_slow_sink_slows_nothing_and_drops_the_oldest() -> None:
    async def story() -> None:
        world = World(POLICY)
        slow = FakeSink("slow", write_s=50.0)
        world.engine.submit(CPU1, count=40, run_s=2)
        async with world.controller(sinks=(world.history, slow)) as reconciler:
            began = await world.until(lambda: world.provider.count("launch"), within_s=1)
            assert began <= 0.2
            await asyncio.sleep(600)
            written, dropped = len(slow.reports), reconciler.fanout.dropped["slow"]
        assert written <= 13
        assert dropped > 0
        assert len(world.history.reports) >= 120

    run_virtual(story())


def test_a_broken_sink_is_counted_and_stops_nobody() -> None:
    async def story() -> None:
        world = World(POLICY)
        broken = FakeSink("broken", error=OSError("no space left on device"))
        world.engine.submit(CPU1, count=4, run_s=2)
        async with world.controller(sinks=(broken, world.history)) as reconciler:
            await world.until(lambda: world.engine.done == 4, within_s=20)
            assert reconciler.fanout.failed["broken"] == len(world.history.reports)

    run_virtual(story())


@dataclass
class OddEngine(FakeEngine):
    """Ray, with some answers that nobody can compare with the ones before."""

    async def look(self) -> EngineView:
        view = await super().look()
        odd = TaskDemand(CPU1, selectors=["odd"])  # type: ignore[arg-type]  # a list, which has no hash
        return replace(view, demand=Demand((odd,))) if 2 < self.looks < 8 else view


def test_a_fault_in_a_watcher_slows_the_loop_for_a_moment_only() -> None:
    async def story() -> None:
        world = World(POLICY)
        engine = OddEngine(world.clock, {"cpu4": CPU4}, world.place.listed)
        async with world.controller(engine=engine):
            await asyncio.sleep(61.5)
            engine.submit(CPU1)
            assert await world.until(lambda: world.provider.count("launch")) < 0.5

    run_virtual(story())


# ---- clock ------------------------------------------------------------------------------------------


@dataclass
class SettableClock(VirtualClock):
    """A machine's clock that somebody sets: `ahead_s` before the others."""

    ahead_s: float = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
@pytest.mark.parametrize("after_s", [1.0, 5.0, 9.0, 11.0])
def test_a_clock_that_is_set_delays_nothing(step_s: float, after_s: float) -> None:
    """While machines boot, while they work, while they are idle, and while they leave."""

    async def story() -> None:
        world = World(POLICY, stop_s=2.0)
        clock = SettableClock()
        world.engine.submit(CPU1, count=4, run_s=3)
        async with world.controller(clock=clock):
            await asyncio.sleep(after_s)
            clock.ahead_s = step_s
            await world.until(lambda: world.engine.done == 4, within_s=60)
            await world.until(lambda: not world.place.existing(), within_s=60)
            world.engine.submit(CPU1, count=1, run_s=1)
            await world.until(lambda: world.engine.done == 5, within_s=60)
            await world.until(lambda: not world.claims, within_s=60)
        assert all(not report.error for report in world.history.reports)

    run_virtual(story())


def test_a_ledger_from_the_future_delays_nothing() -> None:
    """A controller ran with a wrong clock and was ended; the next one has the right one."""

    async def story() -> None:
        world = World(POLICY)
        world.provider.fail("launch", OutOfStock("none left"), times=1)
        world.engine.submit(CPU1, count=4, run_s=3)
        async with world.controller(clock=SettableClock(7200.0)):
            await asyncio.sleep(2.0)
        async with world.controller():
            await world.until(lambda: world.engine.done == 4, within_s=TIMEOUTS.backoff_first_s + 60)
            await world.until(lambda: not world.claims, within_s=60)

    run_virtual(story())
