"""RayServices that change under their users' requests: nobody is refused, whatever happens to the upgrade."""

import asyncio
from itertools import pairwise

import pytest
from tests.simulation.services import SHOP, Shop, cluster_config, in_shop, incremental

from rayfleet.kube_operator.rayservice.initializing import TIMEOUT_ANNOTATION
from rayfleet.wire.kube.objects import (
    GATEWAY,
    HTTP_ROUTE,
    POD,
    RAY_CLUSTER,
    RAY_SERVICE,
    SERVICE,
    key_of,
)

A, B, C = "2.60.0", "2.61.0", "2.62.0"


def moves(shop: Shop) -> list[tuple[float, int]]:
    """Return when the pending cluster got how much of the requests, by the route."""
    seen = [(look.at, look.route.get(look.pending, 0)) for look in shop.looks if look.active and look.pending]
    return [seen[0], *(after for before, after in pairwise(seen) if before[1] != after[1])]


def check_shares(shop: Shop, surge: int) -> None:
    """Requests always add up, replicas never exceed what they may."""
    for look in shop.looks:
        if look.active and look.pending:
            (capacity, traffic), (other_capacity, other_traffic) = look.shares[look.active], look.shares[look.pending]
            assert traffic + other_traffic == 100
            assert capacity + other_capacity <= 100 + surge
            assert sum(look.route.values()) in (0, 100)


@pytest.mark.parametrize(("surge", "step", "interval_s"), [(100, 100, 1), (50, 25, 10), (10, 5, 30)])
def test_requests_go_over_by_steps_and_none_is_lost(surge: int, step: int, interval_s: int) -> None:
    """KubeRay's scenario 61: at once, in haste, with care."""

    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental(surge, step, interval_s))
        first = await shop.serves()
        assert shop.route() == {first: 100}
        await shop.change(B)
        second = await shop.serves(first)
        assert shop.condition("UpgradeInProgress") == ("False", "NoPendingCluster")
        assert shop.shares() == {second: (100, 100)}
        assert first in shop.clusters()  # for a while: KubeRay's scenario 53
        await asyncio.sleep(70)
        assert (shop.clusters(), shop.route()) == ([second], {second: 100})

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, surge)
    went = moves(shop)
    assert [share for _, share in went] == list(range(0, 101, step))
    assert all(later - at >= interval_s for (at, _), (later, _) in pairwise(went[1:]))
    for which in (0, 1):
        shares = [look.shares[look.pending][which] for look in shop.looks if look.active and look.pending]
        assert shares == sorted(shares)


@pytest.mark.parametrize(("share", "crash"), [(0, False), (20, False), (90, False), (0, True), (50, True)])
def test_taken_back_half_way_requests_return_by_steps(share: int, crash: bool) -> None:
    """KubeRay's scenario 61: A-B-A, at several stages, also when the head of B crashes meanwhile."""

    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.names()[1] and shop.traffic() == share)
        second = shop.names()[1]
        await shop.change(A)
        if share:
            await shop.until(lambda: shop.condition("RollbackInProgress") == ("True", "DesiredClusterSpecChanged"))
        if crash:
            await crash_head(shop, second)
        await shop.serves(second)
        assert shop.names() == (first, "")
        assert shop.condition("RollbackInProgress")[0] != "True"
        assert (shop.shares(), shop.route()) == ({first: (100, 100)}, {first: 100})
        await asyncio.sleep(70)
        assert shop.clusters() == [first]

    shop = in_shop(act)
    check_shares(shop, 20)
    assert shop.failed == [] if not crash else all("-serve-svc" in one for one in shop.failed)
    assert max(traffic for _, traffic in moves(shop)) == share


async def crash_head(shop: Shop, cluster: str) -> None:
    """Have all pods of a cluster end: without its head, no worker lives long."""
    for pod in shop.stage.kube.things(POD):
        if pod["metadata"]["labels"]["ray.io/cluster"] == cluster:
            shop.stage.kube.set_status(POD, key_of(pod), {**pod["status"], "phase": "Failed"})


