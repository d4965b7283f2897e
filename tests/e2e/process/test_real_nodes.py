"""Machines of provider `process` that are real Ray nodes: who they are, how they leave, and that nothing stays."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from rayfleet.contracts import (
    EngineDown,
    EngineView,
    LaunchRequest,
    Machine,
    MachineState,
    Node,
    Provider,
    ProviderContext,
    StartScript,
)
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.environment import client_environment
from rayfleet.engines.ray.settings import RaySettings, new_settings
from rayfleet.model import CPU, NodeFact, OfferKey, Pool, Resources
from rayfleet.providers.process import PROVIDER, Settings, procfs
from rayfleet.providers.process.identity import cluster_root, cluster_tag
from rayfleet.providers.process.leftovers import Leftover, left_behind

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

T = TypeVar("T")

PATIENCE_S = 90.0
"""Machines that run tests are slow and shared: this bounds a hang, it measures nothing."""

HEAD = Pool("head", Resources())
WORKER = Pool("cpu1", Resources.of({CPU: 1}))

DETACHED_CHILD = """
import ray, subprocess
ray.init(logging_level="error")

@ray.remote(max_retries=0)
def leave_a_child():
    # Ray ends the children of a worker that exits: only one whose parent is gone stays.
    return int(subprocess.check_output(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"]))

print(ray.get(leave_a_child.remote()))
"""


class RealFleet:
    """One cluster of real nodes below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ray: RaySettings = new_settings("e2e", folder / "ray", preferred_default=False)
        self.ray.save()
        self.engine = RayEngine(self.ray)
        self.provider = self.new_provider()

    def new_provider(self) -> Provider:
        return PROVIDER.build(ProviderContext("e2e", self.folder, Settings(), self.start_script))

    def start_script(self, pool: Pool, head: bool) -> StartScript:
        return self.engine.start_script(pool, head=head)

    def processes(self) -> tuple[Leftover, ...]:
        return left_behind("e2e", self.folder)

    async def launch(self, batch: str, pool: Pool, *claims: str, head: bool = False) -> None:
        await self.provider.launch(LaunchRequest(batch, OfferKey(pool.name), pool, claims, head=head))

    async def machine(self, batch: str) -> Machine | None:
        return next((machine for machine in await self.provider.list() if machine.batch == batch), None)

    async def node(self, machine_id: str) -> Node | None:
        try:
            view: EngineView = await self.engine.look()
        except EngineDown:
            return None
        return next((node for node in view.nodes if node.instance_id == machine_id), None)

    async def joined(self, batch: str) -> tuple[Machine, Node]:
        """Return a machine and its node once the machine has said that it joined."""
        machine = await eventually(lambda: self.machine(batch), lambda m: m is not None and m.state in SETTLED)
        assert machine is not None
        assert machine.state is MachineState.RUNNING, machine.message
        node = await eventually(lambda: self.node(machine.id), lambda n: n is not None and n.state is NodeFact.ALIVE)
        assert node is not None
        return machine, node

    def driver(self, code: str) -> str:
        """Run a driver to its end and return what it printed."""
        environment = {**os.environ, **client_environment(self.ray)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    async def give_back(self) -> None:
        """Release everything, the head last, and wait until it is gone."""
        listed = await self.provider.list()
        await self.provider.release(tuple(machine.id for machine in listed if not machine.head))
        await eventually(self.provider.list, lambda left: all(machine.head for machine in left))
        await self.provider.release(tuple(machine.id for machine in listed if machine.head))
        await eventually(self.provider.list, lambda left: not left)


SETTLED = {MachineState.RUNNING, MachineState.FAILED}


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Ask until the answer is as wished, and return it."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        answer = await ask()
        if holds(answer):
            return answer
        if time.monotonic() > give_up:
            raise AssertionError(f"did not happen in {PATIENCE_S:.0f} s; the last answer: {answer}")
        await asyncio.sleep(0.05)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealFleet]:
    """Give a cluster without machines; fail when a process or a folder of it is left."""
    fleet = RealFleet(tmp_path)
    yield fleet
    left = [(process.machine_id, process.command) for process in fleet.processes()]
    for process in fleet.processes():
        procfs.send_signal(process.key, signal.SIGKILL)
    assert not left
    assert not cluster_root(None, cluster_tag("e2e", tmp_path)).exists()


async def test_real_nodes_come_are_found_again_and_leave_without_a_trace(real: RealFleet) -> None:
    try:
        await real.launch("b0", HEAD, "head", head=True)
        head, _ = await real.joined("b0")
        await real.launch("b1", WORKER, "c1", "c2")
        worker, _ = await real.joined("b1")

        # Every process of a node carries its machine's tag, whatever it has made of its title.
        leaders = {process.machine_id: process for process in real.processes() if process.leader}
        assert {head.id, worker.id} <= leaders.keys()
        assert real.processes() == tuple(p for p in real.processes() if p.machine_id in leaders)
        assert sum(process.machine_id == head.id for process in real.processes()) >= 5

        # What a task has left running, in a session of its own, belongs to the machine and ends with it.
        orphan = int(real.driver(DETACHED_CHILD))
        assert orphan in {process.key.pid for process in real.processes()}

        # Another controller meets the same machines.
        await real.provider.close()
        real.provider = real.new_provider()
        again = await real.machine("b1")
        assert again is not None
        assert (again.id, again.state) == (worker.id, MachineState.RUNNING)

        # A drained node leaves by itself; its machine is then gone without being released.
        drained = await eventually(lambda: idle_node(real, {head.id}), lambda found: found is not None)
        assert drained is not None
        await real.engine.drain(drained.id, time.time(), "idle", voluntary=True)
        await eventually(real.provider.list, lambda left: drained.instance_id not in {m.id for m in left})

        # A raylet that is killed: the machine says how it ended, and nothing of it runs on.
        (survivor,) = [m for m in await real.provider.list() if not m.head]
        (raylet,) = [p for p in real.processes() if p.machine_id == survivor.id and is_raylet(p)]
        procfs.send_signal(raylet.key, signal.SIGKILL)
        failed = await eventually(real.provider.list, lambda left: MachineState.FAILED in {m.state for m in left})
        assert next(m.message for m in failed if m.id == survivor.id)
        await eventually(processes_of(real, survivor.id), lambda count: count == 0)
    finally:
        await real.give_back()
        await real.provider.close()
        await real.engine.close()


async def idle_node(real: RealFleet, but: set[str]) -> Node | None:
    """Return a worker's node that has been idle for a moment."""
    view = await real.engine.look()
    return next(
        (n for n in view.nodes if n.idle_s > 0.5 and n.instance_id not in but and n.state is NodeFact.ALIVE), None
    )


def is_raylet(process: Leftover) -> bool:
    return process.command.split(" ")[0].endswith("/raylet")


def processes_of(real: RealFleet, machine_id: str) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return sum(process.machine_id == machine_id for process in real.processes())

    return count
