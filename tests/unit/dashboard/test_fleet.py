"""All clusters on one page: none waits for another, and what was is not shown as what is."""

import asyncio
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from scripts.screenshots import Recorded

from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.pages.fleet import cards_of
from rayfleet.dashboard.readings.seen import Newest
from rayfleet.dashboard.readings.shared import Readings
from rayfleet.dashboard.site import Site
from rayfleet.reports.history import HistoryReader

PLENTY_S = 10.0


class Held(Readings):
    """The first record is not read before the second one was."""

    def __init__(self) -> None:
        super().__init__()
        self._second = asyncio.Event()

    async def of(self, path: Path, what: Hashable, make: Callable[[HistoryReader], Any], every_s: float = 0.0) -> Any:
        if path.name == "first":
            await self._second.wait()
        self._second.set()
        return Newest(None, None)


async def test_a_record_that_is_slow_to_read_holds_up_no_other() -> None:
    clusters = Recorded([Entry("a", "up", Path("first")), Entry("b", "up", Path("second"))])
    cards = await asyncio.wait_for(cards_of(Site(clusters, Held())), PLENTY_S)
    assert [card.entry.name for card in cards] == ["a", "b"]
