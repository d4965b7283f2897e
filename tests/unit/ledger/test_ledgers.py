"""All ledgers hold the same record; the SQLite one also after a restart, beside other writers and on a broken disk."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayfleet.contracts import Ledger, LedgerUnavailable, Record
from rayfleet.ledger.kubernetes import KubernetesLedger
from rayfleet.ledger.memory import MemoryLedger
from rayfleet.ledger.sqlite import SCHEMA_VERSION, SqliteLedger
from rayfleet.model import (
    Backoff,
    Claim,
    Drain,
    Host,
    OfferKey,
    Order,
    OrderKind,
    Phase,
    ReasonCode,
    Spent,
    Trouble,
    reason,
)
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Unavailable
from rayfleet.wire.kube.objects import CONFIG_MAP, Key

POOL = OfferKey("cpu4")
C1 = Claim("c1", POOL, Phase.READY, (Host("c1", "m1", "n1"),), since=3.5, created=1.0, batch="b1", usd_per_hour=0.25)
C2 = Claim(
    "c2", POOL, Phase.DRAINING, (Host("c2", "m2"),), batch="b1",
    drain=Drain(reason(ReasonCode.IDLE, idle_s=61.5, idle_timeout_s=60), 10.0, 20.0),
)  # fmt: skip
BACKOFF = Backoff(POOL, until=99.0, trouble=Trouble.OUT_OF_STOCK, failures=2, message="none left")
SCALE = Order("o1", OrderKind.SCALE, "cpu4", "3", by="ann", why="benchmark", at=5.0)
DOWN = Order("o2", OrderKind.SHUTDOWN, by="bob", at=6.0)


def connection(ledger: SqliteLedger) -> sqlite3.Connection:
    """Return the open connection: a full or read-only disk is a setting of the connection, not of the file."""
    opened = ledger._file._open  # noqa: SLF001 - there is no other way to it, and nobody else needs one
    assert opened is not None
    return opened


def in_kubernetes(kube: FakeKube, owner: str = "uid-demo") -> KubernetesLedger:
    reference = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "demo", "uid": owner}
    return KubernetesLedger(kube, Key("team", "demo-ledger"), reference, {"ray.io/cluster": "demo"})


@pytest.fixture(params=["memory", "sqlite", "kubernetes"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    made: Ledger = MemoryLedger()
    if request.param == "sqlite":
        made = SqliteLedger(tmp_path / "ledger.sqlite")
    elif request.param == "kubernetes":
        made = in_kubernetes(FakeKube())
    yield made
    await made.close()


# ---- the contract -----------------------------------------------------------------------------------


async def test_a_new_one_is_empty(ledger: Ledger) -> None:
    assert await ledger.load() == Record()


async def test_what_is_saved_is_held(ledger: Ledger) -> None:
    record = Record((C1, C2), (BACKOFF,), (), 7)
    await ledger.save(record)
    assert await ledger.load() == record
    await ledger.save(Record((C2,), (), (), 8))
    assert await ledger.load() == Record((C2,), (), (), 8)


async def test_todays_money_is_held_until_there_is_newer(ledger: Ledger) -> None:
    await ledger.save(Record((C1,), spent=Spent(12.5, 99.25)))
    assert (await ledger.load()).spent == Spent(12.5, 99.25)
    await ledger.save(Record())
    assert (await ledger.load()).spent == Spent(12.5, 99.25)
    await ledger.save(Record(spent=Spent(0.0, 200.0)))
    assert (await ledger.load()).spent == Spent(0.0, 200.0)


async def test_launches_of_the_last_minute_are_held_over_a_restart(ledger: Ledger) -> None:
    await ledger.save(Record((C1,), launched=((10.5, 3), (20.0, 1))))
    assert (await ledger.load()).launched == ((10.5, 3), (20.0, 1))
    await ledger.save(Record())
    assert (await ledger.load()).launched == ()


async def test_orders_stand_until_they_are_answered(ledger: Ledger) -> None:
    await ledger.add_order(SCALE)
    await ledger.add_order(DOWN)
    await ledger.save(Record((C1,), orders=(DOWN,)))
    assert (await ledger.load()).orders == (SCALE, DOWN)
    await ledger.save(Record((C1,)), answered=("o1", "unknown"))
    assert (await ledger.load()).orders == (DOWN,)


async def test_an_order_of_the_same_id_replaces(ledger: Ledger) -> None:
    await ledger.add_order(SCALE)
    await ledger.add_order(replace(SCALE, value="5"))
    assert [order.value for order in (await ledger.load()).orders] == ["5"]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.integers(0, 9), unique=True), max_size=5))
def test_claims_keep_the_order_they_are_saved_in(tmp_path: Path, saves: list[list[int]]) -> None:
    path = Path(mkdtemp(dir=tmp_path)) / "l.sqlite"

    async def story() -> None:
        ledger = SqliteLedger(path)
        for save in saves:
            claims = tuple(replace(C1, id=f"c{n}", since=float(len(save))) for n in save)
            await ledger.save(Record(claims))
            again = SqliteLedger(path)
            assert (await again.load()).claims == claims == (await ledger.load()).claims
            await again.close()
        await ledger.close()

    run_virtual(story())


# ---- Kubernetes -------------------------------------------------------------------------------------


async def test_who_takes_over_finds_everything_in_the_config_map() -> None:
    kube = FakeKube()
    first = in_kubernetes(kube)
    await first.add_order(SCALE)
    record = Record((C1, C2), (BACKOFF,), (), 7, Spent(0.5, 12.5), ((10.5, 3),))
    await first.save(record)
    assert await in_kubernetes(kube).load() == replace(record, orders=(SCALE,))
    (thing,) = kube.things(CONFIG_MAP)
    assert thing["metadata"]["ownerReferences"][0]["uid"] == "uid-demo"


async def test_it_is_read_once_for_as_long_as_writing_works() -> None:
    kube = FakeKube()
    ledger = in_kubernetes(kube)
    for serial in range(3):
        await ledger.save(replace(await ledger.load(), serial=serial))
    assert kube.calls == {"get configmaps": 1, "create configmaps": 1, "patch configmaps": 2}


async def test_who_was_overtaken_writes_nothing_and_learns_what_was_written() -> None:
    kube = FakeKube()
    older, newer = in_kubernetes(kube), in_kubernetes(kube)
    await older.save(Record((C1,), serial=1))
    await newer.save(Record((C1, C2), serial=2))
    with pytest.raises(LedgerUnavailable, match="meanwhile"):
        await older.save(Record(serial=9))
    assert (await older.load()).serial == 2
    await older.save(Record(serial=3))
    assert (await in_kubernetes(kube).load()).serial == 3


async def test_a_first_write_that_comes_second_is_none() -> None:
    kube = FakeKube()
    ours, theirs = in_kubernetes(kube), in_kubernetes(kube)
    await ours.load()
    await theirs.save(Record(serial=5))
    with pytest.raises(LedgerUnavailable):
        await ours.save(Record(serial=1))
    assert (await ours.load()).serial == 5


@pytest.mark.parametrize("broken", [{}, {"record": "?"}, {"record": "bm9uZQ=="}])
async def test_what_is_no_record_is_told_and_left_alone(broken: dict[str, str]) -> None:
    kube = FakeKube()
    await in_kubernetes(kube).save(Record(serial=5))
    await kube.patch(CONFIG_MAP, Key("team", "demo-ledger"), {"binaryData": {"record": None, **broken}})
    with pytest.raises(LedgerUnavailable, match="remove it"):
        await in_kubernetes(kube).load()


async def test_that_of_another_cluster_of_the_same_name_is_not_taken_over() -> None:
    kube = FakeKube()
    await in_kubernetes(kube, "uid-before").save(Record((C1,)))
    with pytest.raises(LedgerUnavailable, match="somebody else"):
        await in_kubernetes(kube).load()


async def test_an_api_server_that_does_not_answer_is_a_ledger_that_cannot_be_used() -> None:
    kube = FakeKube()
    ledger = in_kubernetes(kube)
    kube.refuse = lambda _verb, _kind, _thing: Unavailable("no answer")
    with pytest.raises(LedgerUnavailable, match="no answer"):
        await ledger.load()
    kube.refuse = lambda _verb, _kind, _thing: None
    assert await ledger.load() == Record()
    kube.refuse = lambda _verb, _kind, _thing: Unavailable("no answer")
    with pytest.raises(LedgerUnavailable, match="no answer"):
        await ledger.save(Record(serial=1))


# ---- SQLite -----------------------------------------------------------------------------------------


async def test_a_restart_finds_everything(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "l.sqlite")
    await first.add_order(SCALE)
    await first.save(Record((C1, C2), (BACKOFF,), (), 7, Spent(0.5, 12.5), ((10.5, 3),)))
    await first.close()
    second = SqliteLedger(tmp_path / "l.sqlite")
    assert await second.load() == Record((C1, C2), (BACKOFF,), (SCALE,), 7, Spent(0.5, 12.5), ((10.5, 3),))
    await second.close()


async def test_orders_of_another_process_are_seen_and_survive_a_save(tmp_path: Path) -> None:
    loop, shell = SqliteLedger(tmp_path / "l.sqlite"), SqliteLedger(tmp_path / "l.sqlite")
    await loop.save(Record((C1,), (), (), 1))
    await shell.add_order(SCALE)
    await loop.save(Record((C1, C2), (), (), 2))
    assert await loop.load() == Record((C1, C2), (), (SCALE,), 2)
    await asyncio.gather(loop.close(), shell.close())


async def test_another_controllers_claims_are_not_overwritten_unseen(tmp_path: Path) -> None:
    """Two in a row on one file: what the second saved is what the first reads, and a save replaces all of it."""
    one, two = SqliteLedger(tmp_path / "l.sqlite"), SqliteLedger(tmp_path / "l.sqlite")
    await one.save(Record((C1,), (), (), 1))
    await two.save(Record((C1, C2), (), (), 2))
    assert (await one.load()).claims == (C1, C2)
    await two.save(Record((C2,), (), (), 3))
    await one.save(Record((C1,), (), (), 4))
    assert (await two.load()).claims == (C1,)
    await asyncio.gather(one.close(), two.close())


async def test_the_serial_never_decreases(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.sqlite")
    await ledger.save(Record(serial=9))
    await ledger.save(Record(serial=4))
    await ledger.close()
    again = SqliteLedger(tmp_path / "l.sqlite")
    assert (await again.load()).serial == 9
    await again.close()


async def test_a_save_without_a_load_keeps_the_serial_of_another_controller(tmp_path: Path) -> None:
    one, two = SqliteLedger(tmp_path / "l.sqlite"), SqliteLedger(tmp_path / "l.sqlite")
    await one.save(Record(serial=9))
    await two.save(Record(serial=4))
    assert (await two.load()).serial == 9
    await asyncio.gather(one.close(), two.close())


SHELL = """
import asyncio, os, sys
from rayfleet.ledger.sqlite import SqliteLedger
from rayfleet.model import Order, OrderKind

