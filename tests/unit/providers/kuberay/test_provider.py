"""The provider over a RayCluster in an API server in memory; the operator's own reconcile function makes the pods."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rayfleet.contracts import Denied, Flaky, LaunchRequest, MachineState
from rayfleet.model import Market, OfferKey, Pool, Resources
from rayfleet.providers.kuberay import KubeRayProvider
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Forbidden, KubeError, Unavailable
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Kind, Object

CLUSTER = Key("team", "demo")


def pod(name: str, group: str = "small", status: Object | None = None) -> Object:
    labels = {"ray.io/cluster": "demo", "ray.io/node-type": "worker", "ray.io/group": group}
    return {"metadata": {"name": name, "namespace": "team", "labels": labels}, "spec": {}, "status": status or {}}


def request(count: int = 1, batch: str = "b1", group: str = "small") -> LaunchRequest:
    offer = OfferKey(group, "kuberay", market=Market.ON_DEMAND)
    return LaunchRequest(batch, offer, Pool(group, Resources()), tuple(f"c{n}" for n in range(count)))


def with_provider(test: Callable[[FakeKube, KubeRayProvider], Awaitable[Any]], *pods: Object, **group: Any) -> Any:
    async def main() -> Any:
        kube = FakeKube()
        spec = {"workerGroupSpecs": [{"groupName": "small", "replicas": 0, **group}]}
        await kube.create(RAY_CLUSTER, {"metadata": {"name": "demo", "namespace": "team"}, "spec": spec})
        for one in pods:
            await kube.create(POD, one)
        provider = KubeRayProvider(kube, CLUSTER)
        try:
            return await test(kube, provider)
        finally:
            await provider.close()

    return run_virtual(main())


def small(kube: FakeKube) -> Object:
    (cluster,) = kube.things(RAY_CLUSTER)
    group: Object = cluster["spec"]["workerGroupSpecs"][0]
    return group


def test_asking_again_with_the_same_token_asks_for_nothing_more() -> None:
    async def test(kube: FakeKube, provider: KubeRayProvider) -> list[int]:
        counts = []
        for batch in ("b1", "b1", "b2"):
            await provider.launch(request(2, batch))
            counts.append(small(kube)["replicas"])
        # A controller that was started again knows nothing but what the RayCluster tells.
        again = KubeRayProvider(kube, CLUSTER)
        await again.launch(request(2, "b1"))
        await again.close()
        return [*counts, small(kube)["replicas"]]

    assert with_provider(test) == [2, 2, 4, 4]


def test_pods_are_machines_with_what_holds_them_up() -> None:
    image = {"initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pods = (
        pod("a", status={"phase": "Running", "podIP": "10.244.0.9"}),
        pod("b", status={"phase": "Pending", "conditions": [condition]}),
        pod("c", status={"phase": "Pending", **image}),
        pod("d", status={"phase": "Failed", "reason": "Evicted"}),
        {**pod("head"), "metadata": {**pod("head")["metadata"], "labels": {"ray.io/cluster": "demo"}}},
    )

    async def test(_kube: FakeKube, provider: KubeRayProvider) -> list[tuple[str, MachineState, str]]:
        return [(one.id, one.state, one.message) for one in await provider.list()]

    assert with_provider(test, *pods) == [
        ("a", MachineState.RUNNING, ""),
        ("b", MachineState.STARTING, "Unschedulable: 0/3 nodes"),
        ("c", MachineState.FAILED, "ErrImagePull: not found"),
        ("d", MachineState.FAILED, "Evicted"),
    ]


def test_released_pods_are_named_and_counted() -> None:
    async def test(kube: FakeKube, provider: KubeRayProvider) -> tuple[int, list[str], int]:
        await provider.release(("a", "unknown"))
        await provider.release(("a",))
        group = small(kube)
        return group["replicas"], group["scaleStrategy"]["workersToDelete"], kube.calls["patch rayclusters"]

    running = {"phase": "Running"}
    pods = (pod("a", status=running), pod("b", status=running))
    assert with_provider(test, *pods, replicas=2) == (1, ["a"], 1)


def test_a_change_by_somebody_else_in_between_is_taken_in() -> None:
    """KubeRay's patches would have overwritten it: the number was read before it changed."""

    async def test(kube: FakeKube, provider: KubeRayProvider) -> int:
        interfered = False

        def interfere(verb: str, kind: Kind, _thing: Object) -> KubeError | None:
            nonlocal interfered
            if verb == "patch" and kind == RAY_CLUSTER and not interfered:
                interfered = True
                cluster = kube._things[RAY_CLUSTER, CLUSTER]  # noqa: SLF001 - between our reading and our writing
                cluster["spec"]["workerGroupSpecs"][0]["replicas"] = 5
            return None

        await provider.list()
        kube.refuse = interfere
        await provider.launch(request(1))
        replicas: int = small(kube)["replicas"]
        return replicas

    assert with_provider(test) == 6


@pytest.mark.parametrize(
    ("error", "expected"), [(Forbidden("no"), Denied), (Unavailable("no route"), Flaky), (KubeError("odd"), Flaky)]
)
def test_refusals_are_in_the_words_of_the_contract(error: KubeError, expected: type[Exception]) -> None:
    async def test(kube: FakeKube, provider: KubeRayProvider) -> None:
        await provider.list()
        kube.refuse = lambda verb, kind, _thing: error if (verb, kind) == ("get", RAY_CLUSTER) else None
        with pytest.raises(expected):
            await provider.launch(request())

    with_provider(test)


def test_a_group_that_is_no_more_is_denied() -> None:
    async def test(_kube: FakeKube, provider: KubeRayProvider) -> None:
        with pytest.raises(Denied, match="other"):
            await provider.launch(request(group="other"))

    with_provider(test)


def test_nothing_is_concluded_before_the_pods_are_known() -> None:
    async def test(kube: FakeKube, provider: KubeRayProvider) -> None:
        kube.refuse = lambda verb, kind, _thing: Unavailable("down") if (verb, kind) == ("list", POD) else None
        with pytest.raises(Flaky, match="not told yet"):
            await provider.list()
        kube.refuse = lambda _verb, _kind, _thing: None
        await asyncio.sleep(60)
        assert await provider.list() == ()

    with_provider(test)
