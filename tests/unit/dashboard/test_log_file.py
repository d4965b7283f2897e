"""The controller's own log, read from its file: the end, what comes, and what a rotation leaves."""

import asyncio
from pathlib import Path

import pytest

from rayfleet.dashboard.clusters import NoWayIn
from rayfleet.dashboard.log_file import lines_of, names_in


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "controller.log"
    path.write_text("one\ntwo\nthree\n")
    path.with_name("empty").touch()
    return path


async def end_of(path: Path, many: int) -> list[str]:
    return [line async for line in lines_of(path, many, follows=False)]


def rotate(log: Path) -> None:
    log.rename(log.with_name("controller.log.1"))
    log.write_text("anew\n")


async def test_the_last_lines_are_read(log: Path) -> None:
    assert await end_of(log, 2) == ["two", "three"]
    assert await end_of(log.with_name("empty"), 2) == []


def written(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


async def test_a_line_that_is_being_written_is_waited_for(log: Path) -> None:
    written(log, b"unfini")
    following = lines_of(log, 2, follows=True)
    assert await anext(following) == "three"
    written(log, b"shed\nfive \xff\n")
    assert [await asyncio.wait_for(anext(following), 30) for _ in range(2)] == ["unfinished", "five \ufffd"]
    await following.aclose()  # type: ignore[attr-defined]


async def test_what_comes_is_followed_across_a_rotation(log: Path) -> None:
    following = lines_of(log, 1, follows=True)
    assert await anext(following) == "three"
    rotate(log)
    assert await asyncio.wait_for(anext(following), 30) == "anew"
    await following.aclose()  # type: ignore[attr-defined]


async def test_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoWayIn, match=r"gone\.log cannot be read: No such file"):
        await end_of(tmp_path / "gone.log", 1)


def test_files_are_offered_and_nothing_else(log: Path) -> None:
    (log.parent / "folder").mkdir()
    (log.parent / "controller.log.1").touch()
    assert names_in(log.parent) == ["controller.log", "controller.log.1", "empty"]
    assert names_in(log.parent / "nowhere") == []
