"""What runs inside a cluster, from the state API of its head's dashboard; what that leaves out, from the GCS.

    dashboard (HTTP) ---> state_rows ---> Listing, Summary, Memory, LogText
    GCS (gRPC) --- resources in use, strategies of placement groups ---^

Nothing of Ray is imported, no driver is attached, and nothing is kept between calls.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from rayfleet.contracts import EngineError, Node
from rayfleet.contracts.state import (
    FIRST_ROWS,
    MAX_LOG_LINES,
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
from rayfleet.engines.ray import state_rows as rows
from rayfleet.engines.ray.dashboard_http import NO_TIMEOUT, TIMEOUT_S, DashboardError, DashboardHttp, Pairs
from rayfleet.engines.ray.gcs import Gcs
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.engines.ray.tls import credentials
from rayfleet.engines.ray.view import nodes

T = TypeVar("T")

_LOOK: Final = "rayfleet status and rayfleet logs say how the head is"
_WRONG_QUESTION: Final = frozenset({400, 404})
_STARTED_ANEW: Final = "the cluster takes another token: was its head started by somebody else?"
_HINTS: Final = {401: _STARTED_ANEW, 403: _STARTED_ANEW, 429: "too many ask at once: try again in a moment"}
_NOT_THERE: Final = re.compile(r"not found|not find|doesn't exist|does not exist|not scheduled yet")
_UNSHOWN: Final = "Invalid or missing authentication token"
_TOO_OLD: Final = (
    "the dashboard of an old Ray (2.52 is one) reads no log of a cluster with a token: take a newer one, or read it on "
    "its machine, in /tmp/ray/session_latest/logs"
)
_FOLLOW_EVERY_S: Final = 0.5
LONGEST_LINE: Final = 2**16
"""Of a log that is followed, in characters."""


class RayState:
    """The state of one cluster. `timeout_s`: how long one answer may take as a whole."""

    def __init__(self, settings: RaySettings, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take where the cluster is; nothing is connected before the first question."""
        self._http = DashboardHttp(settings, "dashboard", timeout_s)
        self._gcs = Gcs(settings.gcs_address, settings.token, tls=partial(credentials, settings))
        self._timeout_s = timeout_s

    async def nodes(self, query: Query = FIRST_ROWS) -> Listing[NodeState]:
        """Return nodes, dead ones too. Raises StateUnavailable."""
        found = await self._table("nodes", query)
        told, trouble = await _aside(self._nodes())
        return _with(rows.listing(rows.of_nodes(found), lambda row: rows.node(row, told or {})), trouble)

    async def actors(self, query: Query = FIRST_ROWS) -> Listing[ActorState]:
        """Return actors, dead ones too. Raises StateUnavailable."""
        return rows.listing(await self._table("actors", query), rows.actor)

    async def tasks(self, query: Query = FIRST_ROWS) -> Listing[TaskState]:
        """Return tasks, ended ones too as long as Ray remembers them. Raises StateUnavailable."""
        return rows.listing(await self._table("tasks", query), rows.task)

    async def placement_groups(self, query: Query = FIRST_ROWS) -> Listing[PlacementGroupState]:
        """Return placement groups, removed ones too. Raises StateUnavailable."""
        found = await self._table("placement_groups", query)
        named, trouble = await _aside(self._strategies())
        return _with(rows.listing(found, lambda row: rows.placement_group(row, named or {})), trouble)

    async def workers(self, query: Query = FIRST_ROWS) -> Listing[WorkerState]:
        """Return worker processes and drivers, ended ones too. Raises StateUnavailable."""
        return rows.listing(await self._table("workers", query), rows.worker)

    async def objects(self, query: Query = FIRST_ROWS) -> Listing[ObjectState]:
        """Return references to objects. Raises StateUnavailable."""
        return rows.listing(rows.of_objects(await self._table("objects", query)), rows.object_)

    async def jobs(self, query: Query = FIRST_ROWS) -> Listing[JobState]:
        """Return submitted jobs and drivers, ended ones too. Raises StateUnavailable."""
        return rows.listing(await self._table("jobs", query), rows.job)

    async def task_summary(self) -> Summary[StateCount]:
        """Return how many tasks of each function are in which state. Raises StateUnavailable."""
        return rows.summary(await self._result("/api/v0/tasks/summarize"), rows.state_counts)

    async def actor_summary(self) -> Summary[StateCount]:
        """Return how many actors of each class are in which state. Raises StateUnavailable."""
        return rows.summary(await self._result("/api/v0/actors/summarize"), rows.state_counts)

    async def object_summary(self) -> Summary[CallSite]:
        """Return how many objects were made where. Raises StateUnavailable."""
        return rows.summary(rows.of_objects(await self._result("/api/v0/objects/summarize")), rows.call_sites)

    async def memory(self, largest: int = 20) -> Memory:
        """Return what fills the object stores. Raises StateUnavailable."""
        nodes = (await self._data("/nodes", [("view", "summary")])).get("summary")
        if not isinstance(nodes, list):
            raise _unreadable("/nodes")
        held = await self.objects(Query(limit=MAX_ROWS))
        biggest = tuple(sorted(held.rows, key=lambda row: (-row.object_size, row.object_id))[:largest])
        found = [rows.node_memory(node) for node in nodes if isinstance(node, dict)]
        shown = replace(held, rows=biggest, cut=held.cut or len(biggest) < held.matching)
        return Memory(tuple(node for node in found if node is not None), shown)

    async def log_files(self, node_id: str, pattern: str = "*") -> Listing[LogFile]:
        """Return the files in a living node's log folder that match a glob pattern. Raises StateUnavailable."""
        asked = [("node_id", node_id), ("glob", pattern), self._within]
        with _of_logs():
            files = rows.log_files(await self._result("/api/v0/logs", asked))
        return Listing(files, len(files), len(files))

    async def log(self, source: LogSource, lines: int = 100) -> LogText:
        """Return the last lines of a log. Raises StateUnavailable."""
        wanted = min(lines, MAX_LOG_LINES)
        asked = [*await self._source(source), ("lines", str(wanted + 1)), self._within]  # one more tells of a cut
        with _of_logs(), _told():
            async with self._http.answer("GET", "/api/v0/logs/file", asked) as answer:
                text = (await self._http.whole(answer)).decode(errors="replace")
        found = text.removesuffix("\n").split("\n") if text else []
        return LogText(tuple(found[-wanted:] if wanted else ()), len(found) > wanted)

    async def follow_log(self, source: LogSource, lines: int = 100) -> AsyncIterator[str]:
        """Yield the last lines of a log, then those that come. Raises StateUnavailable."""
        # Ray reads 0 lines as a thousand: with none wanted, one is asked for and dropped.
        asked = [*await self._source(source), ("lines", str(max(1, lines))), ("interval", str(_FOLLOW_EVERY_S))]
        begins = lines > 0
        with _of_logs(), _told():
            async with self._http.answer("GET", "/api/v0/logs/stream", asked, timeout=NO_TIMEOUT) as answer:
                async for line in lines_of(answer.content.iter_any()):
                    if begins:
                        yield line
                    begins = True

    async def close(self) -> None:
        """Let go of the connection to the GCS."""
        await self._gcs.close()

    # ---- the wire ------------------------------------------------------------------------------------------------

    @property
    def _within(self) -> tuple[str, str]:
        return ("timeout", str(max(1, int(self._timeout_s))))

    async def _source(self, source: LogSource) -> list[tuple[str, str]]:
        """Return whose log is meant, as Ray asks for it."""
        asked = {
            "node_id": source.node_id,
            "filename": source.filename,
            "actor_id": source.actor_id,
            "task_id": source.task_id,
            "submission_id": source.submission_id,
            "pid": str(source.pid or ""),
        }
        if not source.filename:
            asked["suffix"] = source.suffix
        if source.submission_id and not source.node_id:  # Ray knows where a job ran, and wants some node all the same
            heads = await self._table("nodes", Query(1, (Filter("is_head_node", "True"),)))
            asked["node_id"] = next(
                (node.node_id for node in rows.listing(heads, lambda row: rows.node(row, {})).rows), ""
            )
        return [(key, value) for key, value in asked.items() if value]

    async def _table(self, name: str, query: Query) -> dict[str, Any]:
        asked = [("limit", str(max(0, min(query.limit, MAX_ROWS)))), ("detail", "True"), self._within]
        for each in query.filters:
            asked += [
                ("filter_keys", each.key),
                ("filter_predicates", "=" if each.equal else "!="),
                ("filter_values", each.value),
            ]
        return await self._result(f"/api/v0/{name}", asked)

    async def _result(self, path: str, query: Pairs = ()) -> dict[str, Any]:
        """Return what the state API answers with."""
        found = (await self._data(path, query or [self._within])).get("result")
        if not isinstance(found, dict):
            raise _unreadable(path)
        return found

    async def _data(self, path: str, query: Pairs) -> dict[str, Any]:
        with _told():
            answer = await self._http.call("GET", path, query)
        if isinstance(answer, dict) and answer.get("result") is False:
            raise StateUnavailable(f"the dashboard says: {answer.get('msg')}", _LOOK)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict):
            raise _unreadable(path)
        return data

    async def _nodes(self) -> dict[str, Node]:
        """Return what the GCS knows of each node, by the node's id."""
        return {node.id: node for node in nodes(await self._gcs.state())}

    async def _strategies(self) -> dict[str, str]:
        return rows.strategies(await self._gcs.placement_groups(MAX_ROWS))


