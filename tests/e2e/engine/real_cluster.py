"""One real Ray cluster for the engine's tests: a head and nodes started just as a provider starts them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from rayfleet.contracts import EngineDown, EngineView, Node
from rayfleet.engines.ray.boot import start_script
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.environment import client_environment
from rayfleet.engines.ray.settings import RaySettings, new_settings
from rayfleet.model import FrozenMap, Pool, Resources

T = TypeVar("T")

_PRELUDE = """
import ray, time
def say(*words): print("SAID", *words)
ray.init(logging_level="error")
"""
OPTIONS = {"RAY_enable_infeasible_task_early_exit": "1"}
"""An option of Ray's that users may choose: work that is reported to be hopeless fails instead of waiting for ever."""

OLDEST = version("ray").startswith("2.52.")
"""Whether this is the oldest Ray that is supported; what it cannot do yet is said at each test."""

PATIENCE_S = 90.0
"""Machines that run tests are slow and shared: this bounds a hang, it measures nothing."""


def pool(name: str, labels: dict[str, str] | None = None, **amounts: float) -> Pool:
    """Return a pool; `CPU=2` and the like are the resources of its machines."""
    return Pool(name, Resources.of(amounts), FrozenMap(labels or {}))


class RealCluster:
    """A head, its nodes and its drivers; whatever was started is ended by `close`."""

    def __init__(self, root: Path) -> None:
        self.settings: RaySettings = new_settings("tests", root / "cluster", preferred_default=False)
        self.settings.save()
        self._root = root
        self._processes: list[subprocess.Popen[str]] = []
        self.head = self.start("head", pool("head", CPU=0), head=True)

    def start(self, machine: str, of: Pool, *, head: bool = False) -> subprocess.Popen[str]:
        """Start a machine as the provider `process` does: in its own session, with a directory of its own."""
        directory = self.directory(machine)
        directory.mkdir(parents=True)
        script = start_script(self.settings, of, head=head)
        identity = {"RAYFLEET_MACHINE_ID": machine, "RAYFLEET_MACHINE_DIR": str(directory), "RAYFLEET_CLUSTER": "tests"}
        with (directory / "output").open("w") as output:
            process = subprocess.Popen(
                script.argv,
                env={**os.environ, **OPTIONS, **script.env, **identity},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._processes.append(process)
        return process

    def directory(self, machine: str) -> Path:
        """Return the machine's own directory."""
        return self._root / machine

    def output(self, machine: str) -> str:
        """Return what the machine's command has printed."""
        return (self.directory(machine) / "output").read_text()

    def environment(self) -> dict[str, str]:
        """Return the environment of a shell after `rayfleet env`."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **OPTIONS, **client_environment(self.settings), "PATH": path}

    def driver(self, code: str) -> subprocess.Popen[str]:
        """Start a driver; it has imported ray and connected before `code` runs, and tells us things by `say`."""
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", f"{_PRELUDE}{code}"],
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    def run(self, *command: str) -> str:
        """Run a command to its end as a user in such a shell, and return its output; it must succeed."""
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def end(self, *processes: subprocess.Popen[str]) -> None:
        """End processes by their ids and wait for them."""
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    def close(self) -> None:
        """End everything, the head last."""
        self.end(*self._processes[1:])
        self.end(self.head)


def said_by(driver: subprocess.Popen[str]) -> str:
    """Wait until the driver says something and return it; what Ray prints in between is skipped."""
    return line_of(driver, "SAID ").removeprefix("SAID ").strip()


def line_of(driver: subprocess.Popen[str], part: str) -> str:
    """Wait for a line with `part` in it and return it."""
    assert driver.stdout is not None
    for line in driver.stdout:
        if part in line:
            return line
    raise AssertionError(f"the driver ended without a line with {part!r}")


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Ask until the answer is as wished, and return it; the last answer is in the failure."""
    until = time.monotonic() + PATIENCE_S
    answer: T | str = "no answer yet"
    while time.monotonic() < until:
        try:
            answer = await ask()
        except EngineDown as error:
            answer = str(error)
        else:
            if holds(answer):
                return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"still {answer}")


async def view_where(engine: RayEngine, holds: Callable[[EngineView], bool]) -> EngineView:
    """Look until the view is as wished."""
    return await eventually(engine.look, holds)


async def node_where(engine: RayEngine, machine: str, holds: Callable[[Node], bool] = lambda _: True) -> Node:
    """Look until the machine's node is there and as wished."""

    def found(view: EngineView) -> bool:
        return any(node.instance_id == machine and holds(node) for node in view.nodes)

    view = await view_where(engine, found)
    return next(node for node in view.nodes if node.instance_id == machine)
