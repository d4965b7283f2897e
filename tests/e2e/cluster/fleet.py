"""The command `rayfleet` as a user types it, with a state folder of its own, and what a cluster leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayfleet.launcher import view
from rayfleet.launcher.home import Home
from rayfleet.providers.process import leftovers
from rayfleet.providers.process.identity import cluster_root, cluster_tag

COMMAND = [sys.executable, "-m", "rayfleet"]
LIMIT_S = 100.0


@dataclass(frozen=True)
class Fleet:
    """Commands on one state folder. `folder`: where they are typed."""

    state: Path
    folder: Path

    def __call__(self, *words: str | Path, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Type a command and wait for it; with `check` it must end well."""
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert "Traceback" not in done.stderr or words[0] in ("run", "exec", "submit"), done.stderr
        if check:
            assert done.returncode == 0, f"rayfleet {words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    @contextmanager
    def begun(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Type a command and leave it running for as long as the block lasts."""
        with subprocess.Popen(
            [*COMMAND, *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            try:
                yield command
            finally:
                command.kill()

    def interrupted(self, command: subprocess.Popen[str]) -> str:
        """Press Ctrl-C once and return what the command has to say about it."""
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=LIMIT_S)
        assert "Traceback" not in errors
        return errors

    @property
    def environment(self) -> dict[str, str]:
        """Return this process's environment without what would lead to another cluster."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY", "XDG_STATE"))}
        return {**clean, "XDG_STATE_HOME": str(self.state), "NO_COLOR": "1", "RAYFLEET_DASHBOARD": "off"}

    def json(self, *words: str | Path) -> Any:
        """Type a command that prints JSON."""
        return json.loads(self(*words, "--json").stdout)

    def python(self, code: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a program on a cluster, as `rayfleet run` does."""
        return self("run", *options, "--", "python", "-c", code)

    def home(self, name: str) -> Home:
        """Return the folder of a cluster."""
        return Home(self.state / "rayfleet" / "clusters" / name)

    def controller(self, name: str) -> int:
        """Return the process id that is written down as the cluster's controller."""
        return int(json.loads(self.home(name).controller.read_text())["process"]["pid"])

    def status(self, name: str) -> Any:
        """Return what `status --json` would print, read here: a command for each look would keep the machine busy."""
        return view.status_json(self.home(name))

    def machines(self, name: str, pool: str | None = None) -> dict[str, str]:
        """Return id -> phase of a cluster's machines, or of those of one pool."""
        found = self.status(name)["machines"]
        return {m["id"]: m["phase"] for m in found if pool is None or m["pool"] == pool}

    def ledger_bytes(self, name: str) -> bytes:
        """Return what is written in a cluster's ledger, the part that is not in its main file yet included."""
        ledger = self.home(name).ledger
        return b"".join(path.read_bytes() for path in ledger.parent.glob(f"{ledger.name}*"))

    def wait(self, what: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < deadline, "not so in time"
            time.sleep(0.05)

    def assert_nothing_is_left(self, name: str) -> None:
        """Look for processes, folders and secrets of a cluster that is down."""
        home = self.home(name)
        assert leftovers.left_behind(name, home.path) == ()
        assert not cluster_root(None, cluster_tag(name, home.path)).exists()
        kept = {path.name for path in home.path.iterdir()}
        assert kept >= {"cluster.yaml", "history.sqlite", "logs"}
        assert not kept & {"controller.json", "ray.json", "ray-token", "head.json", "gcs"}


CONFIG = """
cluster_name: {name}
max_workers: 4
idle_timeout_minutes: 0.05
provider: {{type: process}}
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0}}}}
  one: {{resources: {{CPU: 1, object_store_memory: 100e6}}, max_workers: 3}}
  two: {{resources: {{CPU: 2, object_store_memory: 100e6}}, labels: {{tier: big}}, max_workers: 2}}
"""


def config(folder: Path, name: str) -> Path:
    """Write a cluster file."""
    path = folder / f"{name}.yaml"
    path.write_text(CONFIG.format(name=name))
    return path
