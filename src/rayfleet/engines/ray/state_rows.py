"""Rows of Ray's state API as values of the contract. Pure; whatever a release of Ray leaves out is left empty here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from rayfleet.contracts import Node
from rayfleet.contracts.state import (
    MAX_ROWS,
    ActorState,
    BundleState,
    CallSite,
    JobState,
    Listing,
    LogFile,
    NodeMemory,
    NodeState,
    ObjectState,
    PlacementGroupState,
    StateCount,
    Summary,
    TaskState,
    WorkerState,
)
from rayfleet.model import FrozenMap

T = TypeVar("T")
Row = Mapping[str, Any]

_IN_GROUP: Final = re.compile(r"(.+)_group_(?:\d+_)?[0-9a-f]{32,}")
_ALIVE: Final = "ALIVE"
_STRATEGIES: Final = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
"""By Ray's numbers."""


def listing(found: Row, row: Callable[[Row], T]) -> Listing[T]:
    """Return a table as Ray answers it: `total`, `num_after_truncation`, `num_filtered` and `result`."""
    rows = tuple(row(each) for each in _rows(found.get("result")))
    total, looked_at = whole(found, "total"), whole(found, "num_after_truncation")
    matching = max(whole(found, "num_filtered"), len(rows))
    cut = matching > len(rows) or total > looked_at
    return Listing(rows, max(total, len(rows)), matching, cut, warnings(found))


def of_nodes(found: Row) -> Row:
    """Return a table of nodes in which those that the GCS has left out by the filter count as looked at.

    Of other tables Ray counts them so itself.
    """
    return {**found, "num_after_truncation": found.get("total")} if _is_whole(found) else found


def of_objects(found: Row) -> Row:
    """Return a table of objects, or its summary, with a total that means what that of the others does.

    Ray's own counts objects that no process holds a reference to, which it never lists.
    """
    return {**found, "total": whole(found, "num_after_truncation")} if _is_whole(found) else found


def _is_whole(found: Row) -> bool:
    return whole(found, "num_after_truncation") < MAX_ROWS


def warnings(found: Row) -> tuple[str, ...]:
    """Return what Ray says is missing from an answer."""
    said = [found.get("partial_failure_warning"), *(found.get("warnings") or ())]
    return tuple(str(each) for each in said if each)


def node(row: Row, told: Mapping[str, Node]) -> NodeState:
    """Return a node. `told`: node id -> what the GCS tells of it besides."""
    node_id = text(row, "node_id")
    more = told.get(node_id)
    alive = more if row.get("state") == _ALIVE else None
    return NodeState(
        node_id=node_id,
        node_ip=text(row, "node_ip"),
        node_name=text(row, "node_name"),
        instance_id=more.instance_id if more else "",
        pool=more.pool if more else "",
        is_head_node=bool(row.get("is_head_node")),
        state=text(row, "state"),
        state_message=text(row, "state_message"),
        resources_total=amounts(row, "resources_total"),
        resources_used=FrozenMap((alive.total - alive.available).amounts()) if alive else None,
        labels=FrozenMap({str(key): str(value) for key, value in _map(row, "labels").items()}),
        start_time_ms=moment_ms(row, "start_time_ms"),
        end_time_ms=moment_ms(row, "end_time_ms"),
    )


def actor(row: Row) -> ActorState:
    """Return an actor."""
    return ActorState(
        actor_id=text(row, "actor_id"),
        class_name=text(row, "class_name"),
        state=text(row, "state"),
        job_id=text(row, "job_id"),
        name=text(row, "name"),
        ray_namespace=text(row, "ray_namespace"),
        node_id=text(row, "node_id"),
        pid=whole(row, "pid"),
        required_resources=held(row, "required_resources"),
        num_restarts=whole(row, "num_restarts"),
        death_cause=death_cause(row.get("death_cause")),
        is_detached=bool(row.get("is_detached")),
        placement_group_id=text(row, "placement_group_id"),
    )


def death_cause(cause: Any) -> str:
    """Return how an actor died, as one sentence; "" while it lives.

    Ray tells one of several contexts, each a message: that of the node, the owner, the process or the constructor.
    """
    if not isinstance(cause, Mapping):
        return ""
    for name, context in cause.items():
        said = context.get("error_message") if isinstance(context, Mapping) else None
        if said:
            return str(said).strip().splitlines()[0]
        if isinstance(context, Mapping) and context:
            return str(name).removesuffix("_context").replace("_", " ")
    return ""


