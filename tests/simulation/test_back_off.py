"""An offer that fails is left alone for longer and longer, also when the controller is started anew in between."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from rayfleet.contracts import OutOfStock
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import Policy, Pool, Resources
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
