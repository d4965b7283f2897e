"""The page of a cluster elsewhere: what one SSH connection is told, and that its end ends the server there."""

import json
import sys
from pathlib import Path

import pytest

from rayfleet.contracts import Login
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import LauncherError, NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote import page, where
from rayfleet.launcher.remote.where import Where

SSH = """#!{python}
import json, sys
with open("{told}", "w") as told:
    told.write(json.dumps(sys.argv[1:]))
print(json.dumps({{"token": "secret"}}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    home = homes.create("far")
    home.config.write_text("cluster_name: far\n")
    where.save(home, Where("local", "head-1", "10.0.0.1", login=Login("me")))
    return home


def ssh(folder: Path) -> Path:
    """Put a program there that does what an OpenSSH does whose head serves; return what it notes."""
    program, told = folder / "bin" / "ssh", folder / "told"
    program.parent.mkdir()
    program.write_text(SSH.format(python=sys.executable, told=told))
    program.chmod(0o755)
    return told


def test_it_is_served_there_and_forwarded_until_somebody_has_had_enough(home: Home, tmp_path: Path) -> None:
    told_in, tokens = ssh(tmp_path), list[str]()

    def seen(token: str) -> None:
        tokens.append(token)
        raise KeyboardInterrupt  # as Ctrl-C while it waits

    assert page.show(home, 8301, seen) == 0
    words = json.loads(told_in.read_text())
    (ports,) = (words[at + 1] for at, word in enumerate(words) if word == "-L")
    assert ports.startswith("localhost:8301:localhost:")
    assert f"rayfleet head-page {ports.rpartition(':')[2]}" in words[-1]
    assert "RAYFLEET_CLUSTER=far" in words[-1]
    assert tokens == ["secret"]


def test_a_head_that_does_not_answer_is_told(home: Home, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 255\n")
    program.chmod(0o755)
    with pytest.raises(NotRunning, match=r"does not answer at 10\.0\.0\.1"):
        page.show(home, 8301, print)


def test_without_ssh_it_says_what_to_install(home: Home) -> None:
    with pytest.raises(LauncherError, match="there is no ssh") as caught:
        page.show(home, 8301, print)
    assert "openssh-client" in caught.value.hint


def test_the_head_knows_what_its_page_needs() -> None:
    assert [each.partition(">")[0] for each in page.needs()] == ["nicegui"]
