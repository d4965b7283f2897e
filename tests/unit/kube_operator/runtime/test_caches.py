"""What is kept of pods that have gone."""

import asyncio

from tests.unit.kube_operator.raycluster.clusters import created, group, look, raycluster

from rayfleet.kube_operator.runtime.caches import Caches
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, key_of, uid_of


def test_departures_are_counted_as_long_as_there_is_a_cluster_and_forgotten_with_it() -> None:
    async def main() -> tuple[int, int]:
        kube = FakeKube(pods_linger=True)
        caches = Caches(kube, (None,), lambda _subject, _wait_s: None)
        task = asyncio.create_task(caches.run())
        cluster = await kube.create(RAY_CLUSTER, raycluster(group(replicas=2)))
        await asyncio.sleep(1)
        pods = [key_of(await kube.create(POD, pod)) for pod in created(look(cluster))]
        await kube.delete(POD, pods[0])
        await asyncio.sleep(1)
        during = sum(caches.departed(uid_of(cluster)).values())
        await kube.delete(RAY_CLUSTER, Key("team", "demo"))
        await asyncio.sleep(1)
        for pod in kube.things(POD):
            kube.finish(key_of(pod))
        await asyncio.sleep(1)
        task.cancel()
        return during, len(caches._departed)  # noqa: SLF001 - what is kept for ever

    assert run_virtual(main()) == (1, 0)