def task(row: Row) -> TaskState:
    """Return an attempt of a task."""
    return TaskState(
        task_id=text(row, "task_id"),
        attempt_number=whole(row, "attempt_number"),
        name=text(row, "name"),
        func_or_class_name=text(row, "func_or_class_name"),
        type=text(row, "type"),
        state=text(row, "state"),
        job_id=text(row, "job_id"),
        actor_id=text(row, "actor_id"),
        parent_task_id=text(row, "parent_task_id"),
        node_id=text(row, "node_id"),
        worker_id=text(row, "worker_id"),
        worker_pid=whole(row, "worker_pid"),
        error_type=text(row, "error_type"),
        error_message=text(row, "error_message"),
        required_resources=held(row, "required_resources"),
        placement_group_id=text(row, "placement_group_id"),
        creation_time_ms=moment_ms(row, "creation_time_ms"),
        start_time_ms=moment_ms(row, "start_time_ms"),
        end_time_ms=moment_ms(row, "end_time_ms"),
    )


def placement_group(row: Row, strategies: Mapping[str, str]) -> PlacementGroupState:
    """Return a placement group. `strategies`: by its id, which the state API does not tell."""
    group_id = text(row, "placement_group_id")
    bundles = [each for each in row.get("bundles") or () if isinstance(each, Mapping)]
    return PlacementGroupState(
        placement_group_id=group_id,
        name=text(row, "name"),
        strategy=strategies.get(group_id, ""),
        state=text(row, "state"),
        creator_job_id=text(row, "creator_job_id"),
        bundles=tuple(BundleState(amounts(each, "unit_resources"), text(each, "node_id")) for each in bundles),
        is_detached=bool(row.get("is_detached")),
        scheduling_state=text(_map(row, "stats"), "scheduling_state"),
    )


def strategies(groups: Iterable[Any]) -> dict[str, str]:
    """Return the strategy of each placement group of the GCS (PlacementGroupTableData) by its id in hex."""
    return {
        group.placement_group_id.hex(): _STRATEGIES[group.strategy]
        for group in groups
        if 0 <= group.strategy < len(_STRATEGIES)
    }


def worker(row: Row) -> WorkerState:
    """Return a process."""
    return WorkerState(
        worker_id=text(row, "worker_id"),
        worker_type=text(row, "worker_type"),
        is_alive=bool(row.get("is_alive")),
        exit_type=text(row, "exit_type"),
        exit_detail=text(row, "exit_detail"),
        node_id=text(row, "node_id"),
        ip=text(row, "ip"),
        pid=whole(row, "pid"),
        start_time_ms=moment_ms(row, "start_time_ms"),
        end_time_ms=moment_ms(row, "end_time_ms"),
    )


def object_(row: Row) -> ObjectState:
    """Return a reference to an object."""
    return ObjectState(
        object_id=text(row, "object_id"),
        object_size=whole(row, "object_size"),
        reference_type=text(row, "reference_type"),
        task_status=text(row, "task_status"),
        call_site=text(row, "call_site"),
        type=text(row, "type"),
        pid=whole(row, "pid"),
        ip=text(row, "ip"),
    )


def job(row: Row) -> JobState:
    """Return a job; what its submitter said of environments, where secrets are, is left out."""
    driver = _map(row, "driver_info")
    return JobState(
        job_id=text(row, "job_id"),
        submission_id=text(row, "submission_id"),
        type=text(row, "type"),
        status=text(row, "status"),
        entrypoint=text(row, "entrypoint"),
        message=text(row, "message"),
        error_type=text(row, "error_type"),
        pid=whole(driver, "pid"),
        node_ip=text(driver, "node_ip_address"),
        start_time_ms=moment_ms(row, "start_time"),
        end_time_ms=moment_ms(row, "end_time"),
    )


def summary(found: Row, rows: Callable[[Row], tuple[T, ...]]) -> Summary[T]:
    """Return a summary as Ray answers it: of the whole cluster, with its totals. `rows`: makes them of its entries."""
    inside = _map(_map(_map(found, "result"), "node_id_to_summary"), "cluster")
    totals = {key: float(value) for key, value in inside.items() if _is_number(value)}
    total, looked_at = whole(found, "total"), whole(found, "num_after_truncation")
    return Summary(rows(_map(inside, "summary")), FrozenMap(totals), total, total > looked_at, warnings(found))


def state_counts(entries: Row) -> tuple[StateCount, ...]:
    """Return the lines of a summary of tasks or actors, the most first."""
    found = [
        StateCount(str(name), text(entry, "type"), _counts(entry, "state_counts"))
        for name, entry in entries.items()
        if isinstance(entry, Mapping)
    ]
    return tuple(sorted(found, key=lambda each: (-sum(each.state_counts.values()), each.name)))


