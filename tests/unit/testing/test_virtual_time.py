"""Virtual time: sleeps cost nothing, come in the right order, and a deadlock is an error instead of a wait."""

import asyncio
import threading
import time

import pytest

from rayfleet.testing.virtual_time import START, Deadlock, VirtualClock, run_virtual


def test_a_day_takes_no_time() -> None:
    async def sleep_long() -> float:
        clock = VirtualClock()
        await asyncio.sleep(86_400)
        return clock.now() - START

    began = time.perf_counter()
    assert run_virtual(sleep_long()) == pytest.approx(86_400)
    assert time.perf_counter() - began < 5


def test_sleepers_wake_in_order() -> None:
    async def race() -> list[str]:
        order = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(f"{name} at {VirtualClock().now() - START:g}")

        await asyncio.gather(sleeper("slow", 3), sleeper("quick", 0.5), sleeper("middle", 2))
        return order

    assert run_virtual(race()) == ["quick at 0.5", "middle at 2", "slow at 3"]


def test_time_outs_pass() -> None:
    async def late() -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(11)

    with pytest.raises(TimeoutError):
        run_virtual(late())


def test_waiting_for_nothing_is_an_error() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(stuck())


def test_work_for_threads_is_done_on_the_spot() -> None:
    async def work() -> tuple[int, float]:
        thread = await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)
        return thread, VirtualClock().now()

    assert run_virtual(work()) == (threading.get_ident(), START)


def test_an_error_of_such_work_reaches_who_waits_for_it() -> None:
    def fails() -> None:
        raise KeyError("x")

    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(None, fails)

    with pytest.raises(KeyError):
        run_virtual(work())


def test_two_runs_begin_at_the_same_time() -> None:
    async def first_look() -> float:
        return VirtualClock().now()

    assert run_virtual(first_look()) == run_virtual(first_look()) == START
