"""What runs inside Ray: nodes, actors, tasks, placement groups, objects, jobs and logs, to be looked at only.

Names of fields, states and kinds are those of Ray's own state API, so that filters and scripts written for `ray list`
mean the same here. Sizes are bytes, moments are milliseconds since the epoch (fields that end with `_ms`; None: not
yet, or not told). An id that is not there is "".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from rayfleet.model import FrozenMap

T = TypeVar("T")

DEFAULT_ROWS: Final = 100
MAX_ROWS: Final = 10_000
"""More than so many rows are never asked for: the head would have to make them all."""
MAX_LOG_LINES: Final = 100_000
"""More lines of one log are never read at once."""


class StateUnavailable(Exception):
    """Ray does not tell. `hint`: what to do; `refused`: the question itself is wrong, asking again does not help."""

    def __init__(self, message: str, hint: str = "", *, refused: bool = False) -> None:
        """Keep all three, in words for the user."""
        super().__init__(message)
        self.hint = hint
        self.refused = refused


# ---- questions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Only rows whose `key` is (or, with `equal` False, is not) `value`; case does not matter."""

    key: str
    value: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows: those that pass every filter, at most `limit` of them (and never more than MAX_ROWS)."""

    limit: int = DEFAULT_ROWS
    filters: tuple[Filter, ...] = ()


FIRST_ROWS: Final = Query()
"""The first rows, whatever they are."""


@dataclass(frozen=True, slots=True)
class LogSource:
    """Whose log: a file of a node, or what an actor, a task, a submitted job or a process has printed.

    One of `filename` (with `node_id`; relative to the node's log folder), `actor_id`, `task_id`, `submission_id` and
    `pid` (with `node_id`) is given. `suffix`: out or err, where no file is named.
    """

    node_id: str = ""
    filename: str = ""
    actor_id: str = ""
    task_id: str = ""
    submission_id: str = ""
    pid: int = 0
    suffix: str = "out"


# ---- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Some rows of a table. `total`: how many there are in all; `matching`: how many pass the filters.

    `cut`: more match than are here, or Ray itself did not look at all of them. `warnings`: what Ray says is missing.
    """

    rows: tuple[T, ...] = ()
    total: int = 0
    matching: int = 0
    cut: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node, alive or dead. `resources_used`: None when that is not told; `state_message`: how it died.

    `instance_id`: its machine, as `rayfleet status` calls it; `pool`: of which kind that is; "" where that is not told.
    """

    node_id: str
    node_ip: str = ""
    node_name: str = ""
    instance_id: str = ""
    pool: str = ""
    is_head_node: bool = False
    state: str = ""
    state_message: str = ""
    resources_total: FrozenMap[float] = field(default_factory=FrozenMap)
    resources_used: FrozenMap[float] | None = None
    labels: FrozenMap[str] = field(default_factory=FrozenMap)
    start_time_ms: int | None = None
    end_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ActorState:
    """One actor. `required_resources`: what it holds while it lives; `death_cause`: one sentence, "" while it lives.

    `node_id`, `pid`: where it is; "" and 0 while it waits.
    """

    actor_id: str
    class_name: str = ""
    state: str = ""
    job_id: str = ""
    name: str = ""
    ray_namespace: str = ""
    node_id: str = ""
    pid: int = 0
    required_resources: FrozenMap[float] = field(default_factory=FrozenMap)
    num_restarts: int = 0
    death_cause: str = ""
    is_detached: bool = False
    placement_group_id: str = ""


@dataclass(frozen=True, slots=True)
class TaskState:
    """One attempt of a task. `type`: NORMAL_TASK, ACTOR_CREATION_TASK, ACTOR_TASK or DRIVER_TASK."""

    task_id: str
    attempt_number: int = 0
    name: str = ""
    func_or_class_name: str = ""
    type: str = ""
    state: str = ""
    job_id: str = ""
    actor_id: str = ""
    parent_task_id: str = ""
    node_id: str = ""
    worker_id: str = ""
    worker_pid: int = 0
    error_type: str = ""
    error_message: str = ""
    required_resources: FrozenMap[float] = field(default_factory=FrozenMap)
    placement_group_id: str = ""
    creation_time_ms: int | None = None
    start_time_ms: int | None = None
    end_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BundleState:
    """One bundle of a placement group. `node_id`: where it was placed, "" while it waits."""

    resources: FrozenMap[float]
    node_id: str = ""


@dataclass(frozen=True, slots=True)
class PlacementGroupState:
    """One placement group. `strategy`: PACK, SPREAD, STRICT_PACK or STRICT_SPREAD; "" when that is not told."""

    placement_group_id: str
    name: str = ""
    strategy: str = ""
    state: str = ""
    creator_job_id: str = ""
    bundles: tuple[BundleState, ...] = ()
    is_detached: bool = False
    scheduling_state: str = ""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One process of a node. `exit_type`, `exit_detail`: how it ended."""

    worker_id: str
    worker_type: str = ""
    is_alive: bool = False
    exit_type: str = ""
    exit_detail: str = ""
    node_id: str = ""
    ip: str = ""
    pid: int = 0
    start_time_ms: int | None = None
    end_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One reference to an object, as a process holds it; an object has as many rows as it has holders.

    `object_size`: bytes, -1 when the holder does not know it; `call_site`: where in the user's program it was made,
    "<unknown>" unless the cluster's processes record that (RAY_record_ref_creation_sites=1).
    """

    object_id: str
    object_size: int = 0
    reference_type: str = ""
    task_status: str = ""
    call_site: str = ""
    type: str = ""
    pid: int = 0
    ip: str = ""


@dataclass(frozen=True, slots=True)
class JobState:
    """One job: SUBMISSION (handed to the job server) or DRIVER (a program that called ray.init).

    A submitted job has a `job_id` as well once its driver is attached. `pid`, `node_ip`: its driver's.
    """

    job_id: str = ""
    submission_id: str = ""
    type: str = ""
    status: str = ""
    entrypoint: str = ""
    message: str = ""
    error_type: str = ""
    pid: int = 0
    node_ip: str = ""
    start_time_ms: int | None = None
    end_time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many tasks of a function, or actors of a class, are in which state. `type`: as of a task; "" of actors."""

    name: str
    type: str = ""
    state_counts: FrozenMap[int] = field(default_factory=FrozenMap)


@dataclass(frozen=True, slots=True)
class CallSite:
    """The objects that were made at one place of the users' programs."""

    call_site: str
    total_objects: int = 0
    total_size_mb: float = 0.0
    total_num_workers: int = 0
    total_num_nodes: int = 0
    task_state_counts: FrozenMap[int] = field(default_factory=FrozenMap)
    ref_type_counts: FrozenMap[int] = field(default_factory=FrozenMap)


@dataclass(frozen=True, slots=True)
class Summary(Generic[T]):
    """A table in few lines. `totals`: what they add up to, in Ray's words (total_tasks, total_actors ...).

    `total`: how many things there are; `cut`: not all of them were counted. `warnings`: what Ray says is missing.
    """

    rows: tuple[T, ...] = ()
    totals: FrozenMap[float] = field(default_factory=FrozenMap)
    total: int = 0
    cut: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """A living node's object store and main memory, in bytes. `spilled_bytes`: ever written to its disk.

    None: Ray has not looked yet. It does so every few seconds only, which a node that is young may be without.
    """

    node_id: str
    node_ip: str = ""
    instance_id: str = ""
    is_head_node: bool = False
    store_used_bytes: int | None = None
    store_capacity_bytes: int = 0
    spilled_bytes: int | None = None
    restored_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What fills the object stores: each living node's, and the largest references, largest first."""

    nodes: tuple[NodeMemory, ...]
    largest: Listing[ObjectState]


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file in a node's log folder. `component`: raylet, gcs_server, worker_out, worker_err, agent ..."""

    name: str
    component: str


@dataclass(frozen=True, slots=True)
class LogText:
    """The end of a log. `cut`: it has more lines before these."""

    lines: tuple[str, ...]
    cut: bool = False


class State(Protocol):
    """Looks at one cluster; changes nothing. Every call is bounded in time and size.

    Every method raises StateUnavailable: no answer in time, a damaged one, the token is refused, or the question is
    wrong (no such filter, node or file).
    """

    async def nodes(self, query: Query = FIRST_ROWS) -> Listing[NodeState]:
        """Return nodes, dead ones too."""
        ...

    async def actors(self, query: Query = FIRST_ROWS) -> Listing[ActorState]:
        """Return actors, dead ones too."""
        ...

    async def tasks(self, query: Query = FIRST_ROWS) -> Listing[TaskState]:
        """Return tasks, ended ones too as long as Ray remembers them; drivers are none."""
        ...

    async def placement_groups(self, query: Query = FIRST_ROWS) -> Listing[PlacementGroupState]:
        """Return placement groups, removed ones too."""
        ...

    async def workers(self, query: Query = FIRST_ROWS) -> Listing[WorkerState]:
        """Return worker processes and drivers, ended ones too."""
        ...

    async def objects(self, query: Query = FIRST_ROWS) -> Listing[ObjectState]:
        """Return references to objects. Every process of the cluster is asked: not for each second."""
        ...

    async def jobs(self, query: Query = FIRST_ROWS) -> Listing[JobState]:
        """Return submitted jobs and drivers, ended ones too."""
        ...

    async def task_summary(self) -> Summary[StateCount]:
        """Return how many tasks of each function are in which state."""
        ...

    async def actor_summary(self) -> Summary[StateCount]:
        """Return how many actors of each class are in which state."""
        ...

    async def object_summary(self) -> Summary[CallSite]:
        """Return how many objects were made where. Every process of the cluster is asked."""
        ...

    async def memory(self, largest: int = 20) -> Memory:
        """Return what fills the object stores. Every process of the cluster is asked."""
        ...

    async def log_files(self, node_id: str, pattern: str = "*") -> Listing[LogFile]:
        """Return the files in a living node's log folder whose names match a glob pattern, by name."""
        ...

    async def log(self, source: LogSource, lines: int = 100) -> LogText:
        """Return the last lines of a log, at most MAX_LOG_LINES."""
        ...

    def follow_log(self, source: LogSource, lines: int = 100) -> AsyncIterator[str]:
        """Yield the last lines of a log, then those that come, until the caller stops or the node is gone."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
