"""Jobs of one cluster: those that were submitted and programs that joined, and a form that submits one."""

from __future__ import annotations

from typing import Final

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts import JobsUnavailable
from rayfleet.contracts.state import MAX_ROWS, Query
from rayfleet.dashboard.answers import Question
from rayfleet.dashboard.clusters import Entry, NoWayIn
from rayfleet.dashboard.markup import tag
from rayfleet.dashboard.pages.frame import Frame, Shown, cluster_path
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import SPAN, TIME, RayTable, column
from rayfleet.dashboard.readings.inside import count_text, job_rows, runtime_env
from rayfleet.dashboard.site import Site
from rayfleet.model import FrozenMap

_EXAMPLE: Final = '{"pip": ["requests"], "env_vars": {"LEVEL": "debug"}, "working_dir": "https://.../code.zip"}'
JOBS: Final = Question("jobs", lambda inside: inside.state.jobs(Query(MAX_ROWS)))
COLUMNS: Final = [
    column("id", "Job", "breaks"),
    column("state", "State"),
    column("type", "Kind", "only-wide"),
    column("since", "Started", "only-wide", **{":format": TIME}),
    column("took", "Took", "number only-wide", **{":format": SPAN}),
    column("command", "Command", "wrap"),
    column("message", "Message", "wrap only-wide"),
]


async def page(site: Site, request: Request, entry: Entry) -> None:
    """Build the page."""
    frame = Frame(site, request, f"Jobs of {entry.name}", entry=entry, page="jobs")
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        with ui.element("div").classes("stack"):
            _Submit(site, entry)
            rows = RayTable("Jobs", COLUMNS, nothing="No job has been submitted, and no program has joined.", link="id")

    async def look() -> None:
        rows.show(
            await site.told(entry, JOBS),
            lambda found: [{**row, "href": cluster_path(entry.name, "jobs", row["id"])} for row in job_rows(found)],
            lambda found: count_text(found, "jobs"),
        )

    await frame.follow(look)


class _Submit:
    """A command, and the button that has the head run it."""

    def __init__(self, site: Site, entry: Entry) -> None:
        self._site, self._entry = site, entry
        with ui.element("section").classes("panel"):
            note = tag("span", "a command that the head runs as a job", class_="note")
            Shown("div").show(tag("h2", "Submit", note))
            with ui.element("form").classes("tools").style("margin: 0") as form:
                self._command = ui.input("Command", placeholder="python /path/on/the/head/train.py").classes("grow")
                self._command.props("dense outlined").style("max-width: 720px")
                self._button = ui.button("Submit").props("dense outline no-caps type=submit")
                self._button.style("padding: 4px 14px")
                with ui.expansion("Runtime environment").props("dense").style("flex: 1 1 100%; max-width: 720px"):
                    self._environment = ui.textarea("As JSON", placeholder=_EXAMPLE).style("width: 100%")
                    self._environment.props('outlined dense autogrow input-style="font-family: monospace"')
            form.on("submit.prevent", self._order)

    async def _order(self) -> None:
        command = (self._command.value or "").strip()
        if not command:
            ui.notify("Write the command that is to run, for example: python train.py", type="warning")
            return
        try:
            environment = runtime_env(self._environment.value or "")
        except ValueError as error:
            ui.notify(str(error), type="warning", multi_line=True)
            return
        self._button.disable()
        try:
            async with self._site.clusters.inside(self._entry.name) as inside:
                told = FrozenMap({"submitted_by": "rayfleet dashboard"})
                job = await inside.jobs.submit(command, environment, told)
        except (JobsUnavailable, NoWayIn) as error:
            ui.notify(str(error), type="negative", multi_line=True)
            return
        finally:
            self._button.enable()
        self._site.answers.forget((self._entry.name, JOBS.name))
        ui.navigate.to(cluster_path(self._entry.name, "jobs", job))
