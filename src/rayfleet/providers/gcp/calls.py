"""Makes the library's blocking calls beside the event loop, again when Google has no time, with errors in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from rayfleet.model import OfferKey
from rayfleet.providers.gcp.client import CallFailed, Compute, Operation
from rayfleet.providers.gcp.errors import error
from rayfleet.providers.gcp.settings import Settings

TRIES: Final = 3
POLLS_SLOWEST: Final = 5
"""So many times `poll_s` is the longest pause between two looks at an operation."""
AT_ONCE: Final = 16
"""Calls under way; Google allows about 20 changes a second."""

T = TypeVar("T")


async def all_ended(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Return what calls that are made at the same time answer, in their order; raise the first error of them.

    Only when all have ended: one that is left under way would still make something after the whole has failed.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


class Calls:
    """The client's calls, awaitable."""

    def __init__(self, settings: Settings, compute: Compute) -> None:
        """Take the client. No thread is started yet."""
        self.compute = compute
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="gcp")

    async def once(self, call: Callable[..., T], *args: object) -> T:
        """Make a call; again, at most `TRIES` times in all, when Google has no time. It must be repeatable.

        Raises:
            CallFailed: it did not work.
        """
        loop = asyncio.get_running_loop()
        for number in range(1, TRIES):
            try:
                return await loop.run_in_executor(self._threads, call, *args)
            except CallFailed as failed:
                if not failed.trouble.passing:
                    raise
                await asyncio.sleep(self._settings.retry_delay_s * number)
        return await loop.run_in_executor(self._threads, call, *args)

    async def told(self, offer: OfferKey | None, call: Callable[..., T], *args: object) -> T:
        """Make a call as `once` does, with errors in the contract's words.

        Raises:
            ProviderError: see `errors`.
        """
        try:
            return await self.once(call, *args)
        except CallFailed as failed:
            raise error(failed.trouble, offer) from failed

    async def watched(self, operations: Iterable[Operation]) -> tuple[Operation, ...]:
        """Look after operations until all are done, or for as long as a launch may take; return how far they are."""
        loop = asyncio.get_running_loop()
        until, now, pause_s = loop.time() + self._settings.launch_wait_s, tuple(operations), self._settings.poll_s
        while not all(operation.done for operation in now):
            now = tuple(await all_ended(self.look(operation) for operation in now))
            if loop.time() >= until:
                break
            if not all(operation.done for operation in now):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, POLLS_SLOWEST * self._settings.poll_s)
        return now

    async def look(self, operation: Operation) -> Operation:
        """Return how far an operation is; as far as it was, when that cannot be had now."""
        if operation.done:
            return operation
        try:
            return await self.once(self.compute.operation, operation)
        except CallFailed:
            return operation

    def close(self) -> None:
        """End the threads when their calls have ended, and let go of connections."""
        self._threads.shutdown(wait=False)
        self.compute.close()
