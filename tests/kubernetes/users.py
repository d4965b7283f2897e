"""People who never stop asking: what they were told, and what they were refused."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp

PAUSE_S = 0.05
PATIENCE_S = 20.0


class Users:
    """Asks a URL about twenty times a second, one request not waiting for the other, as an asynchronous context."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: Counter[str] = Counter()
        """Answers, with how often."""
        self.refused: list[str] = []
        """What went wrong, each time."""
        self._asking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._asking)
        await self._session.close()

    async def _go_on(self) -> None:
        while True:
            task = asyncio.create_task(self._ask())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            await asyncio.sleep(PAUSE_S)

    async def _ask(self) -> None:
        try:
            async with self._session.get(self.url) as answer:
                text = await answer.text()
                if answer.ok:
                    self.told[text] += 1
                else:
                    self.refused.append(f"{answer.status} {text[:200]}")
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            self.refused.append(repr(problem))