def test_back_and_forth_the_cluster_on_its_way_is_kept() -> None:
    """KubeRay's scenario 61: A-B-A-B."""

    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.traffic() == 50)
        second = shop.names()[1]
        await shop.change(A)
        await shop.until(lambda: shop.traffic() == 30)
        await shop.change(B)
        await shop.until(lambda: shop.condition("RollbackInProgress") == ("False", "NoRollback"))
        assert await shop.serves(first) == second

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, 20)


def test_a_third_version_waits_until_everything_is_back() -> None:
    """KubeRay's scenario 61: A-B-A-C, and A-B-C."""

    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.traffic() == 30)
        second = shop.names()[1]
        await shop.change(A)
        await shop.until(lambda: shop.traffic() == 20)
        await shop.change(C)
        await shop.until(lambda: shop.names()[1] not in ("", second))
        assert shop.shares()[first] == (100, 100)
        third = shop.names()[1]
        assert await shop.serves(first) == third

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, 20)


def test_a_cluster_that_crashes_on_its_way_loses_its_requests_at_once_and_comes_again() -> None:
    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.traffic() == 40)
        second = shop.names()[1]
        await crash_head(shop, second)
        crashed_at = asyncio.get_running_loop().time()
        await shop.until(lambda: shop.traffic() == 0, within_s=3)
        assert shop.condition("RollbackInProgress") == ("True", "PendingClusterLost")
        shop.failed = [one for one in shop.failed if float(one.partition(":")[0]) > crashed_at + 3]
        assert await shop.serves(first) == second  # the same cluster, with another head

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, 20)


@pytest.mark.parametrize("steps", [incremental(), {"type": "NewCluster"}], ids=["incremental", "at once"])
def test_suspended_half_way_everything_goes(steps: dict[str, object]) -> None:
    """KubeRay's scenarios 59 and 61: both clusters are deleted, and what led to them."""

    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=steps)
        first = await shop.serves()
        await shop.change(B)
        half_way = 20 if len(steps) > 1 else 0
        await shop.until(lambda: len(shop.clusters()) == 2 and shop.traffic() >= half_way)
        await shop.change(suspend=True)
        await shop.until(lambda: shop.condition("Suspended")[0] == "True")
        kinds = (RAY_CLUSTER, POD, SERVICE, HTTP_ROUTE, GATEWAY)
        await asyncio.sleep(10)
        assert [len(shop.stage.kube.things(kind)) for kind in kinds] == [0] * 5
        assert (shop.names(), shop.shares()) == (("", ""), {})
        await shop.change(suspend=False)
        await shop.serves(first)
        assert shop.condition("Suspended") == ("False", "RayServiceResumed")

    in_shop(act)


def test_without_the_gateway_api_it_serves_and_says_what_an_upgrade_needs() -> None:
    async def act(shop: Shop) -> None:
        shop.has_gateway_api = False
        await shop.stage.start()
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await asyncio.sleep(300)
        assert shop.condition("GatewayReady") == ("False", "GatewayApiMissing")
        assert "install its resources (Gateway and HTTPRoute of" in shop.message("GatewayReady")
        assert "GatewayApiMissing" in shop.events()
        assert shop.names()[0] == first
        assert first in shop.clusters()
        written = shop.stage.kube.calls["patch rayservices"]
        await asyncio.sleep(900)
        assert shop.stage.kube.calls["patch rayservices"] <= written + 2  # it does not go on about it
        shop.has_gateway_api = True
        await shop.serves(first)
        assert shop.condition("GatewayReady") == ("True", "Routed")

    assert in_shop(act).failed == []


@pytest.mark.parametrize("every_s", [3, 7, 41])
def test_an_operator_that_is_killed_again_and_again_brings_it_to_its_end(every_s: int) -> None:
    """KubeRay's scenario 62, too: the next operator goes on where the one before it was."""

    async def act(shop: Shop) -> None:
        async def kill() -> None:
            while True:
                await asyncio.sleep(every_s)
                await shop.stage.start()

        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        killing = asyncio.create_task(kill())
        await shop.change(B)
        await shop.until(lambda: shop.names()[0] != first, within_s=3000)
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await shop.serves(first)

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, 20)
    went = moves(shop)
    assert [share for _, share in went] == sorted(share for _, share in went)
    assert all(later - at >= 20 for (at, _), (later, _) in pairwise(went[1:]))


