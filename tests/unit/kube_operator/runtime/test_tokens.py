"""The operator shows a cluster's token to that cluster's head, and to nobody else."""

import asyncio
import base64
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.kube_operator.raycluster.clusters import SETTINGS, raycluster

from rayfleet.kube_operator.rayjob.reconcile import JobFact
from rayfleet.kube_operator.reconciling import Probe
from rayfleet.kube_operator.runtime.servers import HttpServers
from rayfleet.kube_operator.runtime.tokens import Tokens
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.wire.kube.errors import NotFound
from rayfleet.wire.kube.objects import SECRET

HEAD = "http://demo-head-svc.team.svc.cluster.local:8265"


def shown_to(url: str, *, named: str = "demo", namespace: str = "team", **options: Any) -> str:
    """Return what is shown to a URL where one cluster has these options and there is a Secret `named`."""

    async def main() -> str:
        kube = FakeKube()
        data = {"auth_token": base64.b64encode(b"guess me\n").decode()}
        await kube.create(SECRET, {"metadata": {"name": named, "namespace": namespace}, "data": data})
        clusters = (raycluster(authOptions=options or None),)
        tokens = Tokens(kube, lambda of: clusters if of == "team" else (), SETTINGS)
        return await tokens.of(url)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "options", "shown"),
    [
        (HEAD, {"mode": "token"}, "guess me"),
        (f"{HEAD}/api/jobs/", {"mode": "token"}, "guess me"),
        (HEAD, {}, ""),
        (HEAD, {"mode": "disabled"}, ""),
        (HEAD, {"mode": "token", "enableK8sTokenAuth": True}, ""),
        ("http://other-head-svc.team.svc.cluster.local:8265", {"mode": "token"}, ""),
        ("http://demo-head-svc.elsewhere.svc.cluster.local:8265", {"mode": "token"}, ""),
        ("http://demo-head-svc.team.svc.example.com:8265", {"mode": "token"}, ""),
        ("http://10.0.0.1:8000/-/healthz", {"mode": "token"}, ""),
    ],
)
def test_only_the_clusters_head_is_shown_it(url: str, options: dict[str, Any], shown: str) -> None:
    assert shown_to(url, **options) == shown


def test_the_users_own_secret_is_read() -> None:
    assert shown_to(HEAD, named="mine", mode="token", secretName="mine") == "guess me"
    with pytest.raises(NotFound):
        shown_to(HEAD, named="other", mode="token", secretName="mine")


def ask(token: Any) -> object:
    """Return what a job server answers that wants "guess me"."""

    async def job(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer guess me":
            return web.Response(status=401, text="who are you?")
        return web.json_response({"status": "RUNNING"})

    async def main() -> object:
        app = web.Application()
        app.router.add_get("/api/jobs/one", job)
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            return await HttpServers(token).ask(Probe("job_status", "job_status", url, "one"))

    return asyncio.run(main())


def test_a_request_carries_the_token() -> None:
    async def known(_url: str) -> str:
        return "guess me"

    assert ask(known) == JobFact(status="RUNNING")


def test_without_it_the_answer_says_why() -> None:
    async def none(_url: str) -> str:
        return ""

    async def lost(_url: str) -> str:
        raise NotFound('secrets "mine" not found', "NotFound")

    for token, said in ((none, "401: who are you?"), (lost, 'its Secret cannot be read: secrets "mine" not found')):
        fact = ask(token)
        assert isinstance(fact, JobFact)
        assert said in fact.error
