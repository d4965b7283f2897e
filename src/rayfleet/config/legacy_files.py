"""Ray's files from before node types: where they can be read in two ways, and how each is written today.

`head_node` and `worker_nodes` then held a cloud's own settings, with one kind of worker and the limits at the top.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rayfleet.config.document import Document
from rayfleet.config.problems import Path, Problem

OURS = ("min_workers", "max_workers", "idle_timeout_s", "instance_type", "use_spot", "spot_price", "offers", "priority")
"""Keys of a node type that no cloud has among its own settings."""
LIMITS = ("min_workers", "max_workers")


def mixed(document: Document, path: Path, name: str, row: dict[str, Any]) -> Iterator[Problem]:
    """Yield a problem for a section that holds a cloud's own keys and those of a node type."""
    ours = [key for key in OURS if key in row]
    clouds = [key for key in row if key not in OURS]
    if ours and clouds:
        message = f"{ours[0]} belongs to a node type, and {clouds[0]} to the cloud"
        parts = ", ".join([*(f"{key}: ..." for key in ours), f"node_config: {{{clouds[0]}: ...}}"])
        hint = f"write available_node_types: {{{name}: {{{parts}}}}}"
        yield document.problem((*path, ours[0]), message, hint, of_key=True)


def several_kinds(document: Document) -> Iterator[Problem]:
    """Yield a problem for limits of all workers beside more than one kind of them: nobody says whose they are."""
    rows = document.value.get("worker_nodes")
    if not isinstance(rows, list) or len(rows) <= 1:
        return
    if not any(isinstance(row, dict) and "resources" not in row and _is_clouds(row) for row in rows):
        return
    if "min_workers" in document.value:
        message = f"there are {len(rows)} kinds of workers, and nobody says which of them are meant"
        hint = "give each kind its own: available_node_types: {worker: {min_workers: ..., node_config: ...}}"
        yield document.problem(("min_workers",), message, hint, of_key=True)


def _is_clouds(row: dict[str, Any]) -> bool:
    return any(key[:1].isupper() or key in ("machineType", "azure_arm_parameters") for key in row)
