"""One machine's recipe, carried out over SSH: logs in, looks what was done before, does the rest."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.rendering import (
    Mark,
    alone,
    command_line,
    parse_mark,
    read_mark,
    telling,
    write_line,
    write_mark,
)
from rayfleet.bootstrap.steps import Put, Recipe, Run, Step, Where, Write
from rayfleet.config.secrets import redacted
from rayfleet.contracts import Machine
from rayfleet.wire.ssh.session import HostKeyChanged, Ran, Session, Ssh, SshError, Target, Unreachable

log = structlog.get_logger("rayfleet.bootstrap")

_MARK_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often things are tried. `at_once`: machines that are worked on at a time.

    `answer_s`: how long a machine that is said to run may not answer, before and after it first has. `step_s`: how long
    one step may take. `losses`: how often the connection may break.
    """

    answer_s: float = 600.0
    attempt_s: float = 10.0
    again_s: float = 3.0
    tries: int = 3
    pause_s: float = 10.0
    step_s: float = 1800.0
    losses: int = 5
    at_once: int = 50


@dataclass(frozen=True, slots=True)
class Progressed:
    """Machine `machine_id` begins step `number` of `of`, or is READY, or has `failed`: why."""

    machine_id: str
    step: str
    number: int
    of: int
    failed: str = ""


READY: Final = "ready"
Progress = Callable[[Progressed], None]


class SetUpFailed(Exception):
    """The machine does not become a node; the message is for people."""


@dataclass(slots=True)
class Slots:
    """How many machines are worked on, and tried to reach, at a time. Those that do not answer hold up nobody else."""

    working: asyncio.Semaphore
    reaching: asyncio.Semaphore

    @classmethod
    def of(cls, limits: Limits) -> Slots:
        """Return all slots, free."""
        return cls(asyncio.Semaphore(limits.at_once), asyncio.Semaphore(4 * limits.at_once))


@dataclass(frozen=True, slots=True)
class Job:
    """One machine and its recipe. `found`: it was there before us. `before_start`: awaited before its node starts."""

    machine: Machine
    recipe: Recipe
    found: bool = False
    before_start: Callable[[Machine], Awaitable[None]] | None = None


