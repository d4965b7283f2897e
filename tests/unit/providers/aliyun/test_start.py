"""User-data, run by bash in folders of the test: what a machine starts at its boots."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rayfleet.contracts import Denied, Login, StartScript
from rayfleet.model import FrozenMap
from rayfleet.providers.aliyun.start import BOOTS, BYTES_MAX, encoded
from rayfleet.wire.user_data import FOLDER

METADATA = "http://metadata.test"
NOBODY = Login()


class Pretended:
    """A machine's disk below a folder, with programs that stand for the machine's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "bin"
        self.programs.mkdir()
        self.user_data = root / "user-data"
        self._program("curl", f'case "$*" in *user-data*) cat {self.user_data};; *instance-id*) echo -n i-1;; esac')
        self._program("su", 'shift; shift; shift; exec bash -c "$1"')
        self._program("chown", "exit 0")

    def _program(self, name: str, body: str) -> None:
        (self.programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (self.programs / name).chmod(0o755)

    def give(self, script: StartScript, *, waits: bool = False) -> None:
        """Have the cloud hold new user-data."""
        made = encoded(script, "c", NOBODY, METADATA, waits=waits)
        assert made is not None
        text = base64.b64decode(made).decode()
        here = {FOLDER: str(self.root / "rayfleet"), BOOTS: str(self.root / "per-boot")}
        for place, moved in here.items():
            text = text.replace(place, moved)
        self.user_data.write_text(text.replace("/var/lib/cloud/scripts/per-boot", here[BOOTS]))

    def boot(self, *, first: bool = False) -> None:
        """Run what cloud-init runs: the scripts of every boot as listed beforehand, at the first one user-data."""
        boots = self.root / "per-boot"
        scripts = sorted(boots.iterdir()) if boots.exists() else []
        copy = self.root / "part-001"
        if first:
            shutil.copy(self.user_data, copy)
        for script in (*scripts, *([copy] if first else [])):
            if script == copy or (script.exists() and os.access(script, os.X_OK)):
                self._run(["bash", str(script)] if script == copy else [str(script)])

    def _run(self, command: list[str]) -> None:
        path = f"{self.programs}:{os.environ['PATH']}"
        subprocess.run(command, env={"PATH": path}, check=True, timeout=100)

    def started(self) -> list[str]:
        """Return what was started so far; every start is waited for by its own line."""
        log = self.root / "starts"
        return log.read_text().split() if log.exists() else []

    def says(self, word: str) -> StartScript:
        """Return a start that leaves a word and the machine's id."""
        line = f'echo "{word}:$RAYFLEET_MACHINE_ID:$WORD" >> {self.root}/starts; touch {self.root}/done-{word}'
        return StartScript(("sh", "-c", line), FrozenMap({"WORD": word}))

    def wait_for(self, count: int) -> list[str]:
        """Return the starts once there are so many; fail when they do not come."""
        waiting = f"until [ $(wc -l < {self.root}/starts) -ge {count} ]; do sleep 0.05; done"
        subprocess.run(["bash", "-c", waiting], check=True, timeout=100, stderr=subprocess.DEVNULL)
        return self.started()


@pytest.fixture
def machine(tmp_path: Path) -> Pretended:
    return Pretended(tmp_path)


def test_a_machine_starts_at_its_first_boot_and_at_every_other(machine: Pretended) -> None:
    machine.give(machine.says("a"))
    machine.boot(first=True)
    assert machine.wait_for(1) == ["a:i-1:a"]
    machine.boot()
    assert machine.wait_for(2) == ["a:i-1:a"] * 2


def test_a_machine_that_waited_starts_what_it_is_told_later_and_only_that(machine: Pretended) -> None:
    machine.give(StartScript(()), waits=True)
    machine.boot(first=True)
    assert machine.started() == []
    for count, word in enumerate(("a", "b", "c"), 1):
        machine.give(machine.says(word))
        machine.boot()
        assert machine.wait_for(count)[-1] == f"{word}:i-1:{word}"
    machine.boot()
    assert machine.wait_for(4) == ["a:i-1:a", "b:i-1:b", "c:i-1:c", "c:i-1:c"], "each boot starts once"


def test_nothing_to_run_is_no_user_data() -> None:
    assert encoded(StartScript(()), "c", NOBODY, METADATA) is None


def test_a_key_without_a_start_is_user_data() -> None:
    made = encoded(StartScript(()), "c", Login(user="root", public_key="ssh-ed25519 AAAA me"), METADATA)
    assert made is not None
    assert "ssh-ed25519 AAAA me" in base64.b64decode(made).decode()


def test_the_clouds_limit_is_told() -> None:
    with pytest.raises(Denied, match=f"takes {BYTES_MAX} as user-data"):
        encoded(StartScript(("echo", "x" * BYTES_MAX)), "c", NOBODY, METADATA)
