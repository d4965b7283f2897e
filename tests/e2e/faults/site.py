"""One real cluster that faults are tried on: the command line, the record, drivers, and what of it runs here.

Nothing here waits for a fixed time: whatever is waited for is looked at again and again, up to a limit that only bounds
a hang, since machines that run tests are slow and shared.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayfleet.launcher import lease, logs, view, work
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.providers.process import leftovers
from rayfleet.providers.process.identity import cluster_root, cluster_tag
from rayfleet.providers.process.leftovers import Leftover

COMMAND = (sys.executable, "-m", "rayfleet")
PATIENCE_S = 100.0
OK, NOT_OK, USAGE, INTERRUPTED = 0, 1, 2, 130

Status = dict[str, Any]
Machine = dict[str, Any]

CONFIG = """
cluster_name: {name}
max_workers: {max_workers}
idle_timeout_minutes: {idle_minutes}
provider: {{type: process, max_concurrent_starts: 2}}
timeouts: {{{timeouts}}}
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0, object_store_memory: 100e6}}}}
{pools}
"""


def config(name: str, pools: dict[str, str], *, idle_s: float = 1.5, timeouts: str = "", max_workers: int = 5) -> str:
    """Return a cluster file. `pools`: name -> its entry as YAML in one line; `timeouts`: likewise."""
    lines = "\n".join(f"  {pool}: {{{entry}}}" for pool, entry in pools.items())
    return CONFIG.format(name=name, idle_minutes=idle_s / 60, timeouts=timeouts, pools=lines, max_workers=max_workers)


class Site:
    """A cluster called `name` whose state, files and programs are below `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.state = folder / "state"
        self.home = Home(self.state / "rayfleet" / "clusters" / name)
        self._drivers: list[Driver] = []

    # ---- the command line ---------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a user's shell, with a state folder of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY", "XDG_STATE"))}
        return {**clean, "XDG_STATE_HOME": str(self.state), "NO_COLOR": "1", "RAYFLEET_DASHBOARD": "off"}

    def type(self, *words: str | Path, code: int = OK) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for its end, which must be with that exit code and without a traceback."""
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, f"rayfleet {words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def begin(self, *words: str | Path) -> subprocess.Popen[str]:
        """Type a command and leave it running, in a process group of its own as a shell does."""
        return subprocess.Popen(
            [*COMMAND, *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, text: str) -> Path:
        """Write the cluster file and return its path."""
        path = self.folder / f"{self.name}.yaml"
        path.write_text(text)
        return path

    # ---- what it says -------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return what `status --json` prints; nothing yet: an empty picture."""
        try:
            return view.status_json(self.home)
        except NotRunning:
            return {"machines": [], "unmet": [], "demand": {"tasks": []}, "backoffs": [], "warning": "", "tick": 0}

    def text(self) -> str:
        """Return what `status` prints."""
        return view.status_text(self.home)

    def machines(self, pool: str | None = None, phase: str | None = "READY") -> list[Machine]:
        """Return the workers of a pool (None: of all) in a phase (None: in any)."""
        return workers(self.status(), pool, phase)

    def until(self, holds: Callable[[Status], Any], limit_s: float = PATIENCE_S) -> Status:
        """Look at the status until it is as wished, and return it."""
        deadline = time.monotonic() + limit_s
        while not holds(status := self.status()):
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.1)
        return status

    def one(self, pool: str) -> Machine:
        """Wait until a pool has exactly one machine and that is ready, and return it."""
        found = self.until(lambda s: [m["phase"] for m in workers(s, pool, None)] == ["READY"])
        return workers(found, pool)[0]

    def events(self) -> list[Any]:
        """Return what has happened so far, the newest last."""
        return list(view.happenings(self.home, 1000))

    def told(self) -> str:
        """Return all that helps to understand why a test fails."""
        return "\n".join([self.text(), *logs.tail(self.home, 40)])

    # ---- what runs ----------------------------------------------------------------------------------

    @property
    def controller(self) -> int:
        """Return the process id of the controller that lives."""
        found = lease.controller(self.home)
        assert found is not None
        return found.process.pid

    def kill_controller(self) -> None:
        """End the controller with kill -9 and wait until it is gone."""
        os.kill(self.controller, signal.SIGKILL)
        wait_for(lambda: lease.controller(self.home) is None)

    def processes(self) -> tuple[Leftover, ...]:
        """Return every process of the cluster's machines, read from /proc."""
        return leftovers.left_behind(self.name, self.home.path)

    def process(self, machine_id: str, program: str) -> int:
        """Return the process id of a machine's program."""
        (found,) = [p for p in self.processes() if p.machine_id == machine_id and is_program(p, program)]
        return found.key.pid

    def driver(self, code: str) -> Driver:
        """Start a driver; see `Driver` for what it can say."""
        self._drivers.append(Driver(code, self.folder, {**os.environ, **work.variables(self.home)}))
        return self._drivers[-1]

    def end_drivers(self) -> None:
        """End every driver, so that none leaves demand to the next test."""
        while self._drivers:
            self._drivers.pop().end()

    # ---- its end ------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the cluster, if it is up; whatever is left of it is an error."""
        self.end_drivers()
        if self.home.config.exists():
            self.type("down", self.name)
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self) -> None:
        """Look for processes, folders and secrets of a cluster that is down."""
        assert [p.command for p in self.processes()] == []
        assert not cluster_root(None, cluster_tag(self.name, self.home.path)).exists()
        kept = {path.name for path in self.home.path.iterdir()} if self.home.path.exists() else set()
        assert not kept & {"controller.json", "ray.json", "ray-token", "head.json", "gcs"}


PRELUDE = """
import json, os, sys, time, ray
ray.init()
def tell(**what): print("> " + json.dumps(what), flush=True)
def where(): return ray.get_runtime_context().get_node_id()
def note(name):
    with open(os.path.join({folder!r}, name), "a") as file: file.write(where() + "\\n")
def await_file(name):
    while not os.path.exists(os.path.join({folder!r}, name)): time.sleep(0.05)
"""


class Driver:
    """A user's program on the cluster.

    Its code can `tell(key=value)` the test, ask `where()` it is, `note(name)` that in a file, `await_file(name)`.
    """

    def __init__(self, code: str, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._heard: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", PRELUDE.format(folder=str(folder)) + code],
            env=environment,
            cwd=folder,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def says(self) -> dict[str, Any]:
        """Wait for the next thing that it tells."""
        return dict(json.loads(self._line(lambda line: line.startswith("> ")).removeprefix("> ")))

    def printed(self, *words: str) -> str:
        """Return the line of its output, past or to come, that has all of these words in it."""
        heard = (line for line in self._heard if all(word in line for word in words))
        return next(heard, "") or self._line(lambda line: all(word in line for word in words))

    def _line(self, holds: Callable[[str], bool]) -> str:
        """Wait for a line of output that is as wished, and return it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.append(line)
            if holds(line):
                return line
        raise AssertionError(f"it ended without that; its output:\n{self.output}")

    def finish(self) -> str:
        """Wait until it has ended well, and return all of its output."""
        assert self._process.stdout is not None
        self._heard += list(self._process.stdout)
        assert self._process.wait(timeout=PATIENCE_S) == 0, self.output
        return self.output

    @property
    def output(self) -> str:
        """Return what it has printed so far, as far as it was waited for."""
        return "".join(self._heard)

    def noted(self, name: str) -> list[str]:
        """Return the node ids in a file that its code has written notes to."""
        path = self._folder / name
        return path.read_text().split() if path.exists() else []

    def end(self) -> None:
        """End it, if it runs."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def site(folder: Path, text: str, *, up: bool = True) -> Iterator[Site]:
    """Yield a cluster as the file `text` describes it, and end it, whatever happens."""
    name = text.split("cluster_name:", 1)[1].split(maxsplit=1)[0]
    made = Site(folder, name)
    path = made.write(text)
    try:
        if up:
            made.type("up", path)
        yield made
    finally:
        made.close()


def workers(status: Status, pool: str | None = None, phase: str | None = "READY") -> list[Machine]:
    """Return the workers in a status, of a pool and in a phase."""
    return [
        machine
        for machine in status["machines"]
        if not machine["head"] and pool in (None, machine["pool"]) and phase in (None, machine["phase"])
    ]


def is_program(process: Leftover, program: str) -> bool:
    """Say whether a process runs that program."""
    return Path(process.command.split(" ")[0]).name == program


def wait_for(holds: Callable[[], Any], limit_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.05)
