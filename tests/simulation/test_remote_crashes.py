"""`rayfleet up` and `down` of a cluster elsewhere are killed between any two steps of their loops; then run again.

Counted at the place: one head was ever made, none is left after `down`, and no worker of the head's controller stays.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rayfleet.contracts import Denied, LaunchRequest, OutOfStock
from rayfleet.launcher.errors import TookTooLong
from rayfleet.launcher.progress import Step
from rayfleet.launcher.remote.parts import Booted, HeadOnly, Nobody, head_policy, parts
from rayfleet.launcher.remote.reconcile import HeadFailed, bring_head, known_heads, release_all
from rayfleet.ledger.memory import MemoryLedger
from rayfleet.loop import Parts
from rayfleet.model import Policy, Pool, Resources
from rayfleet.testing.fake_provider import FakePlace, FakeProvider
from rayfleet.testing.faults import Life
from rayfleet.testing.virtual_time import VirtualClock, run_virtual

WORKERS = Pool("cpu4", Resources.of({"CPU": 4}), min_workers=2, max_workers=4)
POLICY = Policy(pools=(WORKERS,), head=Pool("head", Resources()))


class Laptop:
    """The place, and what survives a `kill -9` of `rayfleet up` on the machine that launches: its ledger."""

    def __init__(self, boot_s: float = 2.0) -> None:
        self.clock = VirtualClock()
        self.place = FakePlace(self.clock, boot_s=boot_s, stop_s=0.5)
        self.provider = FakeProvider(self.place)
        self.ledger = MemoryLedger()
        self.told: list[str] = []

    def progress(self, step: Step) -> None:
        self.told.append(step.text)

    async def head(self) -> tuple[Parts, HeadOnly]:
        view = HeadOnly(self.provider, await known_heads(self.ledger))
        edges = (view, Booted(view), self.ledger)
        return parts("one", head_policy(POLICY), edges, (), self.clock), view

    def whole(self) -> Parts:
        return parts("one", POLICY, (self.provider, Nobody(), self.ledger), (), self.clock)

    async def up(self, life: Life | None = None, timeout_s: float = 600.0) -> Any:
        made, view = await self.head()
        return await bring_head(life.bind(made) if life else made, view, self.progress, timeout_s)

    async def down(self, life: Life | None = None) -> Any:
        made = self.whole()
        return await release_all(life.bind(made) if life else made, self.progress, 600.0)

    def add_workers(self) -> None:
        """Have the controller on the head launch its workers; this machine's ledger knows nothing of them."""
        offer = WORKERS.offers[0].key(WORKERS.name)
        self.place.make(LaunchRequest("w1", offer, WORKERS, ("w-1", "w-2", "w-3")))


async def killed(run: Callable[[Life], Any], steps: int) -> int:
    """Run something that is killed after so many steps; return the steps that it took."""
    life = Life(steps)
    running = asyncio.create_task(run(life))
    ended = asyncio.create_task(life.ended.wait())
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (running, ended):
        task.cancel()
    await asyncio.wait({running, ended})
    return life.taken


def heads(laptop: Laptop) -> list[str]:
    return [machine.id for machine in laptop.place.existing() if machine.head]


def test_killed_anywhere_in_up_then_up_again_makes_one_head() -> None:
    async def story(steps: int) -> int:
        laptop = Laptop()
        taken = await killed(laptop.up, steps)
        head = await laptop.up()
        assert heads(laptop) == [head.id], f"killed after step {steps}"
        assert len(laptop.place.machines) == 1, f"killed after step {steps}"
        return taken

    longest = run_virtual(story(10_000))
    assert longest > 12
    for steps in range(longest + 1):
        run_virtual(story(steps))


def test_killed_anywhere_in_up_then_down_leaves_nothing() -> None:
    async def story(steps: int) -> int:
        laptop = Laptop()
        taken = await killed(laptop.up, steps)
        left = await laptop.down()
        assert left.left == ()
        assert laptop.place.existing() == (), f"killed after step {steps}"
        assert len(laptop.place.machines) <= 1, f"killed after step {steps}"
        assert laptop.ledger.record.claims == ()
        return taken

    longest = run_virtual(story(10_000))
    for steps in range(longest + 1):
        run_virtual(story(steps))


def test_a_launch_that_is_carried_out_after_its_up_was_killed_is_undone_by_down() -> None:
    """The ledger knows that it was begun, listings show nothing; what was asked for appears some seconds later."""

    async def story() -> None:
        laptop = Laptop()
        asked: list[LaunchRequest] = []
        called = asyncio.Event()

        class Slow(FakeProvider):
            async def launch(self, request: LaunchRequest) -> None:
                asked.append(request)
                called.set()
                await asyncio.Event().wait()

        made, view = await laptop.head()
        view.inner = Slow(laptop.place)
        rising = asyncio.create_task(bring_head(made, view, laptop.progress, 600.0))
        await called.wait()
        known = laptop.ledger.record  # a process that is killed writes no more
        rising.cancel()
        await asyncio.wait({rising})
        laptop.ledger = MemoryLedger(known)
        falling = asyncio.create_task(laptop.down())
        await asyncio.sleep(30)
        laptop.place.make(asked[0])
        assert (await falling).left == ()
        assert len(laptop.place.machines) == 1
        assert laptop.place.existing() == ()

    run_virtual(story())


