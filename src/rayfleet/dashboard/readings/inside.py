"""What runs inside a cluster as rows of tables; names and states are Ray's own. Pure.

Moments are milliseconds since the epoch: the browser knows the reader's time zone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.contracts.state import (
    ActorState,
    CallSite,
    JobState,
    Listing,
    Memory,
    NodeMemory,
    NodeState,
    ObjectState,
    PlacementGroupState,
    StateCount,
    Summary,
    TaskState,
)
from rayfleet.dashboard.readings.amounts import number
from rayfleet.dashboard.readings.seen import Mood
from rayfleet.reports.amounts import size

Row = dict[str, Any]

MOST_ROWS: Final = 1_000
"""So many rows of a table are asked for; `rayfleet list` with --filter and --limit knows the rest."""
RUNS: Final = frozenset({"PENDING", "RUNNING"})
"""A job in one of these states can be stopped."""
_MOODS: Final = {
    "ALIVE": Mood.GOOD, "SUCCEEDED": Mood.GOOD, "FINISHED": Mood.GOOD, "CREATED": Mood.GOOD,
    "RUNNING": Mood.BUSY, "PENDING": Mood.WARN, "RESTARTING": Mood.WARN, "RESCHEDULING": Mood.WARN,
    "PENDING_CREATION": Mood.WARN, "DEPENDENCIES_UNREADY": Mood.WARN, "FAILED": Mood.BAD, "INFEASIBLE": Mood.BAD,
}  # fmt: skip
_BYTES: Final = frozenset({"memory", "object_store_memory"})
_MIB: Final = 2**20
_SHORT: Final = 8
_LIVING: Final = ("ALIVE", "RESTARTING", "PENDING_CREATION", "DEPENDENCIES_UNREADY")


def mood(state: str) -> str:
    """Return how urgent one of Ray's states is."""
    return _MOODS.get(state, Mood.OFF).value


def amounts(resources: Mapping[str, float]) -> str:
    """Return what something holds: `1 CPU, 2GiB memory`, without the names that Ray gives to places."""
    parts = (
        f"{size(value) if name in _BYTES else number(value)} {name}"
        for name, value in resources.items()
        if not name.startswith("node:")
    )
    return ", ".join(parts)


def count_text(found: Listing[Any], what: str) -> str:
    """Return how many rows are shown, and of how many when that is not all."""
    shown = len(found.rows)
    if found.cut:
        return f"{shown:,} of {max(found.matching, found.total):,} {what}; rayfleet list with --filter shows others"
    return f"{shown:,} {what}"


# ---- jobs ------------------------------------------------------------------------------------------------------------


def job_id(job: JobState) -> str:
    """Return what a job is called: the id under which it was submitted, or its driver's."""
    return job.submission_id or job.job_id


def job_rows(found: Listing[JobState]) -> list[Row]:
    """Return jobs, the newest first."""
    rows = sorted(found.rows, key=lambda job: (-(job.start_time_ms or 0), job_id(job)))
    return [
        {
            "id": job_id(job),
            "state": job.status,
            "mood": mood(job.status),
            "command": " ".join(job.entrypoint.split()),
            "type": "submitted" if job.type == "SUBMISSION" else "program",
            "since": job.start_time_ms,
            "took": _took(job.start_time_ms, job.end_time_ms),
            "message": job.message if job.status == "FAILED" else "",
        }
        for job in rows
    ]


def _took(since_ms: int | None, until_ms: int | None) -> float | None:
    """Return seconds; None while it runs."""
    return (until_ms - since_ms) / 1000 if since_ms and until_ms else None


# ---- actors, tasks, placement groups ---------------------------------------------------------------------------------


