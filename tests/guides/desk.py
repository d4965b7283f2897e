"""Where a reader of the guides sits: a shell with a state folder of its own, and the clusters started from it."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rayfleet.launcher import view
from rayfleet.launcher.home import Home

PROGRAMS = Path(sys.executable).parent
TIMEOUT_S = 240.0
AT_ONCE = 2
"""So many of Ray's slow commands run at the same time."""
DEFAULT_PORTS = (6379, 10001, 8265)
IDLE_S = 3.0
"""Idle time-out of the tests' clusters."""

Key = TypeVar("Key")

_FROM_RAY = re.compile(r"(\x1b\[\d+m)?\((autoscaler|raylet|pid=)")
"""Lines of a driver's output that Ray adds: the autoscaler's news, and what nodes and workers say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return all that it printed."""
        return self.out + self.err


@dataclass(frozen=True, slots=True)
class Desk:
    """Runs commands as the reader would, in `folder`. `state`: where this reader's clusters are kept."""

    state: Path
    folder: Path

    def run(self, *command: str, timeout_s: float = TIMEOUT_S, entered: str = "") -> Answer:
        """Run a command; `entered` is typed into it."""
        ended = subprocess.run(
            command,
            input=entered,
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Answer(ended.returncode, ended.stdout, ended.stderr)

    def well(self, *command: str, entered: str = "") -> str:
        """Run a command that must end with 0, and return what it printed on standard output."""
        answer = self.run(*command, entered=entered)
        assert answer.code == 0, f"{shlex.join(command)}\n{answer.text}"
        return answer.out

    def environment(self) -> dict[str, str]:
        """Return this process's variables without what leads to any cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RAYFLEET_"))}
        path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "XDG_STATE_HOME": str(self.state), "NO_COLOR": "1", "RAYFLEET_DASHBOARD": "off"}

    def write(self, name: str, text: str) -> str:
        """Save a file in the folder, and return its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def processes(self) -> dict[int, str]:
        """Return the command lines of living processes, not this one, whose environment names the state folder."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                mine = entry.name.isdigit() and str(self.state).encode() in (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") if mine else ""
            except OSError:
                continue
            if command and int(entry.name) != os.getpid():
                found[int(entry.name)] = command
        return found


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster that is up. `named`: commands have to name it, for it is not the only one.

    `default_ports`: it has the ports where Ray's tools look when told nothing, and so the machine's `/tmp/ray`.
    """

    desk: Desk
    name: str
    default_ports: bool = False
    named: bool = False

    # ---- the ways in ---------------------------------------------------------------------------------------------

    def by_exec(self, command: str) -> Answer:
        """Run a line of shell with `rayfleet exec`."""
        name = [self.name] if self.named else []
        return self.desk.run("rayfleet", "exec", *name, command)

    def by_run(self, command: str) -> Answer:
        """Run a command with `rayfleet run`."""
        name = ["--cluster", self.name] if self.named else []
        return self.desk.run("rayfleet", "run", *name, "--", *shlex.split(command))

    def by_shell(self, command: str) -> Answer:
        """Run a line in another shell, after `eval "$(rayfleet env)"`."""
        name = f" {self.name}" if self.named else ""
        return self.desk.run("bash", "-c", f'eval "$(rayfleet env{name})"\n{command}')

    def program(self, text: str, *arguments: str) -> str:
        """Run a Python program, which must end well, and return what it printed itself on standard output."""
        name = self.desk.write(f"program_{abs(hash(text))}.py", text)
        answer = self.by_run(shlex.join(["python", name, *arguments]))
        assert answer.code == 0, answer.text
        return "".join(line for line in answer.out.splitlines(keepends=True) if not _FROM_RAY.match(line))

    def until_jobs_start(self) -> None:
        """Wait for the head's agent, as `rayfleet submit` does: some of Ray's own commands fail without it."""
        name = [self.name] if self.named else []
        self.desk.well("rayfleet", "submit", "--no-wait", *name, self.desk.write("nothing.py", ""))

    # ---- what it is ----------------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        """Return what `rayfleet env` prints."""
        found: dict[str, str] = json.loads(self.desk.well("rayfleet", "env", self.name, "--json"))
        return found

    @property
    def client(self) -> str:
        """Return host:port of its Ray Client server."""
        ports = json.loads((self.desk.state / "rayfleet" / "clusters" / self.name / "ray.json").read_text())["ports"]
        return f"{self.env['RAY_ADDRESS'].partition(':')[0]}:{ports['client_port']}"

    def status(self) -> dict[str, Any]:
        """Return what `rayfleet status --json` prints."""
        found: dict[str, Any] = json.loads(self.desk.well("rayfleet", "status", self.name, "--json"))
        return found

    def machines(self) -> list[dict[str, Any]]:
        """Return every machine that is not gone, the head too."""
        found: list[dict[str, Any]] = self.status()["machines"]
        return found

    @property
    def head(self) -> dict[str, Any]:
        """Return the head."""
        return next(machine for machine in self.machines() if machine["head"])

    def launches(self) -> int:
        """Return how many machines were launched so far."""
        events = json.loads(self.desk.well("rayfleet", "history", self.name, "-n", "10000", "--json"))
        return sum(event["count"] for event in events if event["kind"] == "launch")

    # ---- waiting -------------------------------------------------------------------------------------------------

    def until(self, holds: Callable[[list[dict[str, Any]]], bool], what: str) -> list[dict[str, Any]]:
        """Return the machines, as soon as `holds` is true of them."""
        deadline = time.monotonic() + TIMEOUT_S
        home = Home(self.desk.state / "rayfleet" / "clusters" / self.name)
        # What `rayfleet status` reads: a command for each look would keep the machine busy.
        now: list[dict[str, Any]]
        while not holds(now := view.status_json(home)["machines"]):
            assert time.monotonic() < deadline, f"never: {what}; now {now}"
            time.sleep(0.2)
        return now

    def until_workers(self, *pools: str) -> list[dict[str, Any]]:
        """Return the workers, as soon as they are of these pools, all ready."""

        def as_wanted(machines: list[dict[str, Any]]) -> bool:
            here = [machine for machine in machines if not machine["head"]]
            ready = all(machine["phase"] == "READY" for machine in here)
            return ready and sorted(machine["pool"] for machine in here) == sorted(pools)

        found = self.until(as_wanted, f"workers {pools}")
        return [machine for machine in found if not machine["head"]]


def are_free(ports: tuple[int, ...]) -> bool:
    """Say whether nobody listens at any of the ports."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def together(calls: Mapping[Key, Callable[[], Answer]]) -> dict[Key, Answer]:
    """Make slow calls, a few at the same time, and return their answers."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {key: pool.submit(call) for key, call in calls.items()}
        return {key: future.result() for key, future in started.items()}
