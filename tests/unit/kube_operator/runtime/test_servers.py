"""The clusters' own servers over HTTP, with a pretended Ray that asks for a token."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from rayfleet.kube_operator.rayjob.reconcile import JobFact
from rayfleet.kube_operator.rayservice.serve import ServeFact
from rayfleet.kube_operator.reconciling import Call, Probe
from rayfleet.kube_operator.runtime.servers import HttpServers, ServerError
from rayfleet.kube_operator.runtime.tokens import Tokens
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.wire.kube.objects import SECRET, Key

OURS = Key("team", "demo")


class Ray:
    """A dashboard that only answers to who shows its token."""

    def __init__(self) -> None:
        self.token = "right"
        self.job = "RUNNING"
        self.submitted: list[Any] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="no token")
        match request.method, request.path:
            case "GET", "/api/jobs/j1":
                return web.json_response({"status": self.job, "start_time": 5000, "message": "on its way"})
            case "GET", "/api/serve/applications/":
                return web.json_response({"applications": {"fruit": {"status": "RUNNING"}}, "target_capacity": 40.0})
            case "GET", "/api/jobs/odd":
                return web.Response(body=b"{", content_type="application/json")
            case "POST", "/api/jobs/":
                return await self.submit(request)
            case _:
                return web.Response(status=404)

    async def submit(self, request: web.Request) -> web.Response:
        if self.submitted:
            return web.Response(status=500, text="Job with submission_id j1 already exists.")
        self.submitted.append(await request.json())
        return web.json_response({})


def with_ray(test: Callable[[Ray, FakeKube, HttpServers, str], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        ray, kube, clock = Ray(), FakeKube(), asyncio.get_running_loop()
        server = web.Server(ray.answer)  # type: ignore[arg-type]  # it is asked for every path
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            return await test(ray, kube, HttpServers(Tokens(kube, clock.time)), f"http://127.0.0.1:{port}")
        finally:
            await runner.cleanup()

    return asyncio.run(main())


async def keep(kube: FakeKube, token: str) -> None:
    data = {"auth_token": base64.b64encode(token.encode()).decode()}
    if kube.things(SECRET):
        await kube.patch(SECRET, OURS, {"data": data})
    else:
        await kube.create(SECRET, {"metadata": {"name": OURS.name, "namespace": OURS.namespace}, "data": data})


def job(url: str, name: str = "j1", secret: Key | None = OURS) -> Probe:
    return Probe("job", "job_status", url, name, secret=secret)


def test_the_token_of_the_cluster_s_secret_is_shown() -> None:
    """KubeRay's scenarios 38, 42 and 60: what the operator asks and tells is let in."""

    async def test(ray: Ray, kube: FakeKube, servers: HttpServers, url: str) -> list[object]:
        await keep(kube, "right\n")
        seen = [await servers.ask(job(url)), await servers.ask(Probe("s", "serve_applications", url, secret=OURS))]
        await servers.call(Call("submit_job", url, {"submission_id": "j1"}, secret=OURS))
        return [*seen, *ray.submitted]

    assert with_ray(test) == [
        JobFact("RUNNING", "on its way", 5.0),
        ServeFact({"fruit": {"status": "RUNNING"}}, target_capacity=40.0),
        {"submission_id": "j1"},
    ]


def test_without_a_token_the_answer_says_why() -> None:
    async def test(_ray: Ray, kube: FakeKube, servers: HttpServers, url: str) -> list[str]:
        seen = [await servers.ask(job(url, secret=None)), await servers.ask(job(url))]
        await kube.create(SECRET, {"metadata": {"name": OURS.name, "namespace": OURS.namespace}, "data": {}})
        seen.append(await servers.ask(job(url)))
        return [fact.error for fact in seen if isinstance(fact, JobFact)]

    refused, missing, empty = with_ray(test)
    assert "says 401" in refused
    assert "team/demo cannot be read" in missing
    assert "has no auth_token" in empty


def test_a_token_that_is_refused_is_read_anew_and_one_that_works_is_not() -> None:
    async def test(ray: Ray, kube: FakeKube, servers: HttpServers, url: str) -> tuple[list[bool], int]:
        await keep(kube, "right")
        good = []
        for token in ("right", "right", "other", "other"):
            ray.token = token
            await keep(kube, token)
            fact = await servers.ask(job(url))
            good.append(isinstance(fact, JobFact) and not fact.error)
        return good, kube.calls["get secrets"]

    assert with_ray(test) == ([True, True, False, True], 2)


def test_a_job_that_is_there_already_was_submitted_and_other_refusals_are_told() -> None:
    async def test(ray: Ray, kube: FakeKube, servers: HttpServers, url: str) -> int:
        await keep(kube, "right")
        for _ in range(2):
            await servers.call(Call("submit_job", url, {"submission_id": "j1"}, secret=OURS))
        with pytest.raises(ServerError, match="404"):
            await servers.call(Call("stop_job", url, {"job_id": "j2"}, secret=OURS))
        return len(ray.submitted)

    assert with_ray(test) == 1


def test_half_an_answer_and_a_job_that_nobody_knows_are_answers_too() -> None:
    async def test(_ray: Ray, kube: FakeKube, servers: HttpServers, url: str) -> tuple[object, object]:
        await keep(kube, "right")
        return await servers.ask(job(url, "odd")), await servers.ask(job(url, "unknown"))

    odd, unknown = with_ray(test)
    assert isinstance(odd, JobFact)
    assert "does not answer" in odd.error
    assert unknown == JobFact()
