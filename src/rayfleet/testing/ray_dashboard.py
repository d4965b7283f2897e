"""A pretend dashboard of Ray: its state API over HTTP on this machine, from tables that a test fills.

It answers in the form that Ray 2.60 answers in, as recorded from a real one, and goes wrong on request.
"""

from __future__ import annotations

import asyncio
import fnmatch
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from rayfleet.engines.ray.settings import Ports, RaySettings

Row = dict[str, Any]
TABLES: Final = ("nodes", "actors", "tasks", "placement_groups", "workers", "objects", "jobs")
_LONG_S: Final = 3600.0
_START_S: Final = 30.0


class Trouble(StrEnum):
    """How it goes wrong."""

    SLOW = "it never answers"
    DAMAGED = "its answer is no JSON"
    STRANGE = "its answer is JSON of another form"
    BROKEN = "the connection ends in the middle of the answer"
    FAILS = "its source does not answer"
    BUSY = "too many ask at once"
    ENDLESS = "its error has no end"


@dataclass
class RayDashboard:
    """One head's dashboard. `tables`: rows as Ray names them; `totals`: of a table of which Ray has forgotten rows.

    `token`: what clients have to show, "" = nothing. `summaries`: of `tasks`, `actors`, `objects`, ready-made.
    `logs`: node id -> file name -> text, or `actor_id` (or `task_id`, `submission_id`) -> that id -> text.
    `asked`: path and query of each request that came; `followed`: somebody has begun to read a log; `ends`: a log that
    is followed ends with what is there.
    """

    token: str = ""
    tables: dict[str, list[Row]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    summaries: dict[str, Row] = field(default_factory=dict)
    node_pages: list[Row] = field(default_factory=list)
    logs: dict[str, dict[str, str]] = field(default_factory=dict)
    trouble: Trouble | None = None
    ends: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    followed: asyncio.Event = field(default_factory=asyncio.Event)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[RaySettings]:
        """Serve on a free port; give the settings of a cluster in `folder` whose dashboard this is."""
        app = web.Application(middlewares=[self._guard])
        for table in TABLES:
            app.router.add_get(f"/api/v0/{table}", self._list(table))
            app.router.add_get(f"/api/v0/{table}/summarize", self._summarize(table))
        app.router.add_get("/nodes", self._nodes)
        app.router.add_get("/api/v0/logs", self._log_files)
        app.router.add_get("/api/v0/logs/{way}", self._log)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = int(runner.addresses[0][1])
            self.url = f"http://127.0.0.1:{port}"
            yield self._settings(folder, port)
        finally:
            await runner.cleanup()

    @contextmanager
    def in_background(self, folder: Path) -> Iterator[None]:
        """Serve from the loop of another thread, for code that runs loops of its own."""
        loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with self.serving(folder):
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            ready.wait(_START_S)
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    def write(self, node_id: str, name: str, text: str) -> None:
        """Append to a log; whoever follows it gets the text."""
        files = self.logs.setdefault(node_id, {})
        files[name] = files.get(name, "") + text
        self.grown.set()
        self.grown = asyncio.Event()

    def _settings(self, folder: Path, port: int) -> RaySettings:
        ports = Ports(gcs_port=1, client_port=2, dashboard_port=port)  # nobody listens at 1
        settings = RaySettings("c", str(folder), "127.0.0.1", ports, token_auth=bool(self.token))
        if self.token:
            folder.mkdir(parents=True, exist_ok=True)
            settings.token_path.write_text(self.token, encoding="utf-8")
        settings.save()
        return settings

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="Unauthorized: Missing or invalid authentication token")
        if self.trouble is Trouble.SLOW:
            await asyncio.sleep(_LONG_S)
        if self.trouble is Trouble.BROKEN:
            return await _broken(request)
        if self.trouble is Trouble.ENDLESS:
            return await _endless(request)
        wrong = _WRONG.get(self.trouble) if self.trouble else None
        return wrong() if wrong else await handler(request)

    def _list(self, table: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            held = self.tables.get(table, [])
            query = request.query
            names, signs = query.getall("filter_keys", []), query.getall("filter_predicates", [])
            filters = list(zip(names, signs, query.getall("filter_values", []), strict=True))
            unknown = [key for key, _, _ in filters if not any(key in row for row in held)]
            if unknown:
                return _reply(None, 400, f"The given filter column {unknown[0]} is not supported.")
            found = [row for row in held if all(_passes(row, *each) for each in filters)]
            return _reply({
                "total": self.totals.get(table, len(held)),
                "num_after_truncation": len(held),
                "num_filtered": len(found),
                "result": found[: int(query["limit"])],
                "partial_failure_warning": "",
                "warnings": self.warnings.get(table),
            })  # fmt: skip

        return answer

    def _summarize(self, table: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_request: web.Request) -> web.Response:
            held = self.tables.get(table, [])
            summary = self.summaries.get(table) or _counted(held)
            total = self.totals.get(table, len(held))
            return _reply({
                "total": total,
                "num_after_truncation": len(held),
                "result": {"node_id_to_summary": {"cluster": summary}},
                "partial_failure_warning": "",
                "warnings": self.warnings.get(table),
                "num_filtered": len(held),
            })  # fmt: skip

        return answer

    async def _nodes(self, _request: web.Request) -> web.Response:
        data = {"summary": self.node_pages, "nodeLogicalResources": {}}
        return web.json_response({"result": True, "msg": "Node summary fetched.", "data": data})

    async def _log_files(self, request: web.Request) -> web.Response:
        node, pattern = request.query["node_id"], request.query.get("glob", "*")
        if node not in self.logs:
            return _reply(None, 500, f"Agent for node id: {node} doesn't exist.")
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.logs[node]:
            if fnmatch.fnmatchcase(name, pattern):
                found[name.partition(".")[0]].append(name)
        return _reply(dict(found))

    async def _log(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        asked = next((key for key in ("actor_id", "task_id", "submission_id") if key in query), "")
        node, name = (asked, query[asked]) if asked else (query.get("node_id", ""), query.get("filename", ""))
        if name not in self.logs.get(node, {}):
            raise web.HTTPInternalServerError(text=f"A file is not found at: /logs/{name}")
        text = self.logs[node][name]
        lines = text.splitlines(keepends=True)[-int(query["lines"]) :]
        answer = web.StreamResponse(headers={"Content-Disposition": 'attachment; filename="file.txt"'})
        answer.content_type = "text/plain"
        await answer.prepare(request)
        await answer.write("".join(lines).encode())
        seen = len(text)
        self.followed.set()
        while request.match_info["way"] == "stream" and not self.ends:
            grown, text = self.grown, self.logs[node][name]
            if len(text) > seen:
                await answer.write(text[seen:].encode())
                seen = len(text)
            else:
                await grown.wait()
        await answer.write_eof()
        return answer


def _reply(result: Any, status: int = 200, message: str = "") -> web.Response:
    body = {"result": status < 400, "msg": message, "data": {"result": result}}  # noqa: PLR2004 - HTTP's first error
    return web.json_response(body, status=status)


async def _broken(request: web.Request) -> web.StreamResponse:
    """Promise more than is sent."""
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"result": true,')
    if request.transport is not None:
        request.transport.close()
    return answer


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(status=500)
    await answer.prepare(request)
    while True:  # until whoever asks has had enough
        await answer.write(b"wrong! " * 4096)


_WRONG: Final[dict[Trouble, Callable[[], web.Response]]] = {
    Trouble.DAMAGED: lambda: web.Response(text='{"result": true, "data": {"res', content_type="application/json"),
    Trouble.STRANGE: lambda: _reply([1, 2]),
    Trouble.FAILS: lambda: _reply(None, 500, "Failed to query data from GCS."),
    Trouble.BUSY: lambda: _reply(None, 429, "Max number of in-progress requests=100 reached."),
}


def _passes(row: Row, key: str, sign: str, value: str) -> bool:
    return (str(row.get(key)).lower() == value.lower()) == (sign == "=")


def _counted(held: Iterable[Row]) -> Row:
    """Return how many there are of each name and state, as Ray sums up tasks and actors."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, str] = {}
    for row in held:
        name = str(row.get("name") or row.get("func_or_class_name") or row.get("class_name"))
        name = str(row["class_name"]) if "class_name" in row else name
        counts[name][str(row["state"])] += 1
        kinds[name] = str(row.get("type", ""))
    lines = {
        name: {"func_or_class_name": name, "type": kinds[name], "state_counts": dict(states)}
        for name, states in counts.items()
    }
    return {"summary": lines, "total_tasks": sum(sum(states.values()) for states in counts.values())}
