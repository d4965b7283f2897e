"""An offer that fails is left alone for longer and longer, also when the controller is started anew in between."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from rayfleet.contracts import OutOfStock
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import Offer, Policy, Pool, Resources, Trouble
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.testing.world import World

CPU1 = Resources.of({"CPU": 1})
POLICY = Policy(pools=(Pool("cpu4", Resources.of({"CPU": 4})),))


def test_back_offs_are_remembered_across_restarts(tmp_path: Path) -> None:
    """Five minutes, ten, twenty, thirty: each wait spans a restart, on the ledger that clusters have by default."""
    asked_at: list[float] = []

    async def story() -> None:
        world = World(POLICY)
        world.provider.fail("launch", OutOfStock("none left"), times=5)
        world.engine.submit(CPU1, count=4, run_s=2)
        for _ in range(20):  # a controller lives for seven minutes
            ledger = SqliteLedger(tmp_path / "ledger.db")
            world.parts = replace(world.parts, ledger=ledger)
            async with world.controller():
                await asyncio.sleep(420)
            await ledger.close()
        asked_at.extend(call.at for call in world.provider.calls if call.verb == "launch")
        assert world.engine.done == 4

    run_virtual(story())
    waits = [round(later - earlier, -1) for earlier, later in pairwise(asked_at)]
    assert waits == [300, 600, 1200, 1800, 1800]


def test_a_machine_that_waits_for_stock_is_given_back_and_the_next_offer_is_asked() -> None:
    async def story() -> None:
        cheap = Pool("cheap", Resources.of({"CPU": 4}), offers=(Offer(0.1),))
        world = World(Policy(pools=(cheap, replace(cheap, name="dear", offers=(Offer(1.0),))), idle_timeout_s=5.0))
        world.engine.submit(Resources.of({"CPU": 1}), count=1, run_s=600)
        async with world.controller():
            await world.until(world.place.existing, within_s=5)
            (first,) = world.place.existing()
            world.place.keep_waiting(first.id, Trouble.OUT_OF_STOCK, "no more of these")
            waited_s = await world.until(lambda: len(world.place.machines) == 2, within_s=60)
            assert 28.0 <= waited_s <= 36.0
            (backoff,) = world.memory.record.backoffs
            assert (backoff.scope.pool, backoff.trouble) == ("cheap", Trouble.OUT_OF_STOCK)
            await world.until(lambda: [m.offer.pool for m in world.place.existing()] == ["dear"], within_s=10)
            await world.until(lambda: world.engine.tasks[0].node is not None, within_s=10)

    run_virtual(story())
