"""The provider over a RayCluster in an API server in memory, with an operator that makes as many pods as are wanted."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rayfleet.contracts import Denied, Flaky, LaunchRequest, MachineState, QuotaReached
from rayfleet.model import Market, OfferKey, Pool, Resources, Trouble
from rayfleet.providers.kuberay import KubeRayProvider
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Forbidden, KubeError, QuotaExceeded, Unavailable
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER, Key, Kind, Object, labels_of

CLUSTER = Key("team", "demo")


def pod(name: str, group: str = "small", status: Object | None = None) -> Object:
    labels = {"ray.io/cluster": "demo", "ray.io/node-type": "worker", "ray.io/group": group}
    return {"metadata": {"name": name, "namespace": "team", "labels": labels}, "spec": {}, "status": status or {}}


def request(count: int = 1, batch: str = "b1", group: str = "small") -> LaunchRequest:
    offer = OfferKey(group, "kuberay", market=Market.ON_DEMAND)
    return LaunchRequest(batch, offer, Pool(group, Resources()), tuple(f"c{n}" for n in range(count)))


async def operate(kube: FakeKube) -> None:
    """Make pods, as long as there are fewer of a group than are wanted."""
    while True:
        await asyncio.sleep(0.1)
        for cluster in kube.things(RAY_CLUSTER):
            for group in cluster["spec"]["workerGroupSpecs"]:
                there = sum(labels_of(one)["ray.io/group"] == group["groupName"] for one in kube.things(POD))
                for number in range(there, group["replicas"]):
                    with contextlib.suppress(QuotaExceeded):
                        await kube.create(POD, pod(f"new-{group['groupName']}-{number}", group["groupName"]))


def with_provider(test: Callable[[FakeKube, KubeRayProvider], Awaitable[Any]], *pods: Object, **group: Any) -> Any:
    async def main() -> Any:
        kube = FakeKube()
        spec = {"workerGroupSpecs": [{"groupName": "small", "replicas": 0, **group}]}
        await kube.create(RAY_CLUSTER, {"metadata": {"name": "demo", "namespace": "team"}, "spec": spec})
        for one in pods:
            await kube.create(POD, one)
        provider = KubeRayProvider(kube, CLUSTER)
        operator = asyncio.create_task(operate(kube))
        try:
            return await test(kube, provider)
        finally:
            operator.cancel()
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

    async def test(
        _kube: FakeKube, provider: KubeRayProvider
    ) -> list[list[tuple[str, MachineState, str, Trouble | None]]]:
        seen = []
        for wait_s in (0, 70, 300):
            await asyncio.sleep(wait_s)
            seen.append([(one.id, one.state, one.message, one.trouble) for one in await provider.list()])
        return seen

    first, later, last = with_provider(test, *pods)
    assert first == [
        ("a", MachineState.RUNNING, "", None),
        ("b", MachineState.STARTING, "Unschedulable: 0/3 nodes", None),
        ("c", MachineState.STARTING, "ErrImagePull: not found", None),
        ("d", MachineState.FAILED, "Evicted", None),
    ]
    assert later[1:3] == [first[1], ("c", MachineState.FAILED, "ErrImagePull: not found", Trouble.DENIED)]
    assert last[1] == ("b", MachineState.FAILED, "Unschedulable: 0/3 nodes", Trouble.OUT_OF_STOCK)


def test_a_pod_is_waited_for_as_long_as_machines_come_or_go() -> None:
    def condition(nodes: int) -> Object:
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": f"0/{nodes} nodes"}
        return {"phase": "Pending", "conditions": [told]}

    async def test(kube: FakeKube, provider: KubeRayProvider) -> list[MachineState]:
        seen = []
        for nodes in range(3, 8):
            kube.set_status(POD, Key("team", "a"), condition(nodes))
            for _ in range(2):
                await asyncio.sleep(100)
                seen += [one.state for one in await provider.list()]
        return seen

    assert set(with_provider(test, pod("a"))) == {MachineState.STARTING}


def quota(group: str) -> Object:
    message = f'pods "demo-{group}-worker-x" is forbidden: exceeded quota: team'
    return {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "x", "message": message}]}


@pytest.mark.parametrize(("group", "error", "at_most_s"), [("small", QuotaReached, 5), ("other", Flaky, 35)])
def test_pods_that_may_not_be_made_are_asked_for_no_longer(
    group: str, error: type[Exception], at_most_s: float
) -> None:
    """Else they would come when the quota has room, and nobody waits for them any more."""

    async def test(kube: FakeKube, provider: KubeRayProvider) -> tuple[float, int, int]:
        full = QuotaExceeded("exceeded quota")
        kube.refuse = lambda verb, kind, _thing: full if (verb, kind) == ("create", POD) else None
        kube.set_status(RAY_CLUSTER, CLUSTER, quota(group))
        began = asyncio.get_running_loop().time()
        with pytest.raises(error):
            await provider.launch(request(3))
        took_s, refused = asyncio.get_running_loop().time() - began, small(kube)["replicas"]
        kube.refuse = lambda _verb, _kind, _thing: None
        kube.set_status(RAY_CLUSTER, CLUSTER, {})
        await provider.launch(request(3))
        return took_s, refused, small(kube)["replicas"]

    took_s, refused, again = with_provider(test, pod("a"), replicas=1)
    assert (refused, again) == (1, 4)
    assert took_s <= at_most_s


def test_a_server_that_does_not_tell_any_more_is_not_believed() -> None:
    async def test(kube: FakeKube, provider: KubeRayProvider) -> None:
        assert len(await provider.list()) == 1
        await kube.create(POD, pod("b"))
        kube.refuse = lambda _verb, _kind, _thing: Unavailable("down")
        kube.forget_history()
        await asyncio.sleep(1)
        with pytest.raises(Flaky, match="does not tell"):
            await provider.list()
        kube.refuse = lambda _verb, _kind, _thing: None
        await asyncio.sleep(60)
        assert len(await provider.list()) == 2

    with_provider(test, pod("a"))


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
