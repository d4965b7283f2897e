"""A job server whose agent comes late: the job is started all the same, and once."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from rayfleet.contracts import JobsUnavailable
from rayfleet.engines.ray.jobs import RayJobs
from rayfleet.engines.ray.settings import Ports, RaySettings
from rayfleet.model import FrozenMap

Answer = tuple[int, str]

LATE = (500, "No available agent to submit job, please try again later.")
THERE = (500, "Traceback\nValueError: Job with submission_id x already exists. Please use a different submission_id.")
FULL = (500, "Traceback\nOSError: no space left")
WELL = (200, "")


@asynccontextmanager
async def job_server(folder: Path, answer: Callable[[int], Answer]) -> AsyncIterator[tuple[RayJobs, list[str]]]:
    """Answer the n-th request as told; give the jobs, and the ids that came."""
    ids: list[str] = []

    async def submit(request: web.Request) -> web.Response:
        ids.append((await request.json())["submission_id"])
        status, text = answer(len(ids))
        text = text or json.dumps({"submission_id": ids[-1]})
        return web.Response(status=status, text=text, content_type="application/json")

    app = web.Application()
    app.router.add_post("/api/jobs/", submit)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports = Ports(gcs_port=1, client_port=2, dashboard_port=runner.addresses[0][1])
        settings = RaySettings("jobs", str(folder), "127.0.0.1", ports, token_auth=False)
        yield RayJobs(settings, pause_s=0.0), ids
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("last", [WELL, THERE], ids=["answered", "the answer before was lost"])
async def test_it_is_sent_again_under_its_id_until_there_is_an_agent(tmp_path: Path, last: Answer) -> None:
    async with job_server(tmp_path, lambda number: last if number == 3 else LATE) as (jobs, ids):
        assert await jobs.submit("true", {}, FrozenMap()) == ids[0]
    assert ids == [ids[0]] * 3


async def test_without_any_agent_it_says_so_in_the_end(tmp_path: Path) -> None:
    async with job_server(tmp_path, lambda _: LATE) as (jobs, ids):
        with pytest.raises(JobsUnavailable, match="No available agent"):
            await jobs.submit("true", {}, FrozenMap())
    assert len(ids) == 10


async def test_another_refusal_is_told_at_once(tmp_path: Path) -> None:
    async with job_server(tmp_path, lambda _: FULL) as (jobs, ids):
        with pytest.raises(JobsUnavailable, match="no space left"):
            await jobs.submit("true", {}, FrozenMap())
    assert len(ids) == 1
