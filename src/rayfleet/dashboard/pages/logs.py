"""Logs: files of every node, what an actor or a task has printed, the controller's own; with search, as they come.

The controller's are files of this machine, and are there when Ray is silent or the cluster is down.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import Listing, LogFile, LogSource
from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry, Inside
from rayfleet.dashboard.log_file import names_in
from rayfleet.dashboard.markup import NONE, tag
from rayfleet.dashboard.pages.frame import Frame, Shown, cluster_path
from rayfleet.dashboard.pages.log_panel import LogPanel
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import NODES, asking_html
from rayfleet.dashboard.readings.inside import node_choices
from rayfleet.dashboard.site import Site

_FILES_EVERY_S: Final = 5.0
CONTROLLER: Final = "controller"
"""Among the nodes; no node's id has such letters."""
_ITS_LOG: Final = "controller.log"
_PRINTED: Final = {"Output": "out", "Errors": "err"}


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page. Which log: `?node=ID&file=NAME`, `?actor=ID` or `?task=ID`; `?node=controller`: its own."""
    asked = request.query_params
    headed = "actor" in asked or "task" in asked
    frame = Frame(site, request, f"Logs of {entry.name}", entry=entry, page="logs", headed=headed)
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            if headed:
                shown: _Printed | _Files = _Printed(site, entry, asked.get("actor", ""), asked.get("task", ""))
            else:
                shown = _Files(site, entry, asked.get("node", ""), asked.get("file", ""))
    await frame.follow(shown.look)


class _Printed:
    """What an actor or a task has printed."""

    def __init__(self, site: Site, entry: Entry, actor: str, task: str) -> None:
        self._actor, self._task = actor, task
        what = f"Actor {actor}" if actor else f"Task {task}"
        with ui.element("div").classes("tools").style("margin: 0"):
            Shown("div").show(tag("h1", what, style="overflow-wrap: anywhere"))
            self._which = ui.toggle(list(_PRINTED), value="Output", on_change=self._choose)
            self._which.props('dense flat no-caps size=sm toggle-color=primary aria-label="What it printed"')
        self._log = LogPanel(site, entry, "Output")
        self._choose()
        self.look = self._log.look

    def _choose(self) -> None:
        self._log.titled(str(self._which.value))
        suffix = _PRINTED[str(self._which.value)]
        self._log.read(LogSource(actor_id=self._actor, task_id="" if self._actor else self._task, suffix=suffix))


class _Files:
    """The files of a node."""

    def __init__(self, site: Site, entry: Entry, node: str, file: str) -> None:
        self._site, self._entry = site, entry
        self._wanted, self._source = (node, file), LogSource()
        with ui.element("section").classes("panel"):
            with ui.element("div").classes("tools").style("margin: 0"):
                self._node = ui.select({}, label="Node", with_input=True, on_change=self._chosen).classes("grow")
                self._node.props('dense options-dense outlined aria-label="Node"')
                self._file = ui.select([], label="File", with_input=True, on_change=self._chosen).classes("grow")
                self._file.props('dense options-dense outlined aria-label="File"')
            self._said = Shown()
        self._log = LogPanel(site, entry, "Log", "Choose a file: worker-*.out and .err are what tasks print.")

    async def look(self) -> None:
        """Offer the nodes and files that there are, and show what has come."""
        nodes = await self._site.told(self._entry, NODES)
        if nodes.value is not None or nodes.trouble or self._wanted[0] == CONTROLLER:
            own = {CONTROLLER: "Controller"} if self._entry.logs is not None else {}
            self._offer_nodes({**(node_choices(nodes.value) if nodes.value is not None else {}), **own})
        self._said.show(NONE if self._node.value == CONTROLLER and not nodes.trouble else asking_html(nodes))
        if self._node.value == CONTROLLER and self._entry.logs is not None:
            names = await asyncio.to_thread(names_in, self._entry.logs)
            self._offer_files(names, _ITS_LOG)
        elif self._node.value:
            files = await self._site.told(self._entry, files_of(self._node.value))
            if files.value is not None:
                self._offer_files([file.name for file in files.value.rows])
            self._said.show(asking_html(files))
        await self._log.look()

    def _offer_nodes(self, choices: dict[str, str]) -> None:
        if self._node.options != choices:
            wanted = next((node for node in choices if self._wanted[0] and node.startswith(self._wanted[0])), None)
            kept = self._node.value if self._node.value in choices else wanted or next(iter(choices), None)
            self._node.set_options(choices, value=kept)

    def _offer_files(self, names: list[str], usual: str = "") -> None:
        if self._file.options != names:
            wanted = next((name for name in (self._wanted[1], usual) if name in names), None)
            self._file.set_options(names, value=self._file.value if self._file.value in names else wanted)

    def _chosen(self) -> None:
        """Read what is chosen now, and put it into the address, so that it can be passed on."""
        node, file = self._node.value or "", self._file.value or ""
        if self._source.node_id and node != self._source.node_id:
            self._wanted = ("", file)  # the file of that name on the other node, once that has told its files
            self._file.set_options([], value=None)
            file = ""
        source = LogSource(node, file)
        if source == self._source:
            return
        self._source = source
        self._log.titled(file or "Log")
        self._log.read(self._read_by(source) if node and file else None)
        if node and file and ui.context.client.has_socket_connection:
            chosen = urlencode({"node": node, "file": file})
            ui.navigate.history.replace(f"{cluster_path(self._entry.name, 'logs')}?{chosen}")

    def _read_by(self, source: LogSource) -> LogSource | Path:
        """Return where a log is. A file of the controller's is one of those offered: no path out of its folder."""
        if source.node_id != CONTROLLER or self._entry.logs is None:
            return source
        return self._entry.logs / source.filename


def files_of(node_id: str) -> Question[Listing[LogFile]]:
    """Return the question which log files a node has."""

    async def ask(inside: Inside) -> Listing[LogFile]:
        return await inside.state.log_files(node_id)

    return Question(f"log files of {node_id}", ask, _FILES_EVERY_S)
