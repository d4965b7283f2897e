"""A log that one page reads: its end, what comes, and what has some words in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rayfleet.contracts.state import LogSource
from rayfleet.dashboard.clusters import Entry, Figures, Inside, NoWayIn
from rayfleet.dashboard.log_reader import AGAIN_S, KEPT, LogReader, Wanted, plain
from rayfleet.testing.fake_jobs import FakeJobs
from rayfleet.testing.fake_state import FakeState
from rayfleet.testing.virtual_time import run_virtual

SOURCE = LogSource("n1", "a.out")


@dataclass
class Growing(FakeState):
    """A log that grows for as long as somebody follows it; each line that comes is put into `coming`."""

    coming: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    followers: int = 0

    async def follow_log(self, source: LogSource, lines: int = 100) -> AsyncIterator[str]:
        self.followers += 1
        try:
            async for line in FakeState.follow_log(self, source, lines):
                yield line
            while True:
                yield await self.coming.get()
        finally:
            self.followers -= 1


@dataclass
class One:
    """One cluster."""

    state: FakeState
    down: bool = False

    def known(self) -> tuple[Entry, ...]:
        return ()

    def figures(self, cluster: str) -> Figures:
        return Figures()

    @asynccontextmanager
    async def inside(self, cluster: str) -> AsyncIterator[Inside]:
        if self.down:
            raise NoWayIn(f"cluster {cluster} is down", f"rayfleet up {cluster}")
        yield Inside(self.state, FakeJobs())

    async def drain(self, cluster: str, node: str, why: str) -> str:
        return f"{cluster} {node} {why}"


def a_log(*lines: str) -> Growing:
    return Growing(logs={"n1": {"a.out": list(lines)}})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_end_is_shown_and_then_what_comes() -> None:
    async def scene() -> None:
        state, reader = a_log("one", "two"), LogReader(Wanted("c", SOURCE))
        await reader.go_on(One(state))
        await settle()
        assert list(reader.lines) == ["one", "two"]
        state.coming.put_nowait("three")
        await settle()
        assert list(reader.lines) == ["one", "two", "three"]
        reader.stop()
        await settle()
        assert state.followers == 0

    run_virtual(scene())


def test_words_are_looked_for_in_any_case() -> None:
    async def scene() -> None:
        state, reader = a_log("an ERROR", "fine"), LogReader(Wanted("c", SOURCE, " error "))
        await reader.go_on(One(state))
        await settle()
        state.coming.put_nowait("Error again")
        state.coming.put_nowait("fine again")
        await settle()
        assert (list(reader.lines), reader.read) == (["an ERROR", "Error again"], 4)
        reader.stop()

    run_virtual(scene())


def test_who_does_not_follow_gets_what_there_is_once() -> None:
    async def scene() -> None:
        state, reader = a_log("one"), LogReader(Wanted("c", SOURCE, follows=False))
        for _ in range(3):
            await reader.go_on(One(state))
            await asyncio.sleep(2 * AGAIN_S)
        assert (list(reader.lines), state.calls) == (["one"], ["log"])

    run_virtual(scene())


def test_only_the_last_lines_are_kept() -> None:
    async def scene() -> None:
        state, reader = a_log(), LogReader(Wanted("c", SOURCE))
        await reader.go_on(One(state))
        for number in range(KEPT + 3):
            state.coming.put_nowait(str(number))
        for _ in range(KEPT):
            await settle()
        assert (len(reader.lines), reader.lines[0], reader.read) == (KEPT, "3", KEPT + 3)
        reader.stop()

    run_virtual(scene())


def test_what_goes_wrong_is_told_and_tried_again_a_little_later() -> None:
    async def scene() -> None:
        clusters, reader = One(FakeState(logs={"n1": {"a.out": ["one"]}}), down=True), LogReader(Wanted("c", SOURCE))
        await reader.go_on(clusters)
        assert (reader.told.trouble, reader.told.hint) == ("cluster c is down", "rayfleet up c")
        clusters.down = False
        await reader.go_on(clusters)
        assert list(reader.lines) == []
        await asyncio.sleep(AGAIN_S)
        await reader.go_on(clusters)
        await settle()
        assert (list(reader.lines), reader.told.trouble) == (["one"], "")

    run_virtual(scene())


def test_a_log_that_says_nothing_keeps_nobody_waiting() -> None:
    async def scene() -> None:
        reader, began = LogReader(Wanted("c", SOURCE)), asyncio.get_running_loop().time()
        await reader.go_on(One(a_log()))
        assert asyncio.get_running_loop().time() - began < 1.0
        assert not reader.answered.is_set()
        reader.stop()

    run_virtual(scene())


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[36m(train pid=7)\x1b[0m step 1", "(train pid=7) step 1"),
        ("10%|#   \r20%|##  ", "20%|##  "),
        ("done\r", "done"),
    ],
)
def test_a_log_is_shown_without_what_is_meant_for_terminals(line: str, shown: str) -> None:
    assert plain(line) == shown


@dataclass
class Odd(FakeState):
    """Whoever asks it for a log gets what nobody has foreseen."""

    async def follow_log(self, source: LogSource, lines: int = 100) -> AsyncIterator[str]:
        for line in ("first", "second"):
            if line == "second":
                raise KeyError(source.filename)
            yield line


async def test_what_nobody_has_foreseen_is_no_empty_log() -> None:
    reader = LogReader(Wanted("c", SOURCE))
    await reader.go_on(One(Odd()))
    assert reader.told.trouble == "reading it failed: KeyError: 'a.out'"
