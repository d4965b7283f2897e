"""The head gets its controller: while its Ray starts, where that is started now; else when the head is found ready.

    set-up done -> `begin`: rayfleet onto the head -> Ray is started by the recipe, the controller beside it
    head ready  -> `done`: what was begun; all of it now where nothing was, or where it has failed

Neither needs the other to start: a controller without Ray looks at its machines, and waits. But rayfleet comes before
Ray, since its installation may exchange packages that Ray is reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from rayfleet.contracts import Machine
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.progress import Progress, Step
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.deliver import OnHead, deliver, recipe_of
from rayfleet.launcher.remote.site import Site
from rayfleet.launcher.remote.where import Where
from rayfleet.wire.ssh.session import Session, Ssh, SshError, Target

LOGIN_S: Final = 20.0
_TRIES: Final = 5
_ASK_AGAIN_S: Final = 2.0

log = structlog.get_logger("rayfleet.launcher")

Delivered = tuple[Session, OnHead]


@dataclass(slots=True)
class _Begun:
    """What is under way on one machine. `installed`: rayfleet is there, or it will not come now."""

    machine: str
    task: asyncio.Task[Delivered]
    installed: asyncio.Event


@dataclass(slots=True)
class Controlling:
    """The controller of one `up`. `no_restart`: Ray is left running everywhere. `last`: what it told last."""

    site: Site
    progress: Progress
    no_restart: bool = False
    last: str = "logging in to the head"
    _begun: _Begun | None = field(default=None, init=False)

    async def begin(self, machine: Machine) -> None:
        """Begin on a head whose Ray is about to be started; return when nothing is installed there any more.

        What goes wrong is tried again, and told, by `done`.
        """
        if self._begun is not None and self._begun.machine == machine.id:
            return
        await self.close()
        installed = asyncio.Event()
        task = asyncio.create_task(self._deliver(self.site.at(machine), installed.set), name="controller")
        task.add_done_callback(lambda _: installed.set())
        self._begun = _Begun(machine.id, task, installed)
        await installed.wait()

    async def done(self, where: Where) -> Delivered:
        """See that the head has its controller; the session is the caller's to close.

        Raises:
            StepFailed, SshError, LauncherError: as `deliver`.
        """
        begun, self._begun = self._begun, None
        if begun is not None and begun.machine == where.machine:
            try:
                return await begun.task
            except (SshError, LauncherError) as error:
                log.warning("controller_not_begun", machine=where.machine, why=str(error))
        return await self._deliver(where, lambda: None)

    async def leave(self, machine_id: str) -> None:
        """Do nothing more on a machine: it is given back."""
        if self._begun is not None and self._begun.machine == machine_id:
            await self.close()

    async def close(self) -> None:
        """Give up what is under way and nobody waits for."""
        begun, self._begun = self._begun, None
        if begun is None:
            return
        begun.task.cancel()
        await asyncio.wait({begun.task})
        if not begun.task.cancelled() and begun.task.exception() is None:
            session, _ = begun.task.result()
            await session.close()

    def _tell(self, step: Step) -> None:
        self.last = step.text
        self.progress(step)

    async def _deliver(self, where: Where, installed: Callable[[], None]) -> Delivered:
        site = self.site
        session = await log_in(site.ssh, where)
        try:
            recipe = recipe_of(site.spec, site.ray)
            if recipe.container is not None:
                where = replace(where, container=recipe.container.name, container_program=recipe.container.program)
                notes.save(site.home, where)
            head = OnHead(session, recipe, where, self._tell)
            await deliver(head, site.spec, no_restart=self.no_restart, installed=installed)
        except BaseException:
            await session.close()
            raise
        return session, head


async def log_in(ssh: Ssh, where: Where, tries: int = _TRIES) -> Session:
    """Log in to the head.

    Raises:
        SshError: it does not answer, or does not let us in.
    """
    target = Target(where.address, where.login, where.machine, notes.known_hosts(where), where.key_name)
    for left in reversed(range(tries)):
        try:
            return await ssh.connect(target, LOGIN_S)
        except SshError:
            if not left:
                raise
            await asyncio.sleep(_ASK_AGAIN_S)
    raise AssertionError("tries is at least 1")
