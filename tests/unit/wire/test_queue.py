"""The queue of work: once for many additions, never twice at a time, later after failures. On virtual time."""

import asyncio

import pytest

from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.queue import RETRY_FIRST_S, RETRY_MAX_S, WorkQueue


def test_a_key_that_is_added_many_times_is_taken_once() -> None:
    async def main() -> list[str]:
        queue = WorkQueue[str]()
        for key in ("b", "a", "b", "b"):
            queue.add(key)
        return [await queue.take() for _ in range(2)]

    assert run_virtual(main()) == ["b", "a"]


def test_a_key_that_is_added_while_it_is_worked_on_is_not_taken_a_second_time() -> None:
    async def main() -> bool:
        queue = WorkQueue[str]()
        queue.add("a")
        assert await queue.take() == "a"
        queue.add("a")
        try:
            async with asyncio.timeout(60):
                await queue.take()
        except TimeoutError:
            return len(queue) == 1
        return False

    assert run_virtual(main())


def test_done_lets_the_next_one_have_it() -> None:
    async def main() -> str:
        queue = WorkQueue[str]()
        queue.add("a")
        await queue.take()
        queue.add("a")
        queue.done("a")
        return await queue.take()

    assert run_virtual(main()) == "a"


@pytest.mark.parametrize(("additions", "taken_at"), [((5.0,), 5.0), ((5.0, 2.0), 2.0), ((2.0, 5.0), 2.0)])
def test_of_several_later_moments_the_first_counts_and_only_it(additions: tuple[float, ...], taken_at: float) -> None:
    async def main() -> tuple[float, int]:
        loop, queue = asyncio.get_running_loop(), WorkQueue[str]()
        for seconds in additions:
            queue.add_after("a", seconds)
        await queue.take()
        queue.done("a")
        at = loop.time()
        await asyncio.sleep(10)
        return at, len(queue)

    assert run_virtual(main()) == (taken_at, 0)


def test_adding_at_once_takes_the_place_of_later() -> None:
    async def main() -> tuple[float, int]:
        loop, queue = asyncio.get_running_loop(), WorkQueue[str]()
        queue.add_after("a", 5)
        queue.add("a")
        await queue.take()
        queue.done("a")
        at = loop.time()
        queue.add("b")
        await asyncio.sleep(10)
        return at, len(queue)

    assert run_virtual(main()) == (0.0, 1)


def test_waits_between_retries_double_up_to_a_limit_and_start_anew_after_success() -> None:
    async def main() -> tuple[list[float], float]:
        queue = WorkQueue[str]()
        waits = []
        for _ in range(15):
            waits.append(queue.retry("a"))
            assert await queue.take() == "a"
            queue.done("a")
        queue.forget("a")
        return waits, queue.retry("a")

    waits, after_success = run_virtual(main())
    assert waits[:4] == [RETRY_FIRST_S * n for n in (1, 2, 4, 8)]
    assert waits[-1] == RETRY_MAX_S
    assert after_success == RETRY_FIRST_S