def actor_rows(found: Listing[ActorState], machines: Mapping[str, str]) -> list[Row]:
    """Return actors, those that live first. `machines`: see `machines_of`."""
    order = {state: place for place, state in enumerate(_LIVING)}
    rows = sorted(found.rows, key=lambda actor: (order.get(actor.state, len(order)), actor.class_name, actor.actor_id))
    return [
        {
            "id": actor.actor_id,
            "class": actor.class_name,
            "name": actor.name,
            "state": actor.state,
            "mood": mood(actor.state),
            "node": machine(actor.node_id, machines),
            "pid": actor.pid or None,
            "holds": amounts(actor.required_resources),
            "restarts": actor.num_restarts,
            "why": actor.death_cause,
        }
        for actor in rows
    ]


def task_rows(found: Summary[StateCount]) -> list[Row]:
    """Return functions with how many of their tasks wait, run and have ended; those with failures first."""
    rows = [_task_row(count) for count in found.rows]
    return sorted(rows, key=lambda row: (-row["failed"], -row["running"], -row["waiting"], row["name"]))


def _task_row(count: StateCount) -> Row:
    states = count.state_counts
    running = sum(number for state, number in states.items() if state.startswith("RUNNING"))
    ended, failed = states.get("FINISHED", 0), states.get("FAILED", 0)
    every = sum(states.values())
    return {
        "id": f"{count.type} {count.name}",
        "name": count.name,
        "type": count.type.replace("_", " ").lower(),
        "waiting": every - running - ended - failed,
        "running": running,
        "finished": ended,
        "failed": failed,
        "states": ", ".join(f"{number:,} {state}" for state, number in states.items()),
    }


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """How many tasks, and calls of actors, Ray knows of. `forgotten`: it has not counted so many older ones."""

    waiting: int
    running: int
    finished: int
    failed: int
    forgotten: int = 0


def task_totals(found: Summary[StateCount]) -> TaskTotals:
    """Return the sums of all functions."""
    rows = [_task_row(count) for count in found.rows]
    waiting, running, finished, failed = (
        sum(row[name] for row in rows) for name in ("waiting", "running", "finished", "failed")
    )
    counted = waiting + running + finished + failed
    return TaskTotals(waiting, running, finished, failed, max(0, found.total - counted) if found.cut else 0)


def failed_rows(found: Listing[TaskState], machines: Mapping[str, str]) -> list[Row]:
    """Return tasks that failed, the newest first."""
    rows = sorted(found.rows, key=lambda task: -(task.end_time_ms or 0))
    return [
        {
            "id": f"{task.task_id} {task.attempt_number}",
            "name": task.name or task.func_or_class_name,
            "at": task.end_time_ms,
            "node": machine(task.node_id, machines),
            "error": task.error_type,
            "message": (task.error_message.strip().splitlines() or [""])[-1],
        }
        for task in rows
    ]


def group_rows(found: Listing[PlacementGroupState], machines: Mapping[str, str]) -> list[Row]:
    """Return placement groups, those that wait first."""
    order = {"PENDING": 0, "RESCHEDULING": 0, "CREATED": 1}
    rows = sorted(found.rows, key=lambda group: (order.get(group.state, 2), group.placement_group_id))
    return [
        {
            "id": group.placement_group_id,
            "name": group.name,
            "strategy": group.strategy,
            "state": group.state,
            "mood": mood(group.state),
            "bundles": _bundles(group),
            "placed": f"{sum(bool(each.node_id) for each in group.bundles)} of {len(group.bundles)}",
            "nodes": ", ".join(sorted({machine(each.node_id, machines) for each in group.bundles if each.node_id})),
            "why": group.scheduling_state if group.state == "PENDING" else "",
        }
        for group in rows
    ]


def _bundles(group: PlacementGroupState) -> str:
    parts = [amounts(bundle.resources) for bundle in group.bundles]
    return "; ".join(f"{parts.count(part)} x {part}" for part in dict.fromkeys(parts))


# ---- nodes -----------------------------------------------------------------------------------------------------------


def machines_of(found: Listing[NodeState]) -> dict[str, str]:
    """Return what each node is called in rayfleet's own pages, by its id in Ray."""
    return {node.node_id: node.instance_id or ("head" if node.is_head_node else "") for node in found.rows}


