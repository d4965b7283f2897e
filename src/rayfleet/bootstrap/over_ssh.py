"""A provider whose machines become nodes over SSH: the recipe of each is carried out in the background.

`list` shows a machine as RUNNING when its node has been started, as STARTING before, and as FAILED with the reason when
that was given up, so that the planner replaces it. What was done is written on the machine itself: another controller
finds it there and goes on. A machine that was there before this controller and does not answer is not given up: its
node may be at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, cast

import structlog

from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.steps import Recipe
from rayfleet.bootstrap.visit import Job, Limits, Progress, Progressed, SetUpFailed, Slots, Visit
from rayfleet.contracts import KeepsStandby, LaunchRequest, Machine, MachineState, Provider
from rayfleet.model import StandbyMode
from rayfleet.wire.ssh.session import Ssh, Target

log = structlog.get_logger("rayfleet.bootstrap")

NEWS_S: Final = 0.5
"""So soon a listing is worth it that shows whose work has ended; no place is asked more often than that."""


@dataclass(frozen=True, slots=True)
class How:
    """What a machine's set-up needs. `skip`: machines that somebody else sets up; they are listed as they are.

    `before_start`: awaited with each machine before its node is started. `closing`: called at the very end. `nodes`:
    told at each listing which machines are set up, of those that are ours to set up.
    """

    ssh: Ssh
    target: Callable[[Machine], Target]
    recipe: Callable[[Machine], Recipe]
    skip: Callable[[Machine], bool] = lambda machine: False  # noqa: ARG005 - a default that reads as what it means
    progress: Progress = lambda progressed: None  # noqa: ARG005 - the same
    again: Again = Again.CHANGED
    limits: Limits = Limits()
    before_start: Callable[[Machine], Awaitable[None]] | None = None
    closing: Callable[[], Awaitable[None]] | None = None
    nodes: Callable[[tuple[Machine, ...]], None] = lambda machines: None  # noqa: ARG005 - the same


@dataclass(slots=True)
class _Work:
    """The set-up of one machine for one launch. `failure`: why it was given up, "" : it was not.

    `told`: it had ended when the place was asked last.
    """

    batch: str
    task: asyncio.Task[None]
    visit: Visit | None = None
    failure: str = ""
    told: bool = False

    def shown(self, machine: Machine) -> Machine:
        """Return the machine as the loop should see it."""
        if self.failure:
            return replace(machine, state=MachineState.FAILED, message=self.failure)
        if self.task.done():
            return machine
        step = self.visit.step if self.visit else ""
        return replace(machine, state=MachineState.STARTING, message=step)


class Bootstrapped:
    """The contract over another provider, with its machines on standby where that has such."""

    def __init__(self, provider: Provider, how: How) -> None:
        """Take the provider; tasks begin with the first `list`."""
        self._provider = provider
        self._how = how
        self._slots = Slots.of(how.limits)
        self._works: dict[str, _Work] = {}
        self._leaving: dict[str, str] = {}  # machine -> its batch when it was released
        self._ending: dict[str, asyncio.Task[None]] = {}  # the last task of a machine, which may still be ending
        self._batches: dict[str, str] = {}  # machine -> its batch in the last listing
        self._launched: set[str] = set()  # batches, by us
        self._prepared: set[str] = set()  # batches that were made to wait on standby
        self._woken: set[str] = set()  # machines that no longer do
        self._resting: set[str] = set()  # machines that were told to

    @property
    def name(self) -> str:
        """Return the provider's own name."""
        return self._provider.name

    @property
    def list_interval_s(self) -> float:
        """Return the provider's own interval, or a shorter one as long as somebody's work has ended and is unlisted."""
        own_s = self._provider.list_interval_s
        news = any(work.task.done() and not work.told for work in self._works.values())
        return min(own_s, NEWS_S) if news else own_s

    async def list(self) -> tuple[Machine, ...]:
        """Return the provider's machines; those that run and are no nodes yet become such from now on."""
        for work in self._works.values():
            work.told = work.task.done()  # also when the place does not answer: it is not asked more often for that
        machines = await self._provider.list()
        here = {machine.id for machine in machines}
        for machine_id in self._works.keys() - here:
            self._drop(machine_id)
        self._batches = {machine.id: machine.batch for machine in machines}
        self._leaving = {name: batch for name, batch in self._leaving.items() if name in here}
        shown = tuple(self._shown(machine) for machine in machines)
        self._how.nodes(tuple(m for m in shown if m.id in self._works and m.state is MachineState.RUNNING))
        return shown

    async def launch(self, request: LaunchRequest) -> None:
        """Pass on."""
        self._launched.add(request.batch)
        await self._provider.launch(request)

    async def release(self, machine_ids: tuple[str, ...]) -> None:
        """Stop working on them and pass on."""
        for machine_id in machine_ids:
            self._leaving[machine_id] = self._batches.get(machine_id, "")
            self._drop(machine_id)
        await self._provider.release(machine_ids)

    async def prepare(self, request: LaunchRequest, mode: StandbyMode) -> None:
        """Pass on; such machines are not set up before they are started."""
        self._prepared.add(request.batch)
        await cast("KeepsStandby", self._provider).prepare(request, mode)

    async def stop(self, machine_ids: tuple[str, ...], mode: StandbyMode) -> None:
        """Stop working on them and pass on."""
        for machine_id in machine_ids:
            self._drop(machine_id)
            self._resting.add(machine_id)
            self._woken.discard(machine_id)
        await cast("KeepsStandby", self._provider).stop(machine_ids, mode)

    async def start(self, request: LaunchRequest) -> None:
        """Pass on; they become nodes when they run."""
        self._resting -= set(request.reuse)
        self._woken |= set(request.reuse)
        await cast("KeepsStandby", self._provider).start(request)

    async def close(self) -> None:
        """End all work, on machines it goes on at the next start; and let go of the provider."""
        tasks = [work.task for work in self._works.values()]
        for machine_id in tuple(self._works):
            self._drop(machine_id)
        await asyncio.gather(*tasks, *self._ending.values(), return_exceptions=True)
        if self._how.closing is not None:
            await self._how.closing()
        await self._provider.close()

    # ---- one machine ---------------------------------------------------------------------------------------------

    def _shown(self, machine: Machine) -> Machine:
        work = self._works.get(machine.id)
        if machine.state is not MachineState.RUNNING or self._how.skip(machine):
            self._drop(machine.id)  # when it runs again, it has booted again
            return machine
        if self._is_leaving(machine) or self._is_resting(machine):
            return machine
        if not machine.address:
            return replace(machine, state=MachineState.STARTING)
        if work is None or work.batch != machine.batch:
            work = self._begin(machine)
        return work.shown(machine)

    def _is_leaving(self, machine: Machine) -> bool:
        """Say whether it was given back; a host that came to us again since, for another launch, is not."""
        return machine.id in self._leaving and self._leaving[machine.id] == machine.batch

    def _is_resting(self, machine: Machine) -> bool:
        """Say whether it is on its way to standby."""
        prepared = machine.batch in self._prepared and machine.id not in self._woken
        return prepared or machine.id in self._resting

    def _begin(self, machine: Machine) -> _Work:
        self._drop(machine.id)
        before = self._ending.pop(machine.id, None)
        task = asyncio.create_task(self._set_up(machine, before), name=f"set up {machine.id}")
        self._works[machine.id] = _Work(machine.batch, task)
        return self._works[machine.id]

    def _drop(self, machine_id: str) -> None:
        """End the work on a machine, if there is any."""
        work = self._works.pop(machine_id, None)
        if work is not None and not work.task.done():
            work.task.cancel()
            self._ending[machine_id] = work.task
            work.task.add_done_callback(lambda task: self._forget(machine_id, task))

    def _forget(self, machine_id: str, task: asyncio.Task[None]) -> None:
        if self._ending.get(machine_id) is task:
            del self._ending[machine_id]

    async def _set_up(self, machine: Machine, before: asyncio.Task[None] | None) -> None:
        """Carry the recipe out; what goes wrong is kept with the work."""
        if before is not None:
            await asyncio.wait((before,))
        how, work = self._how, self._works[machine.id]
        try:
            found = machine.batch not in self._launched
            job = Job(machine, how.recipe(machine), found, how.before_start)
            visit = work.visit = Visit(job, how.target(machine), how.again, how.limits)
            await visit.run(how.ssh, self._slots, how.progress)
        except SetUpFailed as error:
            work.failure = str(error)
        except Exception as error:  # a mistake of ours must not stop the listing of all other machines
            log.exception("set_up_crashed", machine=machine.id)
            work.failure = f"the set-up of {machine.id} ended in {type(error).__name__}: {error}"
        if work.failure:
            log.warning("set_up_failed", machine=machine.id, why=work.failure)
            how.progress(Progressed(machine.id, work.visit.step if work.visit else "", 0, 0, work.failure))
