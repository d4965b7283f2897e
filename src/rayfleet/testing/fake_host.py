"""A pretend computer for provider `process`: its processes live in a dict and its time stands until it is moved.

host = FakeHost(clock)
supervisor = Supervisor(site, Registry(folder), host)
...
host.join("c1-ab12")                # its command says that the node has joined
host.exit("c1-ab12", code=1)        # its first process ends
"""

import errno
import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.contracts import Clock
from rayfleet.providers.process.host import Spawn
from rayfleet.providers.process.identity import MACHINE_ID
from rayfleet.providers.process.leftovers import Leftover
from rayfleet.providers.process.procfs import ProcessKey


@dataclass(slots=True)
class FakeProcess:
    """One process.

    `obeys_sigterm`: ends on SIGTERM; `immortal`: not even SIGKILL ends it (it hangs in the kernel); `untouchable`: it
    has another user's rights, so that we may not signal it.
    """

    key: ProcessKey
    machine_id: str
    leader: bool = True
    obeys_sigterm: bool = True
    immortal: bool = False
    untouchable: bool = False
    exit_code: int | None = None


@dataclass(slots=True)
class FakeHost:
    """The computer. `spawn_errors`: raised by the next spawns, one each; `obedient`: new processes end on SIGTERM."""

    clock: Clock
    boot: str = "boot-1"
    spawn_errors: list[OSError] = field(default_factory=list)
    prepare_error: OSError | None = None
    remove_error: OSError | None = None
    obedient: bool = True
    spawned: list[Spawn] = field(default_factory=list)
    signals: list[tuple[str, signal.Signals]] = field(default_factory=list)
    directories: set[Path] = field(default_factory=set)
    joined: set[Path] = field(default_factory=set)
    logs: dict[str, str] = field(default_factory=dict)
    table: dict[ProcessKey, FakeProcess] = field(default_factory=dict)
    searches: int = 0
    _pids: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    # ---- what a test does ------------------------------------------------------------------------------------

    def join(self, machine_id: str) -> None:
        """Have the machine's command say that its node has joined."""
        self.joined.add(self._spawn_of(machine_id).directory)

    def exit(self, machine_id: str, code: int = 0) -> None:
        """Have the machine's first process end; its children live on."""
        self.leader(machine_id).exit_code = code

    def leader(self, machine_id: str) -> FakeProcess:
        """Return the first process of the machine's newest attempt."""
        return [p for p in self.table.values() if p.machine_id == machine_id and p.leader][-1]

    def add_child(self, machine_id: str) -> FakeProcess:
        """Have the machine's first process start another one."""
        child = FakeProcess(ProcessKey(next(self._pids), 1), machine_id, leader=False, obeys_sigterm=False)
        self.table[child.key] = child
        return child

    def alive(self, machine_id: str) -> int:
        """Return how many processes of the machine live."""
        return sum(found.machine_id == machine_id for found in self.processes())

    def _spawn_of(self, machine_id: str) -> Spawn:
        return [spawn for spawn in self.spawned if spawn.env[MACHINE_ID] == machine_id][-1]

    # ---- what the supervisor asks --------------------------------------------------------------------------

    def now(self) -> float:
        """Return the clock's time."""
        return self.clock.now()

    def boot_id(self) -> str:
        """Return the boot that was set."""
        return self.boot

    def prepare(self) -> None:
        """Raise what was scripted."""
        if self.prepare_error is not None:
            raise self.prepare_error

    def spawn(self, spawn: Spawn) -> ProcessKey:
        """Add a process, or raise the next scripted error."""
        if self.spawn_errors:
            raise self.spawn_errors.pop(0)
        if spawn.directory in self.directories:
            raise FileExistsError(errno.EEXIST, "exists", str(spawn.directory))
        self.spawned.append(spawn)
        self.directories.add(spawn.directory)
        process = FakeProcess(
            ProcessKey(next(self._pids), 1), spawn.env[MACHINE_ID], leader=True, obeys_sigterm=self.obedient
        )
        self.table[process.key] = process
        return process.key

    def is_alive(self, process: ProcessKey) -> bool:
        """Say whether it has not ended."""
        return process in self.table and self.table[process].exit_code is None

    def exit_code(self, process: ProcessKey) -> int | None:
        """Return the code of an ended process."""
        return self.table[process].exit_code if process in self.table else None

    def has_started(self, directory: Path) -> bool:
        """Say whether `join` was called for it."""
        return directory in self.joined

    def processes(self) -> tuple[Leftover, ...]:
        """Return what lives, in pid order."""
        self.searches += 1
        return tuple(
            Leftover(key, process.machine_id, process.leader)
            for key, process in sorted(self.table.items())
            if process.exit_code is None
        )

    def signal(self, process: ProcessKey, signum: signal.Signals) -> None:
        """Record the signal, and end the process if it obeys."""
        found = self.table[process]
        if found.untouchable:
            raise PermissionError(errno.EPERM, "not permitted")
        self.signals.append((found.machine_id, signum))
        ends = found.obeys_sigterm if signum is signal.SIGTERM else not found.immortal
        if ends and found.exit_code is None:
            found.exit_code = -signum

    def remove(self, directory: Path) -> None:
        """Remove a directory, or raise what was scripted."""
        if self.remove_error is not None:
            raise self.remove_error
        self.directories.discard(directory)
        self.joined.discard(directory)

    def tail(self, log: Path) -> str:
        """Return the text that was set for the log, by its file name."""
        return self.logs.get(log.name, "")
