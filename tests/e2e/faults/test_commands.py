"""Ctrl-C in commands that run for long, and a ledger that cannot be written while work waits.

Ctrl-C in `up`, `down` and `up --foreground` is in tests/e2e/cluster, in `demo` in tests/e2e/demo.
"""

import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.e2e.faults import site as sites
from tests.e2e.faults.site import INTERRUPTED, OK, PATIENCE_S, Site, wait_for, workers

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

MIB = 2**20
POOLS = {"one": "resources: {CPU: 1, object_store_memory: 100e6}, max_workers: 3"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with sites.site(tmp_path_factory.mktemp("commands"), sites.config("commands", POOLS)) as made:
        yield made


def press_ctrl_c(command: subprocess.Popen[str]) -> tuple[int, str]:
    """Do what a terminal does on Ctrl-C, and return the exit code, as a shell tells it, and the errors."""
    os.killpg(command.pid, signal.SIGINT)
    _, errors = command.communicate(timeout=PATIENCE_S)
    code = command.returncode
    return (128 - code if code < 0 else code), errors


SLEEPER = "import time; print('begun', flush=True); time.sleep(600)"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--", "python", "-c", SLEEPER),
        ("exec", "python", "-c", SLEEPER),
        ("exec", "echo begun; sleep 600; true"),
    ],
    ids=["run", "exec", "exec a line"],
)
def test_ctrl_c_ends_the_program_that_was_run_and_nothing_else(clean: Site, words: tuple[str, ...]) -> None:
    command = clean.begin(*words)
    assert command.stdout is not None
    assert command.stdout.readline() == "begun\n"
    code, errors = press_ctrl_c(command)
    assert (code, "rayfleet" in errors) == (INTERRUPTED, False)
    assert clean.status()["warning"] == ""
    assert len({p.machine_id for p in clean.processes()}) == 1, "the head"


def test_ctrl_c_ends_the_waiting_for_an_order_and_the_order_stands(clean: Site) -> None:
    with held_still(clean.controller):  # else all is done before the key is pressed
        command = clean.begin("scale", "one", "1", "--wait")
        wait_for(lambda: b"scale:one" in clean.home.ledger.with_name(f"{clean.home.ledger.name}-wal").read_bytes())
        assert press_ctrl_c(command) == (INTERRUPTED, order_stands(clean, "one"))
    machine = clean.one("one")
    driver = clean.driver(
        """
@ray.remote(num_cpus=1)
class Holder:
    def where(self): return where()
kept = Holder.remote()
tell(at=ray.get(kept.where.remote()))
await_file("drop")
"""
    )
    assert driver.says() == {"at": machine["node_id"]}
    clean.type("scale", "one", "--clear")
    command = clean.begin("drain", machine["id"], "--wait")
    clean.until(lambda s: machine["id"] in {m["id"] for m in workers(s, "one", "DRAINING")})
    assert press_ctrl_c(command) == (INTERRUPTED, order_stands(clean, machine["id"]))
    assert machine["id"] in {m["id"] for m in clean.machines("one", "DRAINING")}
    (clean.folder / "drop").touch()
    driver.finish()
    clean.until(lambda s: machine["id"] not in {m["id"] for m in workers(s, None, None)})


@contextmanager
def held_still(pid: int) -> Iterator[None]:
    """Stop a process for as long as the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def order_stands(site: Site, about: str) -> str:
    """Return what a command says whose waiting was interrupted."""
    return f"error: interrupted; the order stands\n hint: rayfleet why {site.name} {about}\n"


def test_ctrl_c_is_how_one_stops_following_the_log(clean: Site) -> None:
    command = clean.begin("logs", "--follow")
    assert command.stdout is not None
    assert any("controller_started" in line for line in command.stdout)
    assert press_ctrl_c(command) == (OK, "")


def test_while_the_ledger_cannot_be_written_nothing_is_launched_and_afterwards_everything_once(clean: Site) -> None:
    """Its file may not grow, and others may: that is a full disk of the ledger's own."""
    clean.until(lambda s: not workers(s, None, None))
    with grown_ledger(clean), no_larger_files(clean.controller, 8 * MIB):
        driver = clean.driver(
            """
@ray.remote(num_cpus=1)
def work(): return where()
tell(at=ray.get(work.remote()))
"""
        )
        held = clean.until(lambda s: any("1 launches are held" in text for text in s["troubles"]))
        (trouble,) = [text for text in held["troubles"] if "held" in text]
        assert str(clean.home.ledger) in trouble
        assert "disk" in trouble
        assert trouble in clean.type("why").stdout
        assert {p.machine_id for p in clean.processes()} == {m["machine_id"] for m in held["machines"] if m["head"]}
    (one,) = workers(clean.until(lambda s: workers(s, "one")), None, None)
    assert driver.says() == {"at": one["node_id"]}
    driver.finish()
    assert not any("held" in text for text in clean.status()["troubles"])


@contextmanager
def grown_ledger(site: Site) -> Iterator[None]:
    """Have the ledger's log of changes go on beyond 10 MiB: a reader keeps it from starting anew."""
    with closing(sqlite3.connect(site.home.ledger)) as reader, closing(sqlite3.connect(site.home.ledger)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM claims").fetchone()
        writer.execute("CREATE TABLE filler (x BLOB)")
        writer.execute("INSERT INTO filler VALUES (zeroblob(?))", (10 * MIB,))
        writer.commit()
        try:
            yield
        finally:
            reader.rollback()
            writer.execute("DROP TABLE filler")
            writer.commit()


@contextmanager
def no_larger_files(pid: int, size: int) -> Iterator[None]:
    """Let a process write to no file beyond that size, in bytes."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