def call_sites(entries: Row) -> tuple[CallSite, ...]:
    """Return the lines of a summary of objects, the largest first."""
    found = [
        CallSite(
            str(site),
            total_objects=whole(entry, "total_objects"),
            total_size_mb=number(entry, "total_size_mb"),
            total_num_workers=whole(entry, "total_num_workers"),
            total_num_nodes=whole(entry, "total_num_nodes"),
            task_state_counts=_counts(entry, "task_state_counts"),
            ref_type_counts=_counts(entry, "ref_type_counts"),
        )
        for site, entry in entries.items()
        if isinstance(entry, Mapping)
    ]
    return tuple(sorted(found, key=lambda each: (-each.total_size_mb, each.call_site)))


def node_memory(row: Row) -> NodeMemory | None:
    """Return a node's memory, from the dashboard's own page about nodes; None for one that is gone.

    Its numbers come as text, and those that are 0 not at all; of a node that Ray has not looked at yet none do.
    """
    raylet = _map(row, "raylet")
    if text(raylet, "state") != _ALIVE:
        return None
    store, main = _map(raylet, "storeStats"), row.get("mem") or ()
    of_main = [float(each) for each in main if _is_number(each)] if isinstance(main, (list, tuple)) else []
    total, free = of_main[:2] if len(of_main) > 1 else (None, 0.0)
    capacity = whole(store, "objectStoreBytesAvail")  # by "avail" Ray means: in all; not there before it has looked
    return NodeMemory(
        node_id=text(raylet, "nodeId"),
        node_ip=text(raylet, "nodeManagerAddress"),
        instance_id=text(raylet, "instanceId"),
        is_head_node=bool(raylet.get("isHeadNode")),
        store_used_bytes=whole(store, "objectStoreBytesUsed") if capacity else None,
        store_capacity_bytes=capacity or whole(_map(raylet, "resourcesTotal"), "objectStoreMemory"),
        spilled_bytes=whole(store, "spilledBytesTotal") if capacity else None,
        restored_bytes=whole(store, "restoredBytesTotal") if capacity else None,
        memory_used_bytes=None if total is None else int(total - free),
        memory_total_bytes=None if total is None else int(total),
    )


def log_files(found: Row) -> tuple[LogFile, ...]:
    """Return the files of a log folder by name; Ray answers with a list for each component."""
    files = [
        LogFile(str(name), str(component))
        for component, names in found.items()
        if isinstance(names, (list, tuple))
        for name in names
    ]
    return tuple(sorted(files, key=lambda file: file.name))


# ---- one value -------------------------------------------------------------------------------------------------------


def text(row: Row, key: str) -> str:
    """Return a text, "" when there is none."""
    value = row.get(key)
    return "" if value is None else str(value)


def number(row: Row, key: str) -> float:
    """Return a number, 0 when there is none."""
    try:
        return float(row.get(key) or 0)
    except (TypeError, ValueError):
        return 0.0


def whole(row: Row, key: str) -> int:
    """Return a whole number, 0 when there is none; Ray writes large ones as text."""
    return int(number(row, key))


def moment_ms(row: Row, key: str) -> int | None:
    """Return a moment; None when it has not come, for which Ray has 0, -1 and nothing."""
    found = whole(row, key)
    return found if found > 0 else None


def amounts(row: Row, key: str) -> FrozenMap[float]:
    """Return amounts of resources."""
    return FrozenMap({str(name): float(value) for name, value in _map(row, key).items() if _is_number(value)})


def held(row: Row, key: str) -> FrozenMap[float]:
    """Return what a task or actor takes, in the names that users give.

    In a placement group Ray names it twice: CPU_group_0_ID for the bundle, CPU_group_ID for the group, and adds
    fractions of a `bundle` of its own.
    """
    found: dict[str, float] = {}
    for name, value in amounts(row, key).items():
        in_group = _IN_GROUP.fullmatch(name)
        plain = in_group[1] if in_group else name
        if not (in_group and plain == "bundle"):
            found[plain] = max(value, found.get(plain, 0.0))
    return FrozenMap(found)


def _counts(row: Row, key: str) -> FrozenMap[int]:
    return FrozenMap({str(name): int(value) for name, value in _map(row, key).items() if _is_number(value)})


def _map(row: Row, key: str) -> Row:
    value = row.get(key)
    return value if isinstance(value, Mapping) else {}


def _rows(value: Any) -> list[Row]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
