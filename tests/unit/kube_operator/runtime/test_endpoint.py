"""What the operator answers to Prometheus and to its kubelet."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from tests.simulation.kubernetes import Silent
from tests.unit.kube_operator.raycluster.clusters import raycluster
from tests.unit.reports.examples import REPORT
from tests.unit.reports.metrics.seen import scraped

from rayfleet.kube_operator.runtime.endpoint import Address, CannotListen, answering
from rayfleet.kube_operator.runtime.operator import Edges, Operator
from rayfleet.kube_operator.runtime.tally import Tally
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.reports.metrics.collecting import together
from rayfleet.reports.metrics.sink import About, Metrics
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.errors import Invalid, KubeError
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Kind, Object

Asking = Callable[[str], Awaitable[tuple[int, str]]]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", Address(None, 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:9", Address("::1", 9)),
        ("localhost:80", Address("localhost", 80)),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["8080", "host:", ":http", ":70000", "host:-1", ""])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        Address.parse(text)


def with_endpoint(tally: Tally, ready: Callable[[], bool], ask: Callable[[Asking], Awaitable[None]]) -> None:
    async def main() -> None:
        async with (
            answering(Address("127.0.0.1", 0), tally.registry, ready) as port,
            aiohttp.ClientSession() as session,
        ):

            async def asking(path: str) -> tuple[int, str]:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status, await answer.text()

            await ask(asking)

    asyncio.run(main())


def test_a_port_that_is_taken_is_told() -> None:
    async def main() -> None:
        tally = Tally()
        async with answering(Address("127.0.0.1", 0), tally.registry, lambda: True) as port:
            with pytest.raises(CannotListen, match=f"cannot listen at 127.0.0.1:{port}: .*address already in use"):
                async with answering(Address("127.0.0.1", port), tally.registry, lambda: True):
                    pass

    asyncio.run(main())


def test_it_is_ready_when_everything_that_exists_is_known() -> None:
    known: list[bool] = []

    async def ask(asking: Asking) -> None:
        assert await asking("/healthz") == (200, "ok\n")
        assert (await asking("/readyz"))[0] == 503
        known.append(True)
        assert await asking("/readyz") == (200, "ok\n")

    with_endpoint(Tally(), lambda: bool(known), ask)


def test_prometheus_reads_resources_only_of_the_operator_that_leads() -> None:
    tally, things = Tally(), FakeKube()

    async def ask(asking: Asking) -> None:
        assert "rayfleet_operator_leading 0.0" in (await asking("/metrics"))[1]
        operator = Operator(Edges(things, OperatorSettings(), "one", lambda: 0.0, Silent()), tally=tally)
        operator.caches.stores[RAY_CLUSTER].put(raycluster())
        with tally.at_work(operator.caches.stores, lambda: 7):
            _, text = await asking("/metrics")
            assert "rayfleet_operator_leading 1.0" in text
            assert "rayfleet_operator_queue_length 7.0" in text
            assert "kuberay_cluster_info{" in text
        _, text = await asking("/metrics")
        assert "rayfleet_operator_leading 0.0" in text
        assert "kuberay_cluster_info" not in text

    with_endpoint(tally, lambda: True, ask)


def test_figures_of_clusters_come_with_the_operators_own_in_one_answer() -> None:
    async def main() -> str:
        many = [Metrics(About(name, "team", "kuberay", "1"), lambda: "") for name in "ab"]
        for each in many:
            await each.write(REPORT)
        tally = Tally()
        clusters = answering(
            Address("127.0.0.1", 0), tally.registry, lambda: True, lambda: together(one.figures() for one in many)
        )
        async with clusters as port, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/metrics"
            async with session.get(url, headers={"Accept": "application/openmetrics-text"}) as answer:
                assert (await answer.text()).endswith("# EOF\n")
            async with session.get(url) as answer:
                return await answer.text()

    text = asyncio.run(main())
    assert text.count("# TYPE rayfleet_info gauge") == 1
    found = scraped(text)
    assert [one["common"]["RayClusterName"] for one in found["rayfleet_cost_usd_per_hour"]] == ["a", "b"]
    assert len(found["process_resident_memory_bytes"]) == 1, "one process scales them all"
    assert found["rayfleet_operator_leading"][0]["value"] == 0


def test_reconciles_errors_and_refusals_are_counted() -> None:
    def refuse(verb: str, kind: Kind, _thing: Object) -> KubeError | None:
        return Invalid("exceeded quota") if (verb, kind) == ("create", POD) else None

    tally, kube = Tally(), FakeKube(refuse=refuse)

    async def main() -> Any:
        edges = Edges(kube, OperatorSettings(), "one", VirtualClock().now, Silent())
        operator = Operator(edges, tally=tally)
        task = asyncio.create_task(operator.run())
        await kube.create(RAY_CLUSTER, raycluster())
        await asyncio.sleep(5)
        assert operator.ready
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main())
    value = tally.registry.get_sample_value
    assert (value("rayfleet_operator_reconcile_seconds_count", {"kind": "RayCluster"}) or 0) >= 2
    refused = {"kind": "RayCluster", "reason": "FailedCreateHeadPod"}
    assert value("rayfleet_operator_refused_writes_total", refused) == kube.calls["create pods"]


def test_what_breaks_a_reconcile_is_counted_and_goes_on() -> None:
    tally = Tally()
    with pytest.raises(ZeroDivisionError), tally.reconciling(RAY_CLUSTER):
        _ = 1 / 0
    labels = {"kind": "RayCluster", "error": "ZeroDivisionError"}
    assert tally.registry.get_sample_value("rayfleet_operator_reconcile_errors_total", labels) == 1
