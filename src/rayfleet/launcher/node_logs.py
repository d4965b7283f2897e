"""What Ray's nodes have written, to be kept: the ends of their logs, of living nodes, up to a size.

    FOLDER/NODE_ID/FILE      the last LINES lines of each file; the head's first, then by node

Dead nodes' logs are where the machine is, which nobody reads any more. Folders within a log folder are left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from rayfleet.contracts.state import MAX_ROWS, Filter, LogSource, NodeState, Query, State, StateUnavailable

LINES: Final = 10_000
"""Of each file so many lines are kept, from its end."""
_ALIVE: Final = Query(MAX_ROWS, (Filter("state", "ALIVE"),))


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not whole. `what`: a file (NODE_ID/FILE), a node or "nodes"; `why`: in words."""

    what: str
    why: str

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {"what": self.what, "why": self.why}


async def gather(state: State, folder: Path, most_bytes: int) -> tuple[Missing, ...]:
    """Write the ends of the nodes' logs below a folder, and return what is missing or cut. OSError: it cannot write."""
    missing: list[Missing] = []
    left = most_bytes
    async for node, name in _files(state, missing):
        path = f"{node}/{name}"
        if left <= 0:
            missing.append(Missing(path, f"the size of {most_bytes} bytes is reached"))
            continue
        try:
            text = await state.log(LogSource(node, name), LINES)
        except StateUnavailable as error:
            missing.append(Missing(path, str(error)))
            continue
        content = "".join(f"{line}\n" for line in text.lines).encode()
        if text.cut or len(content) > left:
            missing.append(Missing(path, "only its end is kept"))
        _write(folder / path, content[-left:])
        left -= len(content)
    return tuple(missing)


async def _files(state: State, missing: list[Missing]) -> AsyncIterator[tuple[str, str]]:
    """Yield node and name of each file; what cannot be listed goes to `missing`."""
    try:
        nodes = (await state.nodes(_ALIVE)).rows
    except StateUnavailable as error:
        missing.append(Missing("nodes", str(error)))
        return
    for node in sorted(nodes, key=_head_first):
        try:
            found = (await state.log_files(node.node_id)).rows
        except StateUnavailable as error:
            missing.append(Missing(node.node_id, str(error)))
            continue
        for file in found:
            if _is_file_below(file.name):
                yield node.node_id, file.name


def _head_first(node: NodeState) -> tuple[bool, str]:
    return not node.is_head_node, node.node_id


def _is_file_below(name: str) -> bool:
    """Say whether a name that a node has told is a file's, and stays within the folder of the node."""
    path = PurePosixPath(name)
    return bool(path.name) and not name.endswith("/") and not path.is_absolute() and ".." not in path.parts


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
