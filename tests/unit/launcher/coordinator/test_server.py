"""The coordinator over HTTP on this machine, its file, its token, and the hosts that it is told of."""

import json
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from rayfleet.launcher.coordinator.asking import reached
from rayfleet.launcher.coordinator.book import Book
from rayfleet.launcher.coordinator.desk import Desk
from rayfleet.launcher.coordinator.offered import forms
from rayfleet.launcher.coordinator.running import token_of
from rayfleet.launcher.coordinator.server import Address, serving
from rayfleet.launcher.coordinator.store import Store
from rayfleet.launcher.errors import AlreadyControlled, LauncherError
from rayfleet.wire.coordinator.client import CoordinatorError, CoordinatorRefuses, HttpCoordinator
from rayfleet.wire.coordinator.terms import Adopt, Return, Take

SECRET = "s3cret"
WISH = Take("a", "t1", 2, ("h1", "h2"), "sign", "about")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "coordinator")
    found.folder.mkdir()
    return found


def now() -> float:
    return time.time()  # noqa: TID251 - what is shown are real times


@asynccontextmanager
async def coordinator(store: Store, token: str = SECRET, shown: str = SECRET) -> AsyncIterator[HttpCoordinator]:
    """Give a client of a coordinator that knows what the store knows."""
    desk = Desk(store, store.load().offering([{"address": name} for name in ("h1", "h2", "h3")]))
    async with serving(desk, Address("127.0.0.1", 0), token) as port:
        yield HttpCoordinator(f"127.0.0.1:{port}", shown, now)


async def test_every_call_answers_with_the_pool(store: Store) -> None:
    async with coordinator(store) as client:
        assert [host.grant for host in await client.hosts()] == [None] * 3
        taken = await client.take(WISH)
        assert [host.address for host in taken if host.is_of("a")] == ["h1", "h2"]
        (first, *_) = await client.give_back(Return("a", "h1", "sign", "full"))
        assert (first.grant, first.note) == (None, "full")
        (first, *_) = await client.adopt(Adopt("b", "h1", "t", "s", "", 1.0))
        assert first.is_of("b")
        assert next(host.grant for host in await client.free("h1")) is None
        with pytest.raises(CoordinatorRefuses, match="400: there is no host h9"):
            await client.free("h9")
        await client.close()


async def test_a_coordinator_that_is_started_again_knows_all(store: Store) -> None:
    """Times in its answers are off by how long an answer takes, so by no more than all of this takes."""
    began = now()
    async with coordinator(store) as client:
        before = await client.take(WISH)
    async with coordinator(store) as client:
        after = await client.hosts()
        assert [host.address for host in after if host.is_of("a")] == ["h1", "h2"]
        grants = [(old.grant, new.grant) for old, new in zip(before, after, strict=True) if old.grant and new.grant]
        assert all(abs(old.since - new.since) <= now() - began for old, new in grants)


async def test_an_answer_is_on_disk_before_it_is_given(store: Store) -> None:
    """What cannot be written is not granted."""
    in_the_way = store.folder / "hosts.json.new"
    async with coordinator(store) as client:
        in_the_way.mkdir()
        with pytest.raises(CoordinatorError, match="says 500"):
            await client.take(WISH)
        in_the_way.rmdir()
        assert [host.grant for host in await client.hosts()] == [None] * 3


@pytest.mark.parametrize("shown", ["", "wrong"])
async def test_without_the_token_nobody_learns_anything(store: Store, shown: str) -> None:
    async with coordinator(store, shown=shown) as client:
        for call in (client.hosts(), client.take(WISH), client.free("h1")):
            with pytest.raises(CoordinatorRefuses, match="401: the token is missing or wrong") as raised:
                await call
            assert SECRET not in str(raised.value)


async def test_without_a_token_of_its_own_it_asks_for_none(store: Store) -> None:
    async with coordinator(store, token="", shown="") as client:
        assert len(await client.hosts()) == 3


async def test_nobody_there(store: Store) -> None:
    async with coordinator(store) as client:
        name = client.name
    with pytest.raises(CoordinatorError, match=f"coordinator at {name} does not answer"):
        await HttpCoordinator(name, "", now).hosts()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"cluster": 1}', '{"order": 3}'])
async def test_nonsense_is_refused(store: Store, body: str) -> None:
    async with coordinator(store, token="") as client, aiohttp.ClientSession() as session:
        for verb in ("take", "give-back", "adopt", "free"):
            async with session.post(f"http://{client.name}/v1/{verb}", data=body) as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]


async def test_another_server_is_no_coordinator(store: Store) -> None:
    async with coordinator(store, token="") as client:
        with pytest.raises(CoordinatorRefuses, match="404"):
            await HttpCoordinator(f"{client.name}/elsewhere", "", now).hosts()


