"""The dashboard in the background: found by its note, the only one, and gone when nobody needs it."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, page
from rayfleet.launcher.home import Home
from rayfleet.launcher.page import Page

SERVER = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).accept()[0].sendall(b'served')"
COMMAND = [sys.executable, "-c", SERVER]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "rayfleet").mkdir()
    return tmp_path / "rayfleet"


def noted(folder: Path, found: Page) -> Page:
    (folder / "dashboard.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


@pytest.fixture
def mine(folder: Path) -> Page:
    """Return what is written down of this very process, as if it were the server."""
    return noted(folder, Page("http://127.0.0.1:1/", lease.described(os.getpid(), "dashboard")))


@pytest.fixture
def cluster(folder: Path) -> Home:
    home = homes.create("one")
    home.config.write_text("cluster_name: one\n")
    home.controller.write_text("{}")
    return home


def opened() -> tuple[socket.socket, str]:
    made = socket.create_server(("127.0.0.1", 0))
    return made, f"http://127.0.0.1:{made.getsockname()[1]}/"


def never() -> tuple[socket.socket, str]:
    raise AssertionError("a second one would be started")


def said_by(found: Page) -> bytes:
    port = int(found.url.rstrip("/").rsplit(":", maxsplit=1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        return client.recv(100)


@pytest.fixture
def served(folder: Path) -> Iterator[Page]:
    found = page.ensure(opened, COMMAND)
    yield found
    found.end()


def test_it_is_started_once_and_told_at_once(served: Page, folder: Path) -> None:
    assert page.there() == served
    assert page.ensure(never, COMMAND) == served
    assert oct((folder / "dashboard.json").stat().st_mode)[-3:] == "600"
    assert said_by(served) == b"served"  # also where nobody had accepted yet: the port was open


def test_one_that_is_gone_is_replaced(served: Page, folder: Path) -> None:
    assert said_by(served) == b"served"
    os.waitpid(served.holder.process.pid, 0)
    assert page.there() is None
    assert not served.end()
    noted(folder, served)  # as one that was killed leaves it
    other = page.ensure(opened, COMMAND)
    assert other.holder.process != served.holder.process
    assert said_by(other) == b"served"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": "x", "holder": {}}', '{"url": "x", "holder": 1}'])
def test_a_damaged_note_is_none(folder: Path, text: str) -> None:
    (folder / "dashboard.json").write_text(text)
    assert page.there() is None


def test_a_note_of_another_boot_is_none(folder: Path, mine: Page) -> None:
    assert page.there() == mine
    noted(folder, replace(mine, holder=replace(mine.holder, boot="another")))
    assert page.there() is None


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        page.ensure(never, COMMAND)


async def some_looks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_stays_for_clusters_and_ends_after_the_last(mine: Page, cluster: Home) -> None:
    over = asyncio.create_task(page.until_unwanted(0.0, lambda: False))
    await some_looks()
    assert not over.done()
    cluster.controller.unlink()
    await over
    assert page.there() is None


async def test_a_cluster_that_is_suspended_does_not_keep_it(mine: Page, cluster: Home) -> None:
    cluster.suspended.write_text("{}")
    await page.until_unwanted(0.0, lambda: False)
    assert page.there() is None


async def test_it_stays_while_somebody_looks(mine: Page) -> None:
    looks = [True]
    over = asyncio.create_task(page.until_unwanted(0.0, lambda: looks[0]))
    await some_looks()
    assert not over.done()
    looks[0] = False
    await over


async def test_it_ends_when_its_note_is_gone(mine: Page, cluster: Home) -> None:
    over = asyncio.create_task(page.until_unwanted(0.0, lambda: True))
    await some_looks()
    assert not over.done()
    page.forget()
    await over


async def test_it_waits_for_its_time_to_pass(mine: Page) -> None:
    over = asyncio.create_task(page.until_unwanted(1e6, lambda: False))
    await some_looks()
    assert not over.done()
    over.cancel()