def test_killed_anywhere_in_down_then_down_again_leaves_nothing_and_launches_nothing() -> None:
    """The workers, which only the head's controller knew, go too: they are found by their tag."""

    async def story(steps: int) -> int:
        laptop = Laptop()
        await laptop.up()
        laptop.add_workers()
        taken = await killed(laptop.down, steps)
        left = await laptop.down()
        assert left.left == ()
        assert laptop.place.existing() == (), f"killed after step {steps}"
        assert len(laptop.place.machines) == 4, f"killed after step {steps}"
        return taken

    longest = run_virtual(story(10_000))
    assert longest > 12
    for steps in range(longest + 1):
        run_virtual(story(steps))


def test_killed_in_down_then_up_takes_the_order_back() -> None:
    async def story(steps: int) -> None:
        laptop = Laptop()
        await laptop.up()
        await killed(laptop.down, steps)
        head = await laptop.up()
        assert heads(laptop) == [head.id], f"killed after step {steps}"
        assert len(laptop.place.machines) <= 2
        assert laptop.ledger.record.orders == ()

    for steps in range(30):
        run_virtual(story(steps))


def test_up_does_not_touch_workers() -> None:
    async def story() -> None:
        laptop = Laptop()
        await laptop.up()
        laptop.add_workers()
        await laptop.up()
        assert len(laptop.place.existing()) == 4
        assert laptop.provider.count("release") == 0

    run_virtual(story())


def test_the_head_goes_last() -> None:
    async def story() -> None:
        laptop = Laptop()
        head = await laptop.up()
        laptop.add_workers()
        left = await laptop.down()
        assert len(left.there) == 4
        gone_at = {machine.id: machine.gone_at for machine in laptop.place.machines.values()}
        assert gone_at[head.id] == max(gone_at.values())
        assert sorted(gone_at.values())[-2] < gone_at[head.id]

    run_virtual(story())


def test_down_twice_is_down() -> None:
    async def story() -> None:
        laptop = Laptop()
        await laptop.up()
        assert len((await laptop.down()).there) == 1
        assert not (await laptop.down()).there

    run_virtual(story())


def test_three_heads_that_fail_are_enough() -> None:
    """What the last one said is in the message, whole."""

    async def story() -> None:
        laptop = Laptop()

        async def breaking() -> None:
            while True:
                for machine in laptop.place.existing():
                    if not machine.failed:
                        words = f"{machine.id}: pip install nothing ended with code 1\nlast line of {machine.id}"
                        laptop.place.break_down(machine.id, words)
                await asyncio.sleep(0.3)

        breaker = asyncio.create_task(breaking())
        with pytest.raises(HeadFailed) as told:
            await laptop.up(timeout_s=3600)
        breaker.cancel()
        last = max(laptop.place.machines, key=lambda name: laptop.place.machines[name].launched_at)
        assert len(laptop.place.machines) == 3
        assert f"last line of {last}" in str(told.value)
        await laptop.down()
        assert laptop.place.existing() == ()

    run_virtual(story())


def test_a_head_that_works_survives_an_update_that_fails() -> None:
    """The command's words are told; the cluster's head, and what runs on it, stays."""

    async def story() -> None:
        laptop = Laptop()
        head = await laptop.up()
        laptop.place.break_down(head.id, "pip install typo ended with code 1")
        with pytest.raises(HeadFailed, match="brought up to date:\npip install typo"):
            await laptop.up()
        assert heads(laptop) == [head.id]
        assert laptop.provider.count("release") == 0

    run_virtual(story())


def test_denied_is_told_at_once() -> None:
    async def story() -> None:
        laptop = Laptop()
        laptop.provider.fail("launch", Denied("no ec2:RunInstances for you"))
        with pytest.raises(HeadFailed, match="RunInstances"):
            await laptop.up()
        assert laptop.provider.count("launch") == 1

    run_virtual(story())


def test_out_of_stock_is_waited_for_and_told() -> None:
    async def story() -> None:
        laptop = Laptop()
        laptop.provider.fail("launch", OutOfStock("none left of m5.large"))
        head = await laptop.up()
        assert heads(laptop) == [head.id]
        assert any("none left of m5.large" in text for text in laptop.told)

    run_virtual(story())


def test_a_head_that_never_boots_is_told_in_time() -> None:
    async def story() -> None:
        laptop = Laptop(boot_s=1e9)
        with pytest.raises(TookTooLong):
            await laptop.up(timeout_s=60)

    run_virtual(story())
