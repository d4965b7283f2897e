"""One job: how it is, what it prints, and the button that stops it."""

from __future__ import annotations

import time

from nicegui import ui
from starlette.requests import Request

from rayfleet.contracts.state import JobState, Listing, LogSource
from rayfleet.dashboard.clusters import Entry
from rayfleet.dashboard.markup import NONE, Html, badge, joined, link, panel, tag
from rayfleet.dashboard.pages.frame import Frame, Shown, big_empty, cluster_path, complaining
from rayfleet.dashboard.pages.jobs import JOBS
from rayfleet.dashboard.pages.log_panel import LogPanel
from rayfleet.dashboard.pages.overview import nothing_html
from rayfleet.dashboard.pages.ray_table import asking_html
from rayfleet.dashboard.readings.inside import RUNS, job_id, mood
from rayfleet.dashboard.site import Site
from rayfleet.reports.amounts import duration


async def page(site: Site, request: Request, entry: Entry, name: str) -> None:
    """Build the page of the job called `name`."""
    frame = Frame(site, request, f"{name} of {entry.name}", entry=entry, page="jobs", headed=True)
    with frame.main():
        if entry.history is None:
            Shown().show(nothing_html(entry))
            return
        top, stop, facts = Shown(), _Stop(site, entry, name), Shown("div", "stack")
        with ui.element("div").style("margin-top: 12px"):
            log = LogPanel(site, entry, "Output", "Its output is where it was started: it is no submitted job.")

    async def look() -> None:
        told = await site.told(entry, JOBS)
        job = _found(told.value, name)
        top.show(joined((_title(entry, name, job), asking_html(told))))
        stop.allow(possible=job is not None and bool(job.submission_id) and job.status in RUNS)
        if job is not None:
            facts.show(facts_html(job, site.now()))
            log.read(LogSource(submission_id=job.submission_id) if job.submission_id else None)
        elif told.value is not None:
            facts.show(big_empty(f"{name} is not there", "Ray does not know a job of that name any more."))
        await log.look()

    await frame.follow(look)


def _found(jobs: Listing[JobState] | None, name: str) -> JobState | None:
    return next((job for job in jobs.rows if job_id(job) == name), None) if jobs is not None else None


def _title(entry: Entry, name: str, job: JobState | None) -> Html:
    state = badge(job.status, mood(job.status)) if job else None
    back = link("Jobs", cluster_path(entry.name, "jobs"))
    return tag("div", back, tag("span", "/", class_="dim"), tag("h1", name), state, class_="health")


def facts_html(job: JobState, now: float) -> Html:
    """Return all that is known of a job. `now`: seconds since the epoch."""
    since, until = job.start_time_ms, job.end_time_ms
    took = (until / 1000 if until else now) - since / 1000 if since else None
    facts = [
        ("Command", tag("code", job.entrypoint) if job.entrypoint else NONE),
        ("Started", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(since / 1000)) if since else ""),
        ("Took" if until else "Runs for", duration(took) if took is not None else ""),
        ("Its driver", " ".join(part for part in (job.job_id, f"process {job.pid}" if job.pid else "") if part)),
        ("At", job.node_ip),
        ("Message", job.message),
        ("Error", job.error_type),
    ]
    shown = (joined((tag("dt", name), tag("dd", value))) for name, value in facts if value)
    return panel("Job", tag("dl", *shown, class_="facts"))


class _Stop:
    """The button, and the question whether that is meant."""

    def __init__(self, site: Site, entry: Entry, job: str) -> None:
        self._site, self._entry, self._job = site, entry, job
        with ui.dialog() as self._dialog, ui.card().props('role="dialog" aria-labelledby="stop-title"'):
            text = "Its driver is ended, and with it the tasks and actors that it has started."
            Shown("div").show(joined((tag("h1", f"Stop {job}?", id="stop-title"), tag("p", text, class_="dim"))))
            with ui.row().classes("w-full justify-end"):
                ui.button("Let it run", on_click=self._dialog.close).props("flat no-caps")
                ui.button("Stop it", on_click=self._order).props("no-caps color=negative unelevated")
        self._button = ui.button("Stop ...", on_click=self._dialog.open).props("outline dense no-caps color=negative")
        self._button.style("padding: 2px 12px; margin-bottom: 12px")
        self._button.set_visibility(False)

    def allow(self, *, possible: bool) -> None:
        """Offer it, or not."""
        self._button.set_visibility(possible)

    async def _order(self) -> None:
        self._dialog.close()
        with complaining():
            async with self._site.clusters.inside(self._entry.name) as inside:
                await inside.jobs.stop(self._job)
            ui.notify(f"{self._job} is asked to stop", type="positive")
            self._site.answers.forget((self._entry.name, JOBS.name))