async def _aside(asked: Awaitable[T]) -> tuple[T | None, str]:
    """Return what only adds to an answer, or why it could not be had: the answer is worth something without it."""
    try:
        return await asked, ""
    except EngineError as error:
        return None, str(error)


def _with(found: Listing[T], trouble: str) -> Listing[T]:
    return replace(found, warnings=(*found.warnings, trouble)) if trouble else found


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in the words of the contract what goes wrong inside, and what to do."""
    try:
        yield
    except DashboardError as error:
        wrong = error.status in _WRONG_QUESTION
        hint = _HINTS.get(error.status, "" if wrong else _LOOK)
        raise StateUnavailable(str(error), hint, refused=wrong) from error


@contextlib.contextmanager
def _of_logs() -> Iterator[None]:
    """Tell a log or node that is not there from a dashboard that fails: to Ray both are its own failure."""
    try:
        yield
    except StateUnavailable as error:
        if _UNSHOWN in str(error):
            raise StateUnavailable(str(error), _TOO_OLD) from error
        if not error.refused and _NOT_THERE.search(str(error)):
            raise StateUnavailable(
                str(error), "rayfleet logs --node-id ID lists a node's files", refused=True
            ) from error
        raise


def _unreadable(path: str) -> StateUnavailable:
    return StateUnavailable(f"the dashboard answers {path} in a form that is not known", "is its Ray 2.52 or newer?")


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield lines of text that comes in pieces of any size; the last one may lack its end.

    One that is longer than LONGEST_LINE comes in parts: it may never end.
    """
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    rest = ""
    async for chunk in chunks:
        *whole, rest = (rest + decode(chunk)).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = ""
    if rest:
        yield rest
