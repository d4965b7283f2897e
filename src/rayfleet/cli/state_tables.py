"""How rows of Ray's state are shown to people: the columns of each table. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rayfleet.contracts.state import CallSite, Listing, NodeMemory, StateCount, Summary
from rayfleet.launcher.looking import plain
from rayfleet.reports.amounts import size

Column = tuple[str, Callable[[Any], str]]

_ID: Final = 8
_TEXT: Final = 60
_BYTES: Final = frozenset({"memory", "object_store_memory"})
_MB: Final = 2**20


def rows_of(table: str, listing: Listing[Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the titles of a table's columns, and its rows."""
    columns = COLUMNS[table]
    return tuple(title for title, _ in columns), [tuple(show(row) for _, show in columns) for row in listing.rows]


def details(row: Any) -> Iterator[str]:
    """Yield every field of a row that says something, one a line."""
    yield from (f"  {name}: {_told(name, value)}" for name, value in plain(row).items() if value not in ("", None, {}))


def count_line(table: str, listing: Listing[Any]) -> str:
    """Return how many rows are shown of how many, and how to see more."""
    what, shown = table.replace("-", " "), len(listing.rows)
    if not listing.cut:
        of_all = f", {listing.total} in all" if listing.total > listing.matching else ""
        return f"{shown} {what}{of_all}"
    if listing.matching > shown:
        return f"{shown} of {listing.matching} {what}, {listing.total} in all: --limit shows more, --filter fewer"
    return f"{shown} {what} of {listing.total}; Ray did not look at the rest"


def summary_rows(summary: Summary[StateCount]) -> list[tuple[str, ...]]:
    """Return the rows of a summary of tasks or actors."""
    return [(_cut(row.name), row.type or "-", states(row.state_counts)) for row in summary.rows]


def call_site_rows(summary: Summary[CallSite]) -> list[tuple[str, ...]]:
    """Return the rows of a summary of objects."""
    return [
        (
            size(row.total_size_mb * _MB),
            str(row.total_objects),
            f"{row.total_num_workers} on {row.total_num_nodes}",
            states(row.ref_type_counts),
            _cut(row.call_site),
        )
        for row in summary.rows
    ]


def totals_line(totals: Mapping[str, float]) -> str:
    """Return what a summary adds up to: `total_tasks: 12, total_actor_tasks: 3`."""
    return ", ".join(f"{name}: {value:g}" for name, value in totals.items())


def memory_rows(nodes: Sequence[NodeMemory]) -> list[tuple[str, ...]]:
    """Return one row per node; `?` is what Ray has not looked at yet."""
    return [
        (
            node.node_id[:_ID] + (" (head)" if node.is_head_node else ""),
            node.instance_id or "-",
            node.node_ip,
            f"{_known(node.store_used_bytes)} of {size(node.store_capacity_bytes)}",
            _share(node.store_used_bytes, node.store_capacity_bytes),
            _known(node.spilled_bytes),
            f"{_known(node.memory_used_bytes)} of {_known(node.memory_total_bytes)}",
        )
        for node in nodes
    ]


def _known(bytes_: int | None) -> str:
    return "?" if bytes_ is None else size(bytes_)


def states(counts: Mapping[str, int]) -> str:
    """Return counts as in `FINISHED: 12, RUNNING: 3`."""
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "-"


def resources(amounts: Mapping[str, float]) -> str:
    """Return amounts as in `CPU: 2, memory: 1.5GiB`, without the names that Ray gives to places."""
    shown = {name: value for name, value in amounts.items() if not name.startswith("node:")}
    return ", ".join(f"{name}: {_amount(name, value)}" for name, value in shown.items()) or "-"


def _use(row: Any) -> str:
    """Return a node's resources as in `CPU: 1/4`; only what there is where the use is not told."""
    if row.resources_used is None:
        return resources(row.resources_total)
    parts = [
        f"{name}: {_amount(name, row.resources_used.get(name, 0.0))}/{_amount(name, total)}"
        for name, total in row.resources_total.items()
        if not name.startswith("node:")
    ]
    return ", ".join(parts) or "-"


def _amount(name: str, value: float) -> str:
    return size(value) if name in _BYTES else f"{value:g}"


