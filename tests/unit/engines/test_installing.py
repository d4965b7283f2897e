"""Ray comes onto a machine that has none: the command line, run by a real shell on a pretended machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.engines.ray.installing import FIRST, installation

VERSION = "2.60.0"


class PretendedMachine:
    """A home and a PATH of its own, with the programs that a test puts there; each writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin, self.log = folder / "home", folder / "bin", folder / "log"
        self.home.mkdir()
        self.bin.mkdir()
        self.log.touch()

    def program(self, name: str, script: str) -> None:
        """Put a program there."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{script}\n')
        path.chmod(0o755)

    def python(self, *, has_venv: bool = True) -> None:
        """Put a Python there that makes environments whose pip brings a `ray`."""
        made = f"""\
case "$1 $2" in
  "-m venv") {"" if has_venv else f"[ -e {self.home}/venv-package ] || exit 1;"}
    mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") printf '#!/bin/sh\\n' > "$(dirname "$0")/ray"; chmod 755 "$(dirname "$0")/ray" ;;
  "-c "*) exec {sys.executable} "$@" ;;
esac"""
        self.program("python3", made)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line there; the shell's own programs are at hand, and neither Python nor Ray."""
        for name in ("mkdir", "cp", "dirname", "chmod", "touch"):
            real = next(path for each in ("/bin", "/usr/bin") if (path := Path(each, name)).exists())
            (self.bin / name).unlink(missing_ok=True)
            (self.bin / name).symlink_to(real)
        env = {"HOME": str(self.home), "PATH": str(self.bin)}
        return subprocess.run(["/bin/bash", "-c", line], env=env, capture_output=True, text=True, check=False)

    @property
    def calls(self) -> list[str]:
        """Return how programs were called."""
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> PretendedMachine:
    return PretendedMachine(tmp_path)


def test_a_machine_that_has_ray_is_left_alone(machine: PretendedMachine) -> None:
    machine.python()
    machine.program("ray", "exit 0")
    assert machine.run(installation(VERSION)).returncode == 0
    assert machine.calls == []


def test_ray_of_our_version_comes_into_an_environment_of_its_own(machine: PretendedMachine) -> None:
    machine.python()
    done = machine.run(installation(VERSION))
    assert done.returncode == 0, done.stderr
    assert any(
        call.endswith(f"-m pip install --quiet --disable-pip-version-check ray[default]=={VERSION}")
        for call in machine.calls
    )
    found = machine.run(f"{FIRST}\ncommand -v ray")
    assert found.stdout.strip() == str(machine.home / ".rayfleet/.ray/bin/ray")


def test_once_it_is_there_nothing_is_done_again(machine: PretendedMachine) -> None:
    machine.python()
    machine.run(installation(VERSION))
    before = machine.calls
    assert machine.run(f"{FIRST}\n{installation(VERSION)}").returncode == 0
    assert machine.calls == before


def test_where_the_module_for_environments_is_a_package_of_its_own_it_is_installed(machine: PretendedMachine) -> None:
    machine.python(has_venv=False)
    machine.program("sudo", f'case "$*" in *"install"*) touch {machine.home}/venv-package ;; esac')
    assert machine.run(installation(VERSION)).returncode == 0
    assert "sudo -n apt-get install -y -qq python3-venv" in machine.calls


def test_without_ray_and_python_it_says_what_to_do(machine: PretendedMachine) -> None:
    done = machine.run(installation(VERSION))
    assert done.returncode == 1
    assert "choose an image that has one, or add setup_commands" in done.stdout


def test_where_it_was_not_needed_the_path_stays_as_it_is(machine: PretendedMachine) -> None:
    assert machine.run(f'{FIRST}\necho "$PATH"').stdout.strip() == str(machine.bin)
