"""Files that running machines get again whenever they change here: `file_mounts_sync_continuously`.

    Bootstrapped.list -> Mirror.seen(machines that are nodes) -> every INTERVAL_S: have the sources changed? -> files

Only files are brought; no command of the user's is run, and no Ray is started again. A machine that is seen for the
first time gets them once, since they may have changed while it was set up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog

from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.steps import Put, Recipe
from rayfleet.bootstrap.visit import FilesOnly, Job, Limits, SetUpFailed, Slots
from rayfleet.contracts import Machine
from rayfleet.wire.ssh.session import Ssh, Target

log = structlog.get_logger("rayfleet.bootstrap")

INTERVAL_S: Final = 5.0
_LIMITS: Final = Limits(answer_s=60.0, tries=1, losses=2)
"""What does not work now is tried again at the next look."""

Seen = tuple[tuple[str, int, int], ...]
"""Path, size and time of change (ns) of each file."""


class Mirror:
    """The machines that have files of ours, and which state of them each has."""

    def __init__(
        self,
        ssh: Ssh,
        target: Callable[[Machine], Target],
        recipe: Callable[[Machine], Recipe],
        interval_s: float = INTERVAL_S,
    ) -> None:
        """Take how machines are reached and what each gets; nothing is begun before machines are seen."""
        self._ssh = ssh
        self._target = target
        self._recipe = recipe
        self._interval_s = interval_s
        self._machines: dict[tuple[str, str], Machine] = {}
        self._has: dict[tuple[str, str], Seen] = {}
        self._slots = Slots.of(_LIMITS)
        self._task: asyncio.Task[None] | None = None

    def seen(self, machines: Iterable[Machine]) -> None:
        """Take the machines that are nodes now; all others are none any more."""
        self._machines = {(machine.id, machine.batch): machine for machine in machines}
        self._has = {key: state for key, state in self._has.items() if key in self._machines}
        if self._task is None and self._machines:
            self._task = asyncio.create_task(self._watch(), name="files that change")

    async def close(self) -> None:
        """End whatever is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # a mistake of ours must not end the watching
                log.exception("files_crashed")
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Bring each machine the files that it does not have as they are now."""
        wanted = {key: self._recipe(machine) for key, machine in self._machines.items()}
        sources = {path for recipe in wanted.values() for path in _sources(recipe)}
        states = dict(zip(sources, await asyncio.to_thread(lambda: [*map(state, sources)]), strict=True))
        now = {key: tuple(row for path in _sources(recipe) for row in states[path]) for key, recipe in wanted.items()}
        late = [key for key in now if self._has.get(key) != now[key]]
        ends = await asyncio.gather(*(self._bring(key, wanted[key], now[key]) for key in late), return_exceptions=True)
        for mistake in filter(None, ends):  # when all have ended: the next look would go to the others a second time
            raise mistake

    async def _bring(self, key: tuple[str, str], recipe: Recipe, now: Seen) -> None:
        machine = self._machines.get(key)
        if machine is None:
            return
        try:
            visit = FilesOnly(Job(machine, recipe), self._target(machine), Again.CHANGED, _LIMITS)
            await visit.run(self._ssh, self._slots, lambda progressed: None)  # noqa: ARG005 - nobody waits for it
        except SetUpFailed as error:
            log.warning("files_not_brought", machine=machine.id, why=str(error))
            return
        if key in self._machines:
            self._has[key] = now
        log.info("files_brought", machine=machine.id)


def _sources(recipe: Recipe) -> Iterator[str]:
    return (step.files.source for step in recipe.files if isinstance(step, Put))


def state(source: str) -> Seen:
    """Return what tells one state of a file, or of a folder's files, from the next; empty when nothing is there."""
    root = Path(source).expanduser()
    files = sorted(Path(folder, name) for folder, _, names in os.walk(root) for name in names) or [root]
    return tuple(row for file in files for row in _row(file))


def _row(file: Path) -> Iterator[tuple[str, int, int]]:
    try:
        found = file.lstat()
    except FileNotFoundError:  # gone since it was listed
        return
    yield str(file), found.st_size, found.st_mtime_ns