def _bundles(row: Any) -> str:
    parts = [f"{{{resources(bundle.resources)}}}" for bundle in row.bundles]
    placed = sum(bool(bundle.node_id) for bundle in row.bundles)
    counts = {part: parts.count(part) for part in parts}
    return ", ".join(f"{part} * {n}" for part, n in counts.items()) + f" ({placed} placed)" if parts else "-"


def _told(name: str, value: Any) -> str:
    """Return a value with its moment or its unit in words."""
    if name.endswith("_ms") and isinstance(value, int):
        return _clock(value)
    if name == "object_size" and isinstance(value, int):
        return _size(value)
    return str(value)


def _clock(moment_ms: int | None) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(moment_ms / 1000)) if moment_ms else "-"


def _size(object_size: int) -> str:
    return "?" if object_size < 0 else size(object_size)


def _share(part: int | None, whole: int) -> str:
    if part is None:
        return "?"
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 3]}..."


def _short(name: str) -> Callable[[Any], str]:
    return lambda row: getattr(row, name)[:_ID] or "-"


def _plain(name: str) -> Callable[[Any], str]:
    return lambda row: _cut(str(getattr(row, name) or "-"))


COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "nodes": (
        ("NODE ID", lambda row: row.node_id),
        ("MACHINE", lambda row: row.instance_id or row.node_name or "-"),
        ("POOL", lambda row: row.pool or ("head" if row.is_head_node else "-")),
        ("STATE", _plain("state")),
        ("ADDRESS", _plain("node_ip")),
        ("USE", _use),
    ),
    "actors": (
        ("ACTOR ID", lambda row: row.actor_id),
        ("CLASS", _plain("class_name")),
        ("NAME", _plain("name")),
        ("STATE", _plain("state")),
        ("NODE", _short("node_id")),
        ("PID", _plain("pid")),
        ("HOLDS", lambda row: resources(row.required_resources)),
        ("RESTARTS", lambda row: str(row.num_restarts)),
        ("HOW IT DIED", _plain("death_cause")),
    ),
    "tasks": (
        ("TASK ID", lambda row: row.task_id),
        ("NAME", lambda row: _cut(row.name or row.func_or_class_name or "-")),
        ("TYPE", _plain("type")),
        ("STATE", _plain("state")),
        ("NODE", _short("node_id")),
        ("PID", _plain("worker_pid")),
        ("TAKES", lambda row: resources(row.required_resources)),
        ("STARTED", lambda row: _clock(row.start_time_ms)),
        ("ERROR", _plain("error_type")),
    ),
    "placement-groups": (
        ("PLACEMENT GROUP ID", lambda row: row.placement_group_id),
        ("NAME", _plain("name")),
        ("STRATEGY", _plain("strategy")),
        ("STATE", _plain("state")),
        ("BUNDLES", _bundles),
        ("WHY IT WAITS", lambda row: row.scheduling_state if row.state == "PENDING" else "-"),
    ),
    "workers": (
        ("WORKER ID", lambda row: row.worker_id),
        ("TYPE", _plain("worker_type")),
        ("ALIVE", lambda row: "yes" if row.is_alive else "no"),
        ("NODE", _short("node_id")),
        ("PID", _plain("pid")),
        ("STARTED", lambda row: _clock(row.start_time_ms)),
        ("HOW IT ENDED", lambda row: _cut(": ".join(filter(None, (row.exit_type, row.exit_detail))) or "-")),
    ),
    "objects": (
        ("OBJECT ID", lambda row: row.object_id),
        ("SIZE", lambda row: _size(row.object_size)),
        ("HELD AS", _plain("reference_type")),
        ("TASK", _plain("task_status")),
        ("BY", lambda row: f"{row.type or '-'} {row.pid or '-'} at {row.ip or '-'}"),
        ("MADE AT", _plain("call_site")),
    ),
    "jobs": (
        ("JOB", lambda row: row.submission_id or row.job_id),
        ("DRIVER", _plain("job_id")),
        ("TYPE", _plain("type")),
        ("STATUS", _plain("status")),
        ("STARTED", lambda row: _clock(row.start_time_ms)),
        ("ENDED", lambda row: _clock(row.end_time_ms)),
        ("COMMAND", _plain("entrypoint")),
    ),
}
