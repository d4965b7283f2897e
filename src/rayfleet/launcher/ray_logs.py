"""Log files of a cluster's nodes: which node and which files are meant, and what is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.contracts.state import MAX_LOG_LINES, MAX_ROWS, LogFile, LogSource, NodeState, Query, State
from rayfleet.launcher.errors import LauncherError, did_you_mean

PRINTERS: Final = ("actor", "task", "job")
"""What has a log of its own besides files: in the words of `ray logs`."""
_ALIVE: Final = "ALIVE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read: of a node (its id or how it begins, machine, address or name; "": the head), a file or glob.

    `search`: only lines that contain it, whatever their case; "": all. `lines`: how many from the end.
    """

    node: str = ""
    pattern: str = "*"
    lines: int = 100
    search: str = ""

    def passes(self, line: str) -> bool:
        """Say whether a line is looked for."""
        return self.search.lower() in line.lower()


@dataclass(frozen=True, slots=True)
class Files:
    """The files that are meant, of the node that is meant."""

    node: NodeState
    files: tuple[LogFile, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"node_id": self.node.node_id, "files": [{"name": f.name, "component": f.component} for f in self.files]}


@dataclass(frozen=True, slots=True)
class Read:
    """Lines of a file. `cut`: it has more before these."""

    name: str
    lines: tuple[str, ...]
    cut: bool

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"name": self.name, "lines": list(self.lines), "cut": self.cut}


async def find(state: State, wanted: Wanted) -> Files:
    """Return the node and the files that are meant.

    Raises:
        LauncherError: there is no such node or file, or several nodes may be meant.
        StateUnavailable: Ray does not tell.
    """
    node = await find_node(state, wanted.node)
    found = (await state.log_files(node.node_id, wanted.pattern)).rows
    if not found and wanted.pattern != "*":
        every = [file.name for file in (await state.log_files(node.node_id)).rows]
        close = did_you_mean(wanted.pattern, every)
        hint = close if close.startswith("did") else f"rayfleet logs --node-id {node.node_id[:8]} lists its files"
        raise LauncherError(f"node {node.node_id[:8]} has no log {wanted.pattern}", hint)
    return Files(node, found)


async def find_node(state: State, word: str) -> NodeState:
    """Return the living node that a word means.

    Raises:
        LauncherError: none, a dead one, or several.
    """
    every = (await state.nodes(Query(MAX_ROWS))).rows
    found = [node for node in every if _is_meant(node, word)]
    alive = [node for node in found if node.state == _ALIVE]
    if len(alive) == 1:
        return alive[0]
    if alive:
        raise LauncherError(f"{word} may be each of {len(alive)} nodes", "give more of its id: rayfleet list nodes")
    if found:
        raise LauncherError(f"node {word} is {found[0].state}: nobody reads its logs there any more")
    raise LauncherError(f"there is no node {word}" if word else "no head is alive", "rayfleet list nodes shows them")


def _is_meant(node: NodeState, word: str) -> bool:
    if not word:
        return node.is_head_node
    return node.node_id.startswith(word) or word in {node.instance_id, node.node_ip, node.node_name}


async def read(state: State, wanted: Wanted, files: Files) -> list[Read]:
    """Return the end of each file; with something to search for, what of it is in the whole file.

    Raises:
        StateUnavailable: Ray does not tell.
    """
    return [await read_one(state, wanted, LogSource(files.node.node_id, file.name)) for file in files.files]


async def read_one(state: State, wanted: Wanted, source: LogSource, name: str = "") -> Read:
    """Return what is wanted of one log. `name`: what it is called where it is no file. Raises StateUnavailable."""
    text = await state.log(source, MAX_LOG_LINES if wanted.search else wanted.lines)
    lines = [line for line in text.lines if wanted.passes(line)]
    shown = lines[-wanted.lines :] if wanted.lines else []
    return Read(name or source.filename, tuple(shown), text.cut or len(shown) < len(lines))


async def follow(state: State, wanted: Wanted, files: Files) -> AsyncIterator[str]:
    """Yield the end of the only file, then what comes.

    Raises:
        LauncherError: several files are meant.
        StateUnavailable: Ray does not tell.
    """
    if len(files.files) > 1:
        raise LauncherError(f"--follow follows one file, and {len(files.files)} match", "name one of them")
    async for line in follow_one(state, wanted, LogSource(files.node.node_id, files.files[0].name)):
        yield line


async def follow_one(state: State, wanted: Wanted, source: LogSource) -> AsyncIterator[str]:
    """Yield the end of one log, then what comes. Raises StateUnavailable."""
    async for line in state.follow_log(source, wanted.lines):
        if wanted.passes(line):
            yield line


def printed_by(what: str, name: str, *, errors: bool) -> LogSource:
    """Return the log of one of PRINTERS, by its id. `errors`: its standard error instead of its output.

    Raises:
        LauncherError: there is no such printer.
    """
    suffix = "err" if errors else "out"
    match what:
        case "actor":
            return LogSource(actor_id=name, suffix=suffix)
        case "task":
            return LogSource(task_id=name, suffix=suffix)
        case "job":
            return LogSource(submission_id=name)
        case _:
            raise LauncherError(f"{what!r} prints nothing", f"known: {', '.join(PRINTERS)}")
