"""Watches hold their connections for minutes: calls must not wait for one, however many namespaces are followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
from aiohttp import web
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User

from rayfleet.wire.kube.client import KubeClient
from rayfleet.wire.kube.kube import Change
from rayfleet.wire.kube.objects import LEASE, POD, Key

WATCHES = 160
"""Ten namespaces of an operator's."""


@asynccontextmanager
async def api_server() -> AsyncIterator[str]:
    """Answer watches with a bookmark and then with nothing, for as long as this lasts; give the address."""
    over = asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}
        await answer.write(msgspec.json.encode(bookmark) + b"\n")
        await over.wait()
        return answer

    async def lease(_request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "operator"}})

    app = web.Application()
    app.router.add_get("/api/v1/pods", watch)
    app.router.add_get("/apis/coordination.k8s.io/v1/namespaces/system/leases/operator", lease)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        over.set()
        await runner.cleanup()


def test_a_lease_is_renewed_beside_any_number_of_watches() -> None:
    async def follow(kube: KubeClient, begun: asyncio.Queue[Change]) -> None:
        async with aclosing(kube.watch(POD, "1")) as seen:  # type: ignore[type-var]  # it is a generator
            async for one in seen:
                begun.put_nowait(one.change)

    async def main() -> str:
        async with api_server() as url:
            config = KubeConfig.from_one(cluster=Cluster(server=url), user=User(token="word")).get()
            assert config is not None
            kube, begun = KubeClient(config), asyncio.Queue[Change]()
            async with asyncio.TaskGroup() as tasks:
                following = [tasks.create_task(follow(kube, begun)) for _ in range(WATCHES)]
                for _ in following:
                    assert await begun.get() is Change.BOOKMARK
                found = await kube.get(LEASE, Key("system", "operator"))
                for task in following:
                    task.cancel()
            await kube.close()
            return str(found["metadata"]["name"])

    assert asyncio.run(main()) == "operator"