def test_another_strategy_half_way_ends_the_steps_and_the_gateway() -> None:
    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        first = await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.traffic() == 30)
        second = shop.names()[1]
        await shop.change(upgradeStrategy={"type": "NewCluster"})
        assert await shop.serves(first) == second
        assert [len(shop.stage.kube.things(kind)) for kind in (HTTP_ROUTE, GATEWAY)] == [0, 0]
        assert shop.serve.told[second]["target_capacity"] == 100
        assert shop.condition("GatewayReady") == ("", "")

    assert in_shop(act).failed == []


def test_a_service_that_serves_already_may_go_over_by_steps_next_time() -> None:
    """Its cluster has no Service of its own yet: that is made, and requests are led there."""

    async def act(shop: Shop) -> None:
        await shop.apply(A)
        first = await shop.serves()
        await shop.change(upgradeStrategy=incremental())
        await shop.until(lambda: shop.condition("GatewayReady") == ("True", "Routed"))
        assert shop.route() == {first: 100}
        await shop.change(B)
        await shop.serves(first)

    shop = in_shop(act)
    assert shop.failed == []
    check_shares(shop, 20)


def test_deleted_half_way_it_leaves_nothing() -> None:
    async def act(shop: Shop) -> None:
        await shop.apply(A, upgradeStrategy=incremental())
        await shop.serves()
        await shop.change(B)
        await shop.until(lambda: shop.traffic() == 30)
        await shop.stage.kube.delete(RAY_SERVICE, SHOP)
        await asyncio.sleep(30)
        kinds = (RAY_CLUSTER, POD, SERVICE, HTTP_ROUTE, GATEWAY)
        assert [len(shop.stage.kube.things(kind)) for kind in kinds] == [0] * 5

    in_shop(act)


def test_the_next_cluster_begins_small() -> None:
    """Its autoscaler adds what the replicas of its share need."""

    async def act(shop: Shop) -> None:
        big = cluster_config(A)
        big["workerGroupSpecs"][0] |= {"replicas": 8, "minReplicas": 1}
        await shop.apply(A, upgradeStrategy=incremental(), rayClusterConfig=big)
        first = await shop.serves()
        newer = {**big, "rayVersion": B}
        await shop.change(rayClusterConfig=newer)
        await shop.until(lambda: shop.traffic() == 10)
        counts = {
            key_of(one).name: one["spec"]["workerGroupSpecs"][0]["replicas"]
            for one in shop.stage.kube.things(RAY_CLUSTER)
        }
        assert counts == {first: 8, shop.names()[1]: 1}

    in_shop(act)


