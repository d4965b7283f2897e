"""The autoscaler beside a head: what it waits for before it begins."""

import asyncio

from tests.unit.kube_operator.raycluster.clusters import group, raycluster

from rayfleet.kube_operator.autoscaler import Head, first_spec
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Forbidden
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key

DEMO = Key("team", "demo")


def test_it_waits_for_its_rights_and_its_cluster_instead_of_ending() -> None:
    """A container that ends in a pod with `restartPolicy: Never` is never started again."""

    async def main() -> tuple[bool, int]:
        kube = FakeKube()
        kube.refuse = lambda _verb, _kind, _thing: Forbidden("no role yet")
        reading = asyncio.create_task(first_spec(kube, DEMO, asyncio.Event()))
        await asyncio.sleep(30)
        early = reading.done()
        kube.refuse = lambda _verb, _kind, _thing: None
        broken = raycluster({**group(), "rayStartParams": {"resources": "no JSON"}})
        await kube.create(RAY_CLUSTER, broken)
        await asyncio.sleep(30)
        early = early or reading.done()
        await kube.patch(RAY_CLUSTER, DEMO, {"spec": {"workerGroupSpecs": [group("a"), group("b")]}})
        spec = await reading
        assert spec is not None
        return early, len(spec.worker_group_specs)

    assert run_virtual(main()) == (False, 2)


def test_told_to_stop_it_stops_waiting() -> None:
    async def main() -> object:
        stop = asyncio.Event()
        reading = asyncio.create_task(first_spec(FakeKube(), DEMO, stop))
        await asyncio.sleep(1)
        stop.set()
        return await reading

    assert run_virtual(main()) is None


def test_the_port_is_the_container_s_or_else_the_cluster_s() -> None:
    assert Head.beside({"RAY_PORT": "6400"}).gcs_port == 6400
    assert Head.beside({}).gcs_port == 0
