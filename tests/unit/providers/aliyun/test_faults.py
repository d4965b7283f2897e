"""What the cloud refuses, loses and takes away, and what becomes of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.providers.aliyun.cloud import CLUSTER, POOL, Cloud, cloud, request

from rayfleet.contracts import Denied, Flaky, MachineState, OutOfStock, QuotaReached
from rayfleet.model import Market, OfferKey, StandbyMode
from rayfleet.providers.aliyun.client import INSTALL, NO_KEYS, EcsClient, Library
from rayfleet.testing.clouds.aliyun_front import Fault


@pytest.fixture
def there() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


async def test_one_zone_without_stock_leaves_the_others(there: Cloud) -> None:
    there.ecs.stock["cn-hangzhou-b"] = 0
    provider = there.provider()
    with pytest.raises(OutOfStock, match=r"OperationDenied\.NoStock") as raised:
        await provider.launch(request("b1", zone="cn-hangzhou-b"))
    assert raised.value.scope == OfferKey(POOL.name, "aliyun", "cn-hangzhou", "cn-hangzhou-b", None)
    await provider.launch(request("b2", zone="cn-hangzhou-h"))
    assert [one.zone for one in there.ecs.instances.values()] == ["cn-hangzhou-h"]
    assert [machine.offer.zone for machine in await provider.list()] == ["cn-hangzhou-h"]


async def test_no_zone_with_stock_is_as_many_calls_as_zones(there: Cloud) -> None:
    zones = ("cn-hangzhou-b", "cn-hangzhou-h", "cn-hangzhou-i")
    there.ecs.stock.update(dict.fromkeys(zones, 0))
    provider = there.provider()
    for n, zone in enumerate(zones):
        with pytest.raises(OutOfStock):
            await provider.launch(request(f"b{n}", 150, zone=zone))
    assert len(there.ecs.calls("RunInstances")) == len(zones), (
        "the second hundred is not asked for when the first is not"
    )
    assert there.ecs.instances == {}


async def test_the_quota_concerns_the_pool_in_every_zone(there: Cloud) -> None:
    there.ecs.quota = 0
    with pytest.raises(QuotaReached, match=r"QuotaExceed\.ElasticQuota") as raised:
        await there.provider().launch(request("b1", zone="cn-hangzhou-b"))
    scope = raised.value.scope
    assert scope is not None
    assert scope.covers(OfferKey(POOL.name, "aliyun", "cn-hangzhou", "cn-hangzhou-i", None))


async def test_a_part_is_a_success_and_stays_one(there: Cloud) -> None:
    there.ecs.stock["cn-hangzhou-b"] = 130
    provider = there.provider()
    await provider.launch(request("b1", 250))
    assert len(there.ecs.instances) == 130
    there.ecs.stock.clear()
    await there.provider().launch(request("b2", 1))
    assert len(there.ecs.instances) == 131


async def test_throttling_is_one_call_for_one_attempt(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b0"))
    there.ecs.faults.append(Fault("*", "Throttling.User", times=1_000, status=400))
    before = len(there.ecs.log)
    for call in (provider.launch(request("b1")), provider.list(), provider.release(("i-1",))):
        with pytest.raises(Flaky, match=r"Throttling\.User"):
            await call
    assert len(there.ecs.log) - before == 3


async def test_a_storm_in_the_middle_of_a_batch_ends_in_exactly_what_was_asked(there: Cloud) -> None:
    provider = there.provider()
    there.ecs.faults.append(Fault("RunInstances", "Throttling.User", times=2, where={"Amount": "50"}))
    for _ in range(2):
        with pytest.raises(Flaky):
            await provider.launch(request("b1", 250))
    await provider.launch(request("b1", 250))
    assert len(there.ecs.instances) == 250
    assert len(there.ecs.calls("RunInstances")) == 3 + 1 + 1, "what was answered is not asked for again"


async def test_an_answer_that_was_lost_makes_nothing_twice(there: Cloud) -> None:
    there.ecs.faults.append(Fault("RunInstances", "InternalError", status=500, after=True))
    with pytest.raises(Flaky, match="InternalError"):
        await there.provider().launch(request("b1", 3))
    await there.provider().launch(request("b1", 3))
    assert len(there.ecs.instances) == 3


async def test_the_same_batch_after_the_file_changed_makes_nothing(there: Cloud) -> None:
    await there.provider({"InstanceType": "ecs.g7.large"}).launch(request("b1", 2))
    await there.provider({"InstanceType": "ecs.g7.xlarge"}).launch(request("b1", 2))
    assert {one.instance_type for one in there.ecs.instances.values()} == {"ecs.g7.large"}
    assert there.ecs.log[-1].code == "IdempotentParameterMismatch"


async def test_what_vanished_is_not_listed_and_releasing_it_is_done(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1", 3))
    await provider.list()
    first, second, third = sorted(there.ecs.instances)
    there.ecs.forced({"id": first, "gone": True})
    assert [machine.id for machine in await provider.list()] == [second, third]
    await provider.release((first, second))
    assert sorted(there.ecs.instances) == [third]


async def test_a_spot_machine_that_is_recycled_says_until_when(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1", 2, market=Market.SPOT))
    first, second = sorted(there.ecs.instances)
    there.ecs.recycle(first)
    said = {machine.id: machine.interrupt_at for machine in await provider.list()}
    assert said == {first: there.now + 300, second: None}
    there.now += 60
    later = {machine.id: machine.interrupt_at for machine in await provider.list()}
    assert later == said, "the moment does not move with every look"


async def test_a_price_below_the_clouds_is_no_stock_of_that_offer(there: Cloud) -> None:
    provider = there.provider({"InstanceType": "ecs.g7.large", "SpotPriceLimit": 0.01})
    with pytest.raises(OutOfStock, match="SpotPriceLowerThanPublicPrice"):
        await provider.launch(request("b1", market=Market.SPOT))
    await provider.launch(request("b2", market=Market.ON_DEMAND))
    assert len(there.ecs.instances) == 1


async def test_a_release_of_what_is_being_made_survives_a_restart(there: Cloud) -> None:
    before = there.provider()
    await before.launch(request("b1", 2))
    keep, drop = sorted(there.ecs.instances)
    await before.release((drop,))
    assert drop in there.ecs.instances, "the cloud does not delete what is being made"
    after = there.provider()
    await after.list()
    assert [machine.id for machine in await after.list()] == [keep]


async def test_a_machine_that_somebody_else_stopped_has_failed(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1"))
    (name,) = there.ecs.instances
    there.ecs.forced({"id": name, "status": "Stopped"})
    there.ecs.instances[name].created = "2026-11-23T01:00Z"
    (machine,) = await provider.list()
    assert (machine.state, machine.message) == (MachineState.FAILED, "it is Stopped, and not by rayfleet")


async def test_a_start_without_stock_leaves_machines_at_rest(there: Cloud) -> None:
    provider = there.provider()
    await provider.prepare(request("b1"), StandbyMode.STOPPED)
    while (await provider.list())[0].state is not MachineState.STANDBY:
        pass
    (name,) = there.ecs.instances
    there.ecs.stock["cn-hangzhou-b"] = 0
    again = replace(request("b2"), reuse=(name,))
    with pytest.raises(OutOfStock):
        await provider.start(again)
    assert [machine.state for machine in await provider.list()] == [MachineState.STANDBY]
    there.ecs.stock.clear()
    await provider.start(again)
    assert there.ecs.instances[name].status == "Starting"
    assert "start workers" in there.ecs.instances[name].user_data


async def test_a_start_whose_answer_was_lost_is_repeated(there: Cloud) -> None:
    provider = there.provider()
    await provider.prepare(request("b1"), StandbyMode.STOPPED)
    while (await provider.list())[0].state is not MachineState.STANDBY:
        pass
    (name,) = there.ecs.instances
    again = replace(request("b2"), reuse=(name,))
    there.ecs.faults.append(Fault("StartInstances", "ServiceUnavailable", status=503))
    with pytest.raises(Flaky):
        await provider.start(again)
    assert [machine.state for machine in await provider.list()] == [MachineState.STARTING]
    await there.provider().start(again)
    assert there.ecs.instances[name].status == "Starting"


async def test_one_odd_machine_among_a_hundred_costs_few_calls(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1", 100))
    while any(machine.state is MachineState.STARTING for machine in await provider.list()):
        pass
    there.ecs.faults.append(Fault("StopInstances", "IncorrectInstanceStatus", times=3))
    await provider.stop(tuple(there.ecs.instances), StandbyMode.STOPPED)
    assert [len(call.parameters) - 3 for call in there.ecs.calls("StopInstances")] == [100, 50, 25, 12, 13, 25, 50]
    while any(machine.state is not MachineState.STANDBY for machine in await provider.list()):
        pass
    assert {one.status for one in there.ecs.instances.values()} == {"Stopped"}


async def test_a_thousand_machines_are_few_calls(there: Cloud) -> None:
    provider = there.provider()
    await provider.launch(request("b1", 1_000))
    assert len(there.ecs.with_tag("rayfleet-cluster", CLUSTER)) == 1_000
    assert len(there.ecs.log) <= 20, "with a network that is made first"
    await there.provider().launch(request("b2", 1))
    launched = len(there.ecs.log)
    assert len(await provider.list()) == 1_001
    assert len(there.ecs.log) - launched == 11, "a call for each page of 100"


async def test_nobody_answers(there: Cloud) -> None:
    provider = there.provider(endpoint="http://127.0.0.1:9")
    with pytest.raises(Flaky, match=r"no answer from http://127\.0\.0\.1:9 \(NewConnectionError\)") as raised:
        await provider.launch(request("b1", zone="cn-hangzhou-b"))
    assert "UserData" not in str(raised.value)
    assert raised.value.__cause__ is not None
    assert "RegionId" not in str(raised.value.__cause__), "the request is not shown: it may hold secrets"


async def test_refused_keys_are_the_users_to_mend(there: Cloud) -> None:
    there.ecs.faults.append(Fault("*", "InvalidAccessKeyId.NotFound", "Specified access key is not found.", status=404))
    with pytest.raises(Denied, match=r"InvalidAccessKeyId\.NotFound: Specified access key is not found"):
        await there.provider().list()


async def test_without_the_library_the_error_says_what_to_install(there: Cloud) -> None:
    def nothing() -> Library:
        raise ModuleNotFoundError("alibabacloud_ecs20140526")

    with pytest.raises(Denied) as raised:
        await EcsClient(there.settings(), nothing).call("DescribeInstances")
    assert str(raised.value) == INSTALL


async def test_without_keys_the_error_names_them(
    there: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Denied) as raised:
        await there.provider(access_key=None, access_key_secret=None).list()
    assert str(raised.value) == NO_KEYS
    assert there.ecs.log == []


async def test_keys_of_the_environment_do(there: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush")
    assert await there.provider(access_key=None, access_key_secret=None).list() == ()


async def test_an_offer_of_another_region_is_refused(there: Cloud) -> None:
    elsewhere = replace(request("b1"), offer=OfferKey(POOL.name, "aliyun", "us-west-1"))
    with pytest.raises(Denied, match="us-west-1"):
        await there.provider().launch(elsewhere)


async def test_listing_while_launching_is_fine(there: Cloud) -> None:
    provider = there.provider()
    await asyncio.gather(provider.launch(request("b1", 300)), provider.list(), provider.list())
    assert len(await provider.list()) == 300