class TestAtOnce:
    """Upgrades of type NewCluster."""

    def test_nobody_is_refused_and_the_old_cluster_stays_for_a_while(self) -> None:
        """KubeRay's scenarios 51 and 53."""

        async def act(shop: Shop) -> None:
            await shop.apply(A, rayClusterDeletionDelaySeconds=120)
            first = await shop.serves()
            await shop.change(B)
            second = await shop.serves(first)
            await asyncio.sleep(115)
            assert shop.clusters() == sorted([first, second])
            await asyncio.sleep(15)
            assert shop.clusters() == [second]

        assert in_shop(act).failed == []

    def test_an_old_head_whose_proxy_breaks_meanwhile_gets_no_requests(self) -> None:
        """KubeRay's scenario 57: nobody is left to answer until the next cluster takes over."""

        async def act(shop: Shop) -> None:
            alone = cluster_config(A)
            alone["workerGroupSpecs"] = []
            await shop.apply(A, rayClusterConfig=alone)
            first = await shop.serves()
            shop.stage.boot_s = 60
            await shop.change(rayClusterConfig={**alone, "rayVersion": B})
            await shop.until(lambda: len(shop.clusters()) == 2)
            head = shop.stage.head(first)
            assert head is not None
            shop.serve.silent.add(head["status"]["podIP"])
            await shop.until(lambda: shop.condition("Ready") == ("False", "ZeroServeEndpoints"), within_s=15)
            (before,) = (pod for pod in shop.stage.kube.things(POD) if key_of(pod) == key_of(head))
            assert before["metadata"]["labels"]["ray.io/serve"] == "false"
            await shop.serves(first)

        in_shop(act)

    def test_a_head_that_is_deleted_is_told_again_what_to_run(self) -> None:
        """KubeRay's scenario 56: without fault tolerance, the next head knows nothing."""

        async def act(shop: Shop) -> None:
            await shop.apply(A)
            first = await shop.serves()
            head = shop.stage.head(first)
            assert head is not None
            await shop.stage.kube.delete(POD, key_of(head), grace_s=0)
            await shop.until(lambda: shop.stage.head(first) is not None)
            await shop.until(lambda: bool(shop.serve.state(first).applications))
            other = shop.stage.head(first)
            assert other is not None
            assert key_of(other) != key_of(head)
            assert await shop.serves() == first

        in_shop(act)

    def test_the_users_name_for_the_head_leads_to_whichever_cluster_serves(self) -> None:
        async def act(shop: Shop) -> None:
            named = cluster_config(A)
            named["headGroupSpec"] |= {"headService": {"metadata": {"name": "front"}}}
            await shop.apply(A, rayClusterConfig=named)
            first = await shop.serves()
            assert led_to(shop) == {"front": first, f"{first}-head-svc": first}
            await shop.change(rayClusterConfig={**named, "rayVersion": B})
            second = await shop.serves(first)
            await asyncio.sleep(70)
            assert led_to(shop) == {"front": second, f"{second}-head-svc": second}

        assert in_shop(act).failed == []


def led_to(shop: Shop) -> dict[str, str]:
    """Return to which cluster's head each Service of a head leads."""
    services = {key_of(one).name: one["spec"]["selector"] for one in shop.stage.kube.things(SERVICE)}
    return {name: to["ray.io/cluster"] for name, to in services.items() if to.get("ray.io/node-type") == "head"}


class TestInitializing:
    """KubeRay's scenario 58."""

    def test_in_time_nothing_happens(self) -> None:
        async def act(shop: Shop) -> None:
            await self.apply(shop, "2m")
            first = await shop.serves()
            await asyncio.sleep(600)
            assert shop.names() == (first, "")

        in_shop(act)

    def test_too_late_it_is_given_up_and_a_good_edit_does_not_bring_it_back(self) -> None:
        async def act(shop: Shop) -> None:
            shop.stage.boot_s = 10_000
            await self.apply(shop, "90")
            await asyncio.sleep(80)
            assert shop.condition("Ready") == ("False", "Initializing")
            await asyncio.sleep(30)
            assert shop.condition("Ready") == ("False", "InitializingTimeout")
            assert "InitializingTimeout" in shop.events()
            shop.stage.boot_s = 0
            await shop.change(B)
            await asyncio.sleep(120)
            assert shop.condition("Ready") == ("False", "InitializingTimeout")
            assert (shop.clusters(), shop.names()) == ([], ("", ""))
            await shop.change(suspend=True)
            await shop.until(lambda: shop.condition("Suspended")[0] == "True")
            await asyncio.sleep(600)  # the time begins anew
            await shop.change(suspend=False)
            await shop.serves()

        in_shop(act)

    async def apply(self, shop: Shop, timeout: str) -> None:
        await shop.stage.kube.create(
            RAY_SERVICE,
            {
                "metadata": {"name": "shop", "namespace": "team", "annotations": {TIMEOUT_ANNOTATION: timeout}},
                "spec": {"serveConfigV2": "applications: [{name: fruit}]", "rayClusterConfig": cluster_config(A)},
            },
        )