class Visit:
    """One machine and its recipe. `run` ends when the node has started, or raises SetUpFailed."""

    def __init__(self, job: Job, target: Target, again: Again, limits: Limits) -> None:
        """Take what is to be done; nothing is begun."""
        machine, recipe = job.machine, job.recipe
        self.step = "waits for SSH"
        self._found = job.found
        self._before_start = job.before_start
        self._machine = machine
        self._recipe = recipe
        self._target = target
        self._again = again
        self._limits = limits
        self._done: set[int] = set()  # numbers of steps, of this visit
        self._planned: tuple[Step | str, ...] | None = None
        self._started = False  # its mark says so, and only files are brought again

    async def run(self, ssh: Ssh, slots: Slots, progress: Progress) -> None:
        """Do all that is left to do. Whoever cancels it leaves at most one command running on the machine.

        A node that has started stays one, also when its files cannot be brought again: there may be work on it.
        """
        try:
            await self._until_done(ssh, slots, progress)
        except SetUpFailed as error:
            if not self._started:
                raise
            log.warning("files_not_brought", machine=self._machine.id, why=str(error))
            number = len(self._planned or ())
            progress(Progressed(self._machine.id, READY, number, number))

    async def _until_done(self, ssh: Ssh, slots: Slots, progress: Progress) -> None:
        lost, times = "", 0
        while times < self._limits.losses:
            session = await self._log_in(ssh, slots)
            try:
                async with slots.working:
                    await self._carry_out(session, progress)
            except Unreachable as error:
                lost, times = str(error), times + self._may_fail
                self.step = self.step if self._planned else f"waits for SSH: {lost}"
            else:
                return
            finally:
                await session.close()
            await asyncio.sleep(self._limits.again_s)
        raise SetUpFailed(f"{self._where} was lost {self._limits.losses} times during {self.step!r}: {lost}")

    @property
    def _where(self) -> str:
        return f"{self._machine.id} ({self._target.address})"

    @property
    def _may_fail(self) -> bool:
        """Say whether it can be given up for not answering; one that has started is then left as it is, see `run`.

        One that was there before us may be a node whose work goes on: not before it is known that something is to do.
        """
        return not self._found or bool(self._planned)

    async def _log_in(self, ssh: Ssh, slots: Slots) -> Session:
        """Try until it answers. It may refuse the key for a while, too: it is brought to it during its boot."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.answer_s
        while True:
            try:
                async with slots.reaching:
                    return await ssh.connect(self._target, self._limits.attempt_s)
            except SshError as error:
                self.step = f"waits for SSH: {error}"
                if isinstance(error, HostKeyChanged) and self._may_fail:
                    raise SetUpFailed(f"{self._where}: {error}") from error
                if loop.time() >= until and self._may_fail:
                    waited = f"{self._limits.answer_s:.0f} s"
                    raise SetUpFailed(f"{self._where} does not let us in after {waited}: {error}") from error
            await asyncio.sleep(self._limits.again_s)

    async def _carry_out(self, session: Session, progress: Progress) -> None:
        steps = self._planned
        if steps is None:
            ran = await session.run(read_mark(self._recipe), env=self._env, timeout_s=_MARK_S)
            mark = parse_mark(ran.lines)
            if not mark.boot and self._recipe.container is None:  # a container may not be there yet
                raise Unreachable(f"{self._where} does not tell when it has booted: {ran.text}")
            steps = self._planned = tuple(self._plan(mark))
        for number, step in enumerate(steps, 1):
            if number in self._done:
                continue
            self.step = step if isinstance(step, str) else step.name
            if not isinstance(step, str):
                progress(Progressed(self._machine.id, self.step, number, len(steps)))
            if isinstance(step, Run) and step.starts and self._before_start is not None:
                await self._before_start(self._machine)
            await self._insist(session, step)
            self._done.add(number)
        progress(Progressed(self._machine.id, READY, len(steps), len(steps)))

    def _plan(self, mark: Mark) -> Iterator[Step | str]:
        """Yield the steps that are left to do; a text is a command that leaves a mark of what was done."""
        recipe, batch = self._recipe, self._machine.batch
        fresh = not mark.setup
        set_up = fresh or (self._again is not Again.START and not mark.is_set_up(recipe))
        running = mark.is_up(batch) if self._again is Again.SETUP else not set_up and mark.is_started(recipe, batch)
        start = self._again is Again.START or not running
        self._started = not set_up and not start
        if set_up:
            yield from recipe.setup
            yield write_mark(recipe, batch, started=not start)
        elif self._again is not Again.START:
            yield from recipe.files
        if start:
            yield from recipe.start
            yield write_mark(recipe, batch, started=True, setup="" if set_up else mark.setup)

    async def _insist(self, session: Session, step: Step | str) -> None:
        """Do a step, and again when it fails. Raises SetUpFailed, Unreachable."""
        ran = await self._attempt(session, step)
        for _ in range(1, self._limits.tries):
            if ran.code == 0:
                return
            await asyncio.sleep(self._limits.pause_s)
            if isinstance(step, Run) and step.tidying:
                await self._attempt(session, step.tidying)
            ran = await self._attempt(session, step)
        if ran.code == 0:
            return
        command = redacted(step.command if isinstance(step, Run) else self.step)
        raise SetUpFailed(
            "\n".join(
                (
                    f"{self.step!r} on {self._where} ended with {ran.code}, {self._limits.tries} times: {command}",
                    *telling(ran.lines),
                )
            )
        )

    async def _attempt(self, session: Session, step: Step | str) -> Ran:
        if isinstance(step, Put):
            return await self._put(session, step)
        if isinstance(step, Write):
            return await self._write(session, step)
        command = step if isinstance(step, str) else command_line(self._recipe, step)
        return await session.run(
            alone(self._recipe, command, self._limits.step_s), env=self._env, timeout_s=self._limits.step_s
        )

    async def _write(self, session: Session, step: Write) -> Ran:
        if step.on is Where.NODE and self._recipe.container:
            command, content = write_line(self._recipe, step)
            return await session.run(command, env=self._env, stdin=content, timeout_s=self._limits.step_s)
        return await _as_ran(session.write(step.path, step.content, step.mode))

    async def _put(self, session: Session, step: Put) -> Ran:
        """Copy what is there. A folder's content becomes the target's, however it is written."""
        source = await asyncio.to_thread(_existing, step.files.source)
        if source is None:
            return Ran(0, ()) if step.optional else Ran(1, (f"there is no {step.files.source} to copy from",))
        return await _as_ran(session.push(replace(step.files, source=source)))

    @property
    def _env(self) -> dict[str, str]:
        """Return what only we know of the machine. Ray wants an address of it in numbers, or finds its own."""
        address = self._machine.address
        try:
            ipaddress.ip_address(address)
        except ValueError:
            address = ""
        return {"RAYFLEET_MACHINE_ID": self._machine.id, "RAYFLEET_ADDRESS": address}


def _existing(path: str) -> str | None:
    """Return the path of what is there, a folder's with a slash at its end; None: nothing is."""
    found = Path(path).expanduser()
    if not found.exists():
        return None
    return f"{found}/" if found.is_dir() else str(found)


async def _as_ran(copying: Awaitable[None]) -> Ran:
    """Await a copy; what is wrong with it, but for a lost connection, is told as of a command."""
    try:
        await copying
    except Unreachable:
        raise
    except SshError as error:
        return Ran(1, tuple(str(error).splitlines()))
    return Ran(0, ())


class FilesOnly(Visit):
    """A visit that only brings files, to a machine whose node has been started; nothing is started again."""

    def _plan(self, mark: Mark) -> Iterator[Step | str]:  # noqa: ARG002 - whatever was done before
        yield from self._recipe.files