def machine(node_id: str, machines: Mapping[str, str]) -> str:
    """Return what a node is called; the beginning of its id in Ray where nothing else is known."""
    return machines.get(node_id) or node_id[:_SHORT]


def node_choices(found: Listing[NodeState]) -> dict[str, str]:
    """Return living nodes by id, with what they are called: the head first."""
    alive = [node for node in found.rows if node.state == "ALIVE"]
    alive.sort(key=lambda node: (not node.is_head_node, node.pool, node.instance_id, node.node_id))
    return {node.node_id: _node_title(node) for node in alive}


def _node_title(node: NodeState) -> str:
    name = "head" if node.is_head_node else node.instance_id or node.node_name
    told = ", ".join(part for part in (node.pool, node.node_ip) if part)
    return " ".join(part for part in (name, f"({told})" if told else "", node.node_id[:_SHORT]) if part)


# ---- memory ----------------------------------------------------------------------------------------------------------


def store_rows(found: Memory) -> list[Row]:
    """Return the object store and main memory of each node, the fullest first. `full`, `memory_full`: 0 to 1.

    What Ray has not looked at yet is `?`, and None where a number is.
    """
    rows = sorted(found.nodes, key=lambda node: (-(node.store_used_bytes or 0), node.node_id))
    return [
        {
            "id": node.node_id,
            "node": _named(node),
            "store": f"{_known(node.store_used_bytes)} of {size(node.store_capacity_bytes)}",
            "full": _share(node.store_used_bytes, node.store_capacity_bytes),
            "spilled": node.spilled_bytes,
            "memory": f"{_known(node.memory_used_bytes)} of {_known(node.memory_total_bytes)}",
            "memory_full": _share(node.memory_used_bytes, node.memory_total_bytes),
        }
        for node in rows
    ]


def _named(node: NodeMemory) -> str:
    return "head" if node.is_head_node else node.instance_id or node.node_id[:_SHORT]


def _known(bytes_: int | None) -> str:
    return "?" if bytes_ is None else size(bytes_)


def _share(part: int | None, whole: int | None) -> float | None:
    if part is None or whole is None:
        return None
    return round(part / whole, 3) if whole else 0.0


def object_rows(found: Listing[ObjectState]) -> list[Row]:
    """Return references to objects; `size` in bytes, None when its holder does not know it."""
    return [
        {
            "id": f"{place} {held.object_id}",
            "object": held.object_id,
            "size": None if held.object_size < 0 else held.object_size,
            "held": held.reference_type.replace("_", " ").lower(),
            "by": " ".join(part for part in (held.type.lower(), str(held.pid or ""), held.ip) if part),
            "site": held.call_site,
        }
        for place, held in enumerate(found.rows)
    ]


def site_rows(found: Summary[CallSite]) -> list[Row]:
    """Return the places of the users' programs where objects were made, the largest first."""
    rows = sorted(found.rows, key=lambda site: (-site.total_size_mb, site.call_site))
    return [
        {
            "id": site.call_site,
            "site": site.call_site,
            "size": round(site.total_size_mb * _MIB),
            "objects": site.total_objects,
            "workers": site.total_num_workers,
            "nodes": site.total_num_nodes,
        }
        for site in rows
    ]


# ---- jobs that are submitted -----------------------------------------------------------------------------------------


def runtime_env(text: str) -> dict[str, Any]:
    """Return a runtime environment as somebody has typed it, as JSON; nothing typed: none.

    Raises:
        ValueError: it is no JSON, or no object; the message says where and what to write.
    """
    if not text.strip():
        return {}
    example = 'for example {"pip": ["requests"], "env_vars": {"LEVEL": "debug"}}'
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"The runtime environment is no JSON: {error.msg} ({where}). Write {example}") from error
    if not isinstance(found, dict):
        raise ValueError(f"The runtime environment has to be an object: {example}")  # noqa: TRY004 - of what was typed
    return found