async def add(path):
    ledger = SqliteLedger(path)
    print("ready", flush=True)
    while not os.path.exists(path + ".go"):
        pass
    await ledger.add_order(Order(sys.argv[1], OrderKind.SHUTDOWN))
    await ledger.close()
    print("done", flush=True)

for path in sys.stdin:
    asyncio.run(add(path.strip()))
"""


def test_a_new_file_may_be_opened_by_several_processes_at_once(tmp_path: Path) -> None:
    """`up` starts a controller while somebody types an order: nobody is told that the file is locked."""
    names = [f"o{n}" for n in range(4)]
    shells = [
        subprocess.Popen([sys.executable, "-c", SHELL, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in names
    ]

    def each_says(word: str) -> None:
        assert [shell.stdout and shell.stdout.readline() for shell in shells] == [f"{word}\n"] * len(shells)

    for attempt in range(10):  # they must meet within less than a millisecond
        path = tmp_path / f"{attempt}.sqlite"
        for shell in shells:
            assert shell.stdin
            shell.stdin.write(f"{path}\n")
            shell.stdin.flush()
        each_says("ready")
        Path(f"{path}.go").touch()
        each_says("done")
        with sqlite3.connect(path) as db:
            assert sorted(name for (name,) in db.execute("SELECT id FROM orders")) == names
        db.close()
    for shell in shells:
        shell.communicate()


async def test_only_changed_claims_are_written(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = SqliteLedger(path)
    claims = tuple(replace(C1, id=f"c{n}") for n in range(50))
    await ledger.save(Record(claims))
    with sqlite3.connect(path) as spy:
        spy.executescript(
            "CREATE TABLE writes (id TEXT);"
            "CREATE TRIGGER t1 AFTER INSERT ON claims BEGIN INSERT INTO writes VALUES (new.id); END;"
        )
    changed = replace(claims[7], phase=Phase.RELEASING)
    await ledger.save(Record((*claims[:7], changed, *claims[8:49], replace(C1, id="new"))))
    await ledger.close()
    spy = sqlite3.connect(path)
    assert sorted(spy.execute("SELECT id FROM writes")) == [("c7",), ("new",)]
    spy.close()


async def test_a_full_disk_changes_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    ledger = SqliteLedger(path)
    await ledger.save(Record((C1,), (), (), 1))
    pages = connection(ledger).execute("PRAGMA page_count").fetchone()[0]
    connection(ledger).execute(f"PRAGMA max_page_count = {pages}")
    many = tuple(replace(C1, id=f"c{n}") for n in range(500))
    with pytest.raises(LedgerUnavailable, match=r"l\.sqlite.*full.*free some space"):
        await ledger.save(Record(many, (), (), 500))
    assert await ledger.load() == Record((C1,), (), (), 1)
    connection(ledger).execute("PRAGMA max_page_count = 100000")
    await ledger.save(Record(many, (), (), 500))
    assert len((await ledger.load()).claims) == 500
    await ledger.close()


async def test_a_folder_that_is_not_there_is_named_and_found_later(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "later" / "l.sqlite")
    with pytest.raises(LedgerUnavailable, match="check that its folder exists"):
        await ledger.load()
    (tmp_path / "later").mkdir()
    assert await ledger.load() == Record()
    await ledger.close()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 50)
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerUnavailable, match="move it away"):
        await ledger.load()
    await ledger.close()


async def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerUnavailable, match="newer rayfleet"):
        await ledger.load()
    await ledger.close()


async def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.sqlite")
    await ledger.save(Record((C1,)))
    connection(ledger).execute("PRAGMA query_only = 1")
    with pytest.raises(LedgerUnavailable, match="make the file and its folder writable"):
        await ledger.save(Record())
    assert (await ledger.load()).claims == (C1,)
    await ledger.close()
