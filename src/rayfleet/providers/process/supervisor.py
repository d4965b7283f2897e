"""Brings every machine of the registry to where it should be, one step at a time.

It is synchronous and keeps no time of its own: `step` looks at all machines, does what is due, and says when it wants
to be called again. The provider calls everything but `listing` from one thread.
"""

import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, MachineState, StartScript
from rayfleet.providers.process.host import Host, RootNotOursError, Spawn
from rayfleet.providers.process.identity import CLUSTER, MACHINE_ID, host_name, machine_directory
from rayfleet.providers.process.leftovers import Leftover
from rayfleet.providers.process.record import Record, Slot, Stage
from rayfleet.providers.process.recovery import met_again, without_record
from rayfleet.providers.process.registry import Registry
from rayfleet.providers.process.settings import Settings

POLL_S: Final = 0.05
"""Pause between two looks at machines that are starting or ending."""
DISK_RETRY_S: Final = 1.0
"""Pause before something is tried again that the disk refused."""
FORGET_EVERY: Final = 100
"""After so many ends the oldest of the remembered machines are let go of, with their logs."""

_STATES: Final = {
    Stage.QUEUED: MachineState.STARTING,
    Stage.STARTING: MachineState.STARTING,
    Stage.RUNNING: MachineState.RUNNING,
    Stage.STOPPING: MachineState.STOPPING,
    Stage.FAILED: MachineState.FAILED,
    Stage.RESTING: MachineState.STANDBY,
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Site:
    """Whose machines these are, where their directories go, and the rules. `starts_max`: so many boot at once."""

    cluster: str
    root: Path
    settings: Settings
    starts_max: int


class Supervisor:
    """All machines of one cluster."""

    def __init__(self, site: Site, registry: Registry, host: Host) -> None:
        """Take the parts; nothing is read before `open`."""
        self._site = site
        self._registry = registry
        self._host = host
        self._records: dict[str, Record] = {}
        self._taken: set[Slot] = set()
        self._unsaved: set[str] = set()
        self._refused: set[str] = set()  # machines for which the last step could not do what was due
        self._ends = 0
        self._census: tuple[Leftover, ...] | None = None
        self._published: tuple[Record, ...] = ()

    # ---- what the provider calls ---------------------------------------------------------------------------

    def open(self) -> None:
        """Read the registry and meet again what runs. OSError when the registry cannot be read."""
        holding = self._registry.load()
        self._records.clear()
        self._census = self._host.processes()
        boot = self._host.boot_id()
        for record in holding.machines:
            self._keep(met_again(record, boot, self._processes_of(record.id)))
        tagged = {found.machine_id for found in self._census}
        for machine_id in sorted({*holding.unreadable, *tagged} - self._records.keys()):
            log.warning("machine_record_lost", machine=machine_id)
            self._keep(without_record(machine_id))
        self._taken = {*holding.ended, *(record.slot for record in self._records.values())}
        self._publish()

    def add(self, request: LaunchRequest, script: StartScript, stage: Stage = Stage.QUEUED) -> None:
        """Write down the machines of a request that were never asked for before. `stage`: where they begin.

        Raises:
            Denied: the directories of machines cannot be made safely.
            Flaky: the registry cannot be written; nothing of this call remains.
        """
        now = self._host.now()
        fresh = [slot for slot in slots(request) if slot not in self._taken]
        new = [replace(self._new(request, slot, script, now), stage=stage) for slot in fresh]
        self._save_all(new)
        for record in new:
            self._keep(record)
            self._taken.add(record.slot)
        self._publish()

    def stop(self, machine_ids: tuple[str, ...]) -> None:
        """Mark machines as to be ended; unknown ones are gone already."""
        for machine_id in machine_ids:
            record = self._records.get(machine_id)
            if record is not None and (record.stage is not Stage.STOPPING or record.rests):
                self._put(replace(record, stage=Stage.STOPPING, rests=False))
        self._publish()

    def rest(self, machine_ids: tuple[str, ...]) -> None:
        """Mark machines as to be ended and to rest then; those that rest, or are being ended, are left alone."""
        for machine_id in machine_ids:
            record = self._records.get(machine_id)
            if record is not None and record.stage not in (Stage.STOPPING, Stage.RESTING):
                self._put(replace(record, stage=Stage.STOPPING, rests=True))
        self._publish()

    def start(self, request: LaunchRequest, script: StartScript) -> bool:
        """Queue machines that rest, with another script; a batch starts each once. False: there is none of them."""
        known = [self._records[name] for name in request.reuse if name in self._records]
        now = self._host.now()
        for record in known:
            if record.stage is Stage.RESTING and record.started_for != request.batch:
                again = replace(record, stage=Stage.QUEUED, script=script, attempt=0, not_before=now, message="")
                self._put(replace(again, process=None, kill_at=None, keeps=True, started_for=request.batch))
        self._publish()
        return bool(known)

    def step(self) -> float | None:
        """Do what is due; return after how many seconds more may be, None = not before something is asked."""
        self._census = None
        self._refused.clear()
        for record in self._in_order():
            self._attempted(record, partial(self._advance, record))
        self._start_queued()
        self._save_unsaved()
        self._publish()
        return self._pause_s()

    def listing(self) -> tuple[tuple[Machine, ...], bool]:
        """Return all machines in id order, and whether one has ended that no step has seen. Cheap; from any thread."""
        published = self._published
        unseen = any(record.stage is Stage.RUNNING and not self._is_alive(record) for record in published)
        return tuple(_machine(record) for record in published), unseen

    def _attempted(self, record: Record, work: Callable[[], None]) -> None:
        """Do something for one machine; what this computer refuses is tried again, and holds up no other machine."""
        try:
            work()
        except OSError as error:
            self._refused.add(record.id)
            log.warning("machine_step_failed", machine=record.id, stage=record.stage, error=str(error))

    # ---- one machine, by stage ---------------------------------------------------------------------------------

    def _advance(self, record: Record) -> None:
        match record.stage:
            case Stage.STARTING:
                self._advance_starting(record)
            case Stage.RUNNING:
                if not self._is_alive(record):
                    self._ended_by_itself(record)
            case Stage.STOPPING:
                self._advance_stopping(record)
            case Stage.QUEUED | Stage.FAILED | Stage.RESTING:
                pass

    def _advance_starting(self, record: Record) -> None:
        started = self._host.has_started(self._directory(record))
        if self._is_alive(record):
            if started or self._host.now() >= record.spawned_at + self._site.settings.start_window_s:
                self._put(replace(record, stage=Stage.RUNNING, message=""))
        elif started:
            self._ended_by_itself(record)
        else:
            self._start_again(record, f"{self._how_it_ended(record)} before its node joined")

    def _advance_stopping(self, record: Record) -> None:
        now, grace_s = self._host.now(), self._site.settings.grace_s
        if record.process is not None and self._is_alive(record):
            if record.kill_at is None:
                self._host.signal(record.process, signal.SIGTERM)
                self._put(replace(record, kill_at=now + grace_s))
                return
            if now < record.kill_at <= now + grace_s:  # later than that: the clock was set back
                return
        if self._kill(record):
            return
        if record.rests:
            self._comes_to_rest(record)
        else:
            self._gone(record)

    def _ended_by_itself(self, record: Record) -> None:
        """Its node has left: with 0 as it was asked to, else it is listed as failed, with its last words.

        Where machines are kept on standby, one that has left rests: whether it is to wait or to be gone is said later.
        """
        how = self._how_it_ended(record)
        if how == _ENDED_WELL:
            self._put(replace(record, stage=Stage.STOPPING, rests=record.keeps))
        else:
            self._fail(record, self._with_last_words(how, record))

    def _fail(self, record: Record, message: str) -> None:
        """List it as failed until it is released; nothing of it shall work on until then."""
        self._kill(record)
        self._put(replace(record, stage=Stage.FAILED, message=message))

    def _start_again(self, record: Record, why: str) -> None:
        """Queue the machine for another attempt, or give it up."""
        rules = self._site.settings
        message = self._with_last_words(f"{why} (attempt {record.attempt} of {rules.start_attempts})", record)
        log.warning("machine_start_failed", machine=record.id, attempt=record.attempt, message=message)
        if record.attempt >= rules.start_attempts:
            self._fail(record, message)
            return
        due = self._host.now() + rules.retry_delay_s * record.attempt
        self._put(replace(record, stage=Stage.QUEUED, process=None, not_before=due, message=message))

    def _comes_to_rest(self, record: Record) -> None:
        """Keep the record of a machine without processes. OSError: its directory stays, and it does not rest yet."""
        if record.process is not None:
            self._host.exit_code(record.process)  # reaps
        self._host.remove(self._directory(record))
        self._put(replace(record, stage=Stage.RESTING, rests=False, process=None, kill_at=None, message=""))
        log.info("machine_rests", machine=record.id)

    def _gone(self, record: Record) -> None:
        """Take away what is left of a machine without processes. OSError: its directory stays, and so does it."""
        if record.process is not None:
            self._host.exit_code(record.process)  # reaps
        self._host.remove(self._directory(record))
        try:
            self._registry.end(record)
        except OSError as error:  # a full disk; deleting still works there, and what is gone is gone
            log.warning("machine_end_not_saved", machine=record.id, error=str(error))
            self._registry.forget(record.id)
        del self._records[record.id]
        self._unsaved.discard(record.id)
        log.info("machine_gone", machine=record.id)
        self._ends += 1
        if self._ends % FORGET_EVERY == 0:
            self._taken = {*self._registry.ended(), *(record.slot for record in self._records.values())}

    # ---- starting ----------------------------------------------------------------------------------------------

    def _start_queued(self) -> None:
        """Start queued machines, the head first, while fewer boot than may at once."""
        booting = sum(record.stage is Stage.STARTING for record in self._records.values())
        now = self._host.now()
        due = [record for record in self._in_order() if record.stage is Stage.QUEUED and record.not_before <= now]
        for record in due[: max(0, self._site.starts_max - booting)]:
            self._attempted(record, partial(self._start, record, now))

    def _start(self, record: Record, now: float) -> None:
        """Say so in the registry, then start the process, then say which it is."""
        if record.attempt and self._kill(record):
            return  # the last attempt has not quite ended
        starting = replace(
            record, stage=Stage.STARTING, attempt=record.attempt + 1, spawned_at=now, boot=self._host.boot_id()
        )
        try:
            self._host.remove(self._directory(record))
            self._registry.save(starting)
        except OSError as error:
            log.warning("machine_start_not_saved", machine=record.id, error=str(error))
            self._keep(replace(record, not_before=now + DISK_RETRY_S, message=f"waits for the disk: {error}"))
            return
        self._keep(starting)
        try:
            process = self._host.spawn(self._spawn(starting))
        except OSError as error:
            self._not_spawned(starting, error)
            return
        self._put(replace(starting, process=process))
        log.info("machine_started", machine=record.id, pid=process.pid, attempt=starting.attempt)

    def _not_spawned(self, record: Record, error: OSError) -> None:
        """Give up at once when the command itself cannot be run: the next attempt would end in the same way."""
        command = record.script.argv[0]
        if error.filename == command:
            message = f"cannot run {command}: {error.strerror}"
            self._fail(record, message)
        else:
            self._start_again(record, f"could not be started: {error}")

    def _spawn(self, record: Record) -> Spawn:
        env = {**record.script.env, CLUSTER: self._site.cluster, MACHINE_ID: record.id}
        return Spawn(record.script.argv, env, self._directory(record), self._registry.log(record.id))

    def _new(self, request: LaunchRequest, slot: Slot, script: StartScript, now: float) -> Record:
        """Make the record of a machine under an id that the cluster never had before."""
        _, claim, host = slot
        name = host_name(claim, host, request.hosts)
        made = Record(f"{name}-{secrets.token_hex(2)}", slot, request.offer, script, request.head, now)
        return replace(made, keeps=request.pool.standby is not None and not request.head)

    # ---- facts -------------------------------------------------------------------------------------------------

    def _is_alive(self, record: Record) -> bool:
        return record.process is not None and self._host.is_alive(record.process)

    def _kill(self, record: Record) -> int:
        """Kill every process of the machine; return how many there were. 0: all have ended.

        Raises:
            PermissionError: one has another user's rights; the others were killed.
        """
        found = self._processes_of(record.id)
        refused: PermissionError | None = None
        for process in found:
            try:
                self._host.signal(process.key, signal.SIGKILL)
            except PermissionError as error:
                refused = error
        if refused is not None:
            raise refused
        return len(found)

    def _processes_of(self, machine_id: str) -> list[Leftover]:
        """Return the machine's living processes; this computer is searched once per step at most."""
        if self._census is None:
            self._census = self._host.processes()
        return [found for found in self._census if found.machine_id == machine_id]

    def _how_it_ended(self, record: Record) -> str:
        code = self._host.exit_code(record.process) if record.process is not None else None
        if code is None:
            return "ended while no controller ran"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def _with_last_words(self, how: str, record: Record) -> str:
        tail = self._host.tail(self._registry.log(record.id))
        return f"{how}: {tail}" if tail else how

    def _pause_s(self) -> float | None:
        now = self._host.now()
        return min(self._pauses_s(now), default=None)

    def _pauses_s(self, now: float) -> Iterator[float]:
        if self._unsaved:
            yield DISK_RETRY_S
        for record in self._records.values():
            if record.id in self._refused:
                yield DISK_RETRY_S
            elif record.stage in (Stage.STARTING, Stage.STOPPING):
                yield POLL_S
            elif record.stage is Stage.QUEUED:
                yield max(POLL_S, record.not_before - now)

    def _in_order(self) -> list[Record]:
        return sorted(self._records.values(), key=lambda record: (not record.head, record.queued_at, record.id))

    def _directory(self, record: Record) -> Path:
        return machine_directory(self._site.root, record.id)

    # ---- memory ------------------------------------------------------------------------------------------------

    def _keep(self, record: Record) -> None:
        self._records[record.id] = record

    def _put(self, record: Record) -> None:
        """Remember, and write as soon as the disk lets us: what runs is found again by its tag, too."""
        self._keep(record)
        self._unsaved.add(record.id)
        self._save_unsaved()

    def _save_unsaved(self) -> None:
        for machine_id in sorted(self._unsaved):
            try:
                self._registry.save(self._records[machine_id])
            except OSError as error:
                log.warning("machine_record_not_saved", machine=machine_id, error=str(error))
                return
            self._unsaved.discard(machine_id)

    def _save_all(self, records: list[Record]) -> None:
        """Write all and make their folder, or take back what was written and raise Flaky or Denied."""
        try:
            for record in records:
                self._registry.save(record)
            if records:  # last, and only then: the end of the last machine takes the folder away
                self._host.prepare()
        except OSError as error:
            for record in records:
                self._registry.forget(record.id)
            if isinstance(error, RootNotOursError):
                raise Denied(str(error)) from error
            raise Flaky(f"machines cannot be written down, so none was started: {error}") from error

    def _publish(self) -> None:
        self._published = tuple(sorted(self._records.values(), key=lambda record: record.id))


_ENDED_WELL: Final = "exited with code 0"


def slots(request: LaunchRequest) -> list[Slot]:
    """Return what each machine of a request is asked for, in id order."""
    return [(request.batch, claim, host) for claim in request.claims for host in range(request.hosts)]


def _machine(record: Record) -> Machine:
    return Machine(
        id=record.id,
        offer=record.offer,
        batch=record.slot[0],
        state=_STATES[record.stage],
        head=record.head,
        launched_at=record.queued_at,
        address="127.0.0.1",
        message=record.message or ("queued" if record.stage is Stage.QUEUED else ""),
    )
