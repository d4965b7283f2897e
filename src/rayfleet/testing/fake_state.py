"""A pretend look into Ray: tables that a test fills, filtered and cut as Ray does it."""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rayfleet.contracts.state import (
    FIRST_ROWS,
    MAX_ROWS,
    ActorState,
    CallSite,
    Filter,
    JobState,
    Listing,
    LogFile,
    LogSource,
    LogText,
    Memory,
    NodeMemory,
    NodeState,
    ObjectState,
    PlacementGroupState,
    Query,
    StateCount,
    StateUnavailable,
    Summary,
    TaskState,
    WorkerState,
)
from rayfleet.model import FrozenMap

T = TypeVar("T")
_MB = 2**20


@dataclass
class FakeState:
    """The State contract over lists. `down`: why nothing is told, "" when it is; `calls`: names of methods, in order.

    `logs`: node id -> name of the file -> its lines; `printed`: actor, task or submission id -> lines. A log that is
    followed ends with its last line.
    """

    node_rows: list[NodeState] = field(default_factory=list)
    actor_rows: list[ActorState] = field(default_factory=list)
    task_rows: list[TaskState] = field(default_factory=list)
    group_rows: list[PlacementGroupState] = field(default_factory=list)
    worker_rows: list[WorkerState] = field(default_factory=list)
    object_rows: list[ObjectState] = field(default_factory=list)
    job_rows: list[JobState] = field(default_factory=list)
    memory_rows: list[NodeMemory] = field(default_factory=list)
    logs: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    printed: dict[str, list[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    down: str = ""
    calls: list[str] = field(default_factory=list)
    closed: bool = False

    async def nodes(self, query: Query = FIRST_ROWS) -> Listing[NodeState]:
        """Show them."""
        return self._listing("nodes", self.node_rows, query)

    async def actors(self, query: Query = FIRST_ROWS) -> Listing[ActorState]:
        """Show them."""
        return self._listing("actors", self.actor_rows, query)

    async def tasks(self, query: Query = FIRST_ROWS) -> Listing[TaskState]:
        """Show them."""
        return self._listing("tasks", self.task_rows, query)

    async def placement_groups(self, query: Query = FIRST_ROWS) -> Listing[PlacementGroupState]:
        """Show them."""
        return self._listing("placement_groups", self.group_rows, query)

    async def workers(self, query: Query = FIRST_ROWS) -> Listing[WorkerState]:
        """Show them."""
        return self._listing("workers", self.worker_rows, query)

    async def objects(self, query: Query = FIRST_ROWS) -> Listing[ObjectState]:
        """Show them."""
        return self._listing("objects", self.object_rows, query)

    async def jobs(self, query: Query = FIRST_ROWS) -> Listing[JobState]:
        """Show them."""
        return self._listing("jobs", self.job_rows, query)

    async def task_summary(self) -> Summary[StateCount]:
        """Count them."""
        self._asked("task_summary")
        rows = [((row.name or row.func_or_class_name), row.type, row.state) for row in self.task_rows]
        return self._summary(rows, "total_tasks")

    async def actor_summary(self) -> Summary[StateCount]:
        """Count them."""
        self._asked("actor_summary")
        return self._summary([(row.class_name, "", row.state) for row in self.actor_rows], "total_actors")

    async def object_summary(self) -> Summary[CallSite]:
        """Count them."""
        self._asked("object_summary")
        sites: defaultdict[str, list[ObjectState]] = defaultdict(list)
        for row in self.object_rows:
            sites[row.call_site].append(row)
        rows = tuple(_call_site(site, held) for site, held in sorted(sites.items()))
        totals = FrozenMap({"total_objects": float(len(self.object_rows))})
        return Summary(rows, totals, len(self.object_rows), warnings=self.warnings)

    async def memory(self, largest: int = 20) -> Memory:
        """Show it."""
        self._asked("memory")
        held = sorted(self.object_rows, key=lambda row: -row.object_size)
        rows = tuple(held[:largest])
        listing = Listing(rows, len(held), len(held), len(rows) < len(held), self.warnings)
        return Memory(tuple(self.memory_rows), listing)

    async def log_files(self, node_id: str, pattern: str = "*") -> Listing[LogFile]:
        """Show them."""
        self._asked("log_files")
        if node_id not in self.logs:
            raise StateUnavailable(f"no node {node_id}", "rayfleet list nodes", refused=True)
        names = sorted(name for name in self.logs[node_id] if fnmatch.fnmatchcase(name, pattern))
        rows = tuple(LogFile(name, name.partition(".")[0]) for name in names)
        return Listing(rows, len(rows), len(rows))

    async def log(self, source: LogSource, lines: int = 100) -> LogText:
        """Show its end."""
        self._asked("log")
        held = self._lines(source)
        return LogText(tuple(held[-lines:] if lines else ()), lines < len(held))

    async def follow_log(self, source: LogSource, lines: int = 100) -> AsyncIterator[str]:
        """Yield its end."""
        self._asked("follow_log")
        held = self._lines(source)
        for line in held[-lines:] if lines else ():
            yield line

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _asked(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise StateUnavailable(self.down, "rayfleet status")

    def _listing(self, name: str, rows: Sequence[T], query: Query) -> Listing[T]:
        self._asked(name)
        found = [row for row in rows if all(passes(row, each) for each in query.filters)]
        shown = tuple(found[: min(query.limit, MAX_ROWS)])
        return Listing(shown, len(rows), len(found), len(shown) < len(found), self.warnings)

    def _summary(self, rows: Iterable[tuple[str, str, str]], total: str) -> Summary[StateCount]:
        counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for name, kind, state in rows:
            counts[(name, kind)][state] += 1
        found = tuple(StateCount(name, kind, FrozenMap(states)) for (name, kind), states in sorted(counts.items()))
        number = sum(sum(states.values()) for states in counts.values())
        return Summary(found, FrozenMap({total: float(number)}), number, warnings=self.warnings)

    def _lines(self, source: LogSource) -> list[str]:
        """Return a log, or say that there is none."""
        files: Mapping[str, list[str]] = self.logs.get(source.node_id, {})
        key = source.actor_id or source.task_id or source.submission_id
        found = self.printed.get(key) if key else files.get(source.filename)
        if found is None:
            raise StateUnavailable(f"no log {key or source.filename}", "rayfleet logs --node-id ID", refused=True)
        return found


def passes(row: object, wanted: Filter) -> bool:
    """Say whether a row passes a filter, as Ray reads it. Raises StateUnavailable for a column that is not there."""
    key = wanted.key.lower()
    if not hasattr(row, key):
        raise StateUnavailable(f"there is no column {key} to filter by", refused=True)
    return (str(getattr(row, key)).lower() == wanted.value.lower()) == wanted.equal


def _call_site(site: str, held: Sequence[ObjectState]) -> CallSite:
    return CallSite(
        site,
        total_objects=len(held),
        total_size_mb=sum(max(0, row.object_size) for row in held) / _MB,
        total_num_workers=len({(row.ip, row.pid) for row in held}),
        total_num_nodes=len({row.ip for row in held}),
        task_state_counts=FrozenMap(Counter(row.task_status for row in held)),
        ref_type_counts=FrozenMap(Counter(row.reference_type for row in held)),
    )