async def test_an_answer_that_is_no_pool() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="welcome")

    async with RawTestServer(answer) as server:
        with pytest.raises(CoordinatorRefuses, match="is no coordinator: 'welcome'"):
            await HttpCoordinator(f"127.0.0.1:{server.port}", "", now).hosts()


async def test_an_address_that_is_taken(store: Store) -> None:
    async with coordinator(store) as client:
        port = int(client.name.rpartition(":")[2])
        with pytest.raises(LauncherError, match=f"cannot listen at 127.0.0.1:{port}"):
            async with serving(Desk(store, Book()), Address("127.0.0.1", port), ""):
                pass


# ---- files -----------------------------------------------------------------------------------------------------------


def test_the_file_is_private_and_whole_and_damage_is_told(store: Store) -> None:
    store.save(Book().offering([{"address": "h1"}]))
    file = store.folder / "hosts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert store.load().hosts[0].address == "h1"
    for text in ("", "[]", json.dumps({"hosts": [1]})):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(LauncherError, match=r"hosts\.json cannot be read"):
            store.load()


def test_two_coordinators_do_not_share_a_folder(store: Store) -> None:
    with store.alone(), pytest.raises(AlreadyControlled, match="a coordinator is at work"), store.alone():
        pass


def test_a_token_is_made_once_and_only_where_it_is_needed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAYFLEET_COORDINATOR_TOKEN", raising=False)
    assert token_of(store, None, needed=False) == ("", "")
    made, where = token_of(store, None, needed=True)
    assert (made, where) == (store.token.read_text(encoding="utf-8"), str(store.token))
    assert len(made) > 30
    assert token_of(store, None, needed=True) == (made, where)
    assert stat.S_IMODE(store.token.stat().st_mode) == 0o600
    monkeypatch.setenv("RAYFLEET_COORDINATOR_TOKEN", "told")
    assert token_of(store, None, needed=True) == ("told", "")
    file = tmp_path / "t"
    with pytest.raises(LauncherError, match="cannot be read"):
        token_of(store, file, needed=True)
    file.write_text(" \n", encoding="utf-8")
    with pytest.raises(LauncherError, match="is empty"):
        token_of(store, file, needed=False)


def test_who_asks_finds_it_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("RAYFLEET_COORDINATOR", raising=False)
    assert reached("", None).name == "127.0.0.1:8375"
    monkeypatch.setenv("RAYFLEET_COORDINATOR", "desk")
    assert reached("", None).name == "desk:8375"
    assert reached("other:1", None).name == "other:1"


def test_hosts_by_name_and_by_file(tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text("- 10.0.0.2\n- {address: gpu-1, pool: gpu, resources: {CPU: 16, GPU: 1}}\n", encoding="utf-8")
    assert forms(["10.0.0.1"], file) == (
        {"address": "10.0.0.1"},
        {"address": "10.0.0.2"},
        {"address": "gpu-1", "pool": "gpu", "resources": {"CPU": 16.0, "GPU": 1.0}},
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- a\n", "a is named twice"),
        ("a: b\n", "is no list of hosts"),
        ("- [a\n", "cannot be read"),
        ("- {address: a, colour: red}\n", "'a' cannot be a host: colour"),
        ("- {address: '-oProxyCommand=x'}\n", "cannot be a host: address"),
        ("- {address: a, ssh_user: me}\n", "ssh_user: every user has a login of his own"),
        ("- 3\n", "3 cannot be a host"),
    ],
)
def test_a_file_of_hosts_that_makes_no_sense(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LauncherError, match=said):
        forms([], file)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1", "127.0.0.1", 8375, True),
        ("0.0.0.0:1", "0.0.0.0", 1, False),
        ("[::1]:80", "::1", 80, True),
        ("localhost:0", "localhost", 0, True),
        ("rack", "rack", 8375, False),
    ],
)
def test_where_to_listen(text: str, host: str, port: int, loopback: bool) -> None:
    found = Address.parse(text)
    assert (found.host, found.port, found.is_loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", ":80", "a:b", "a:99999"])
def test_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(LauncherError, match="is no address"):
        Address.parse(text)


def test_every_word_of_the_json_is_plain(store: Store) -> None:
    """Other programs read it."""
    book = Book().offering([{"address": "h1"}]).take(WISH, 2.0)
    rows: list[Any] = [host.as_json() for host in book.hosts]
    assert rows == [
        {
            "host": {"address": "h1"},
            "grant": {"cluster": "a", "token": "t1", "sign": "sign", "about": "about", "since": 2.0},
            "note": "",
            "listed": True,
        }
    ]
