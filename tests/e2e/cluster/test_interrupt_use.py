"""Ctrl-C in commands that use a cluster: it stays as it is, and what was ordered stays ordered."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from tests.e2e.cluster.fleet import Fleet, config

pytestmark = pytest.mark.ray

NAME = "left"


@pytest.fixture(scope="module", autouse=True)
def worker(fleet: Fleet) -> str:
    """Bring the cluster up and return the name of its one worker."""
    path = config(fleet.folder, NAME)
    path.write_text(path.read_text().replace("max_workers: 3}", "min_workers: 1, max_workers: 3}"))
    fleet("up", path)
    (name,) = fleet.machines(NAME, "one")
    return name


@contextmanager
def unchanged(fleet: Fleet) -> Iterator[None]:
    """See that machines and controller are the same after the block as before it."""
    before = fleet.machines(NAME), fleet.controller(NAME)
    yield
    assert (fleet.machines(NAME), fleet.controller(NAME)) == before


def has_become(command: Popen[str], program: str) -> bool:
    """Say whether the process is that program now, and no rayfleet any more."""
    words = Path(f"/proc/{command.pid}/cmdline").read_bytes().split(b"\0")
    return Path(os.fsdecode(words[0])).name == program


@pytest.mark.parametrize("words", [("run", "--", "sleep", "60"), ("exec", "sleep 60")], ids=["run", "exec"])
def test_a_program_gets_it_and_its_end_is_ours(fleet: Fleet, words: tuple[str, ...]) -> None:
    with unchanged(fleet), fleet.begun(*words) as command:
        fleet.wait(lambda: has_become(command, "sleep"))
        errors = fleet.interrupted(command)
    assert (command.returncode, errors) == (-signal.SIGINT, "")  # a shell calls this 130


def test_following_the_log_is_over_and_well(fleet: Fleet) -> None:
    with unchanged(fleet), fleet.begun("logs", "--follow") as command:
        assert command.stdout is not None
        assert any("controller_started" in line for line in command.stdout)
        errors = fleet.interrupted(command)
    assert (command.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("words", "order", "about"),
    [(("drain", "WORKER"), b"drain:", "WORKER"), (("scale", "two", "1"), b"scale:two", "two")],
    ids=["drain", "scale"],
)
def test_an_order_stands(fleet: Fleet, worker: str, words: tuple[str, ...], order: bytes, about: str) -> None:
    """The controller is held still meanwhile, so that nothing is done before the key is pressed."""
    controller = fleet.controller(NAME)
    os.kill(controller, signal.SIGSTOP)
    try:
        with unchanged(fleet), fleet.begun(*(word.replace("WORKER", worker) for word in words), "--wait") as command:
            fleet.wait(lambda: order in fleet.ledger_bytes(NAME))
            time.sleep(1)  # from the order that is written to the wait for it
            errors = fleet.interrupted(command)
    finally:
        os.kill(controller, signal.SIGCONT)
    assert command.returncode == 130
    hint = f"rayfleet why {NAME} {about.replace('WORKER', worker)}"
    assert errors == f"error: interrupted; the order stands\n hint: {hint}\n"
    if words[0] == "drain":
        fleet.wait(lambda: worker not in fleet.machines(NAME))
    else:
        fleet.wait(lambda: len(fleet.machines(NAME, "two")) == 1)
        fleet("scale", "two", "--clear")
