"""What goes wrong at Google, and what becomes of it: nothing is made twice, and nothing is left."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.gcp.place import CLUSTER, LOGIN, POOL, TYPE, at, listed, made, settings, start, wanted

from rayfleet.contracts import (
    Denied,
    Flaky,
    MachineState,
    OutOfStock,
    Provider,
    ProviderContext,
    QuotaReached,
    TypeConfig,
)
from rayfleet.model import Market, OfferKey, Trouble
from rayfleet.providers.gcp.client import Compute, Operation
from rayfleet.providers.gcp.names import machine_names
from rayfleet.providers.gcp.provider import GcpProvider
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator
from rayfleet.testing.virtual_time import run_virtual

INSERT = "compute.instances.insert"
BULK = "compute.instances.bulkInsert"
LIST = "compute.instances.aggregatedList"
STOCK = "ZONE_RESOURCE_POOL_EXHAUSTED"


@pytest.mark.parametrize("count", [1, 5])
async def test_no_stock_in_one_zone_is_told_of_that_offer(cloud: GcpEmulator, tmp_path: Path, count: int) -> None:
    provider = at(cloud, tmp_path)
    for action in (INSERT, BULK):
        cloud.faults.append(Fault(action, operation=STOCK, message="none left", zone="us-central1-a", times=99))
    here, there = wanted("b1", count, zone="us-central1-a"), wanted("b2", count, zone="us-central1-b")
    with pytest.raises(OutOfStock, match=f"{STOCK}: none left") as raised:
        await provider.launch(here)
    assert raised.value.scope == here.offer
    assert not made(cloud)
    await provider.launch(there)
    assert [machine.zone for machine in made(cloud)] == ["us-central1-b"] * count
    await provider.close()


async def test_the_same_launch_works_when_there_is_stock_again(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    cloud.faults.append(Fault(INSERT, operation=STOCK))
    with pytest.raises(OutOfStock):
        await provider.launch(wanted())
    await provider.launch(wanted())
    assert len(made(cloud)) == 1
    await provider.close()


async def test_no_stock_in_all_zones_of_a_region(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, region="us-central1")
    cloud.faults.append(Fault("compute.regionInstances.bulkInsert", operation=STOCK))
    with pytest.raises(OutOfStock, match=STOCK):
        await provider.launch(wanted("b1", 3))
    assert not made(cloud)
    await provider.launch(wanted("b2", 3))
    assert {machine.zone for machine in made(cloud)} == {"us-central1-a", "us-central1-b", "us-central1-c"}
    await provider.close()


async def test_what_google_says_late_is_listed_as_a_failed_machine(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.operation_looks = 3
    provider = at(cloud, tmp_path, launch_wait_s=0.0)
    cloud.faults.append(Fault(INSERT, operation=STOCK, message="none left"))
    await provider.launch(wanted())
    (machine,) = await listed(provider, lambda machines: [m.state for m in machines] == [MachineState.FAILED])
    assert (machine.trouble, machine.batch, machine.offer) == (Trouble.OUT_OF_STOCK, "b1", wanted().offer)
    assert STOCK in machine.message
    await provider.release((machine.id,))
    assert await provider.list() == ()
    await provider.close()


async def test_a_quota_is_about_the_region(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    cloud.faults.append(Fault(INSERT, 403, "quotaExceeded", "Quota 'CPUS' exceeded. Limit: 8.0"))
    with pytest.raises(QuotaReached, match="quotaExceeded") as raised:
        await provider.launch(wanted())
    assert raised.value.scope == OfferKey("", "gcp")
    cloud.faults.append(Fault(INSERT, operation="QUOTA_EXCEEDED", message="Quota 'CPUS' exceeded."))
    with pytest.raises(QuotaReached, match="QUOTA_EXCEEDED"):
        await provider.launch(wanted("b2"))
    assert not made(cloud)
    await provider.close()


async def test_a_storm_of_throttling_is_met_with_few_calls(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b0"))
    before = cloud.calls
    cloud.faults.append(Fault("*", 403, "rateLimitExceeded", times=10**6))
    with pytest.raises(Flaky, match="rateLimitExceeded"):
        await provider.launch(wanted("b1", 50))
    with pytest.raises(Flaky, match="rateLimitExceeded"):
        await provider.list()
    assert cloud.calls - before == Counter({BULK: 3, LIST: 3})
    await provider.close()


async def test_a_moment_without_an_answer_is_not_seen(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    cloud.faults += [Fault(INSERT, 503, times=2), Fault(LIST, 503, times=2)]
    await provider.launch(wanted())
    assert len(await provider.list()) == 1
    assert (cloud.calls[INSERT], cloud.calls[LIST]) == (3, 3)
    await provider.close()


async def test_an_answer_that_was_lost_makes_nothing_twice(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    cloud.faults.append(Fault(BULK, 503, done=True))
    await provider.launch(wanted("b1", 5))
    assert cloud.account.ever_made == 5
    assert cloud.calls[BULK] == 2
    await provider.close()


async def test_a_part_is_a_success(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    cloud.account.hide_new = 3  # even where listing does not show it yet
    cloud.faults.append(Fault(BULK, operation=STOCK, made=3))
    await provider.launch(wanted("b1", 5))
    assert len(await listed(provider, bool)) == 3
    await provider.launch(wanted("b1", 5))
    assert len(made(cloud)) == 3
    await provider.close()


async def test_what_only_single_calls_can_say_is_asked_for_one_by_one(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, {"machineType": "n2-standard-4", "deletionProtection": False})
    cloud.faults.append(Fault(INSERT, operation=STOCK))
    await provider.launch(wanted("b1", 3))
    assert len(made(cloud)) == 2
    assert (cloud.calls[INSERT], cloud.calls[BULK]) == (3, 0)
    await provider.close()


def test_a_launch_that_is_refused_leaves_no_call_under_way(cloud: GcpEmulator, tmp_path: Path) -> None:
    """Rights that end in the middle of a launch: what was asked for beside that has its answer before we say so."""

    class Refused(Compute):
        def insert(self, zone: str, body: Mapping[str, Any], request_id: str, template: str, image: str) -> Operation:
            if body["name"] == names[0]:
                raise Denied("the credentials have ended")
            return super().insert(zone, body, request_id, template, image)

    request = wanted("b1", 3)
    names = machine_names(CLUSTER, request)
    cloud.faults.append(Fault(INSERT, 503, times=2))  # both of the others are asked for again, a second later

    async def story() -> None:
        told = settings(cloud, retry_delay_s=1.0)
        types = {POOL.name: TypeConfig(node_config={**TYPE, "deletionProtection": False})}
        provider = GcpProvider(ProviderContext(CLUSTER, tmp_path, told, start, types, LOGIN), Refused(told))
        with pytest.raises(Denied, match="the credentials have ended"):
            await provider.launch(request)
        assert cloud.calls[INSERT] == 4
        assert [machine.name for machine in made(cloud)] == sorted(names[1:])
        await provider.close()

    run_virtual(story())


async def test_a_batch_is_not_made_again_by_a_controller_that_knows_only_the_disk(
    cloud: GcpEmulator, tmp_path: Path
) -> None:
    first = at(cloud, tmp_path)
    await first.launch(wanted("b1", 2))
    await first.release(tuple(machine.id for machine in await first.list()))
    await listed(first, lambda machines: not machines)
    await first.close()
    cloud.account.requests.clear()
    second = at(cloud, tmp_path)
    await second.launch(wanted("b1", 2))
    assert not made(cloud)
    await second.close()


async def _preempted(cloud: GcpEmulator, provider: Provider) -> None:
    await provider.launch(wanted(market=Market.SPOT))
    (machine,) = await listed(provider, lambda ms: [m.state for m in ms] == [MachineState.RUNNING])
    cloud.account.preempt(machine.id)


async def test_a_spot_machine_that_google_takes_goes_altogether(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await _preempted(cloud, provider)
    await listed(provider, lambda machines: not machines)
    assert not made(cloud)
    assert not cloud.calls["compute.instances.delete"]
    await provider.close()


async def test_what_is_left_of_a_preemptible_machine_is_deleted(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, {"machineType": "n2-standard-4", "scheduling": [{"preemptible": True}]})
    await _preempted(cloud, provider)
    cloud.faults.append(Fault("compute.instances.delete", 503, times=3))  # the first try finds no answer
    await listed(provider, lambda machines: not machines)
    while made(cloud):
        assert await provider.list() == ()
    assert cloud.calls["compute.instances.delete"] == 4
    await provider.close()


async def test_a_machine_that_vanishes_stops_nothing(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", 3))
    first, second, third = (machine.id for machine in await provider.list())
    cloud.account.vanish(second)
    await provider.release((first, second))
    assert [m.id for m in await listed(provider, lambda machines: len(machines) == 1)] == [third]
    await provider.close()


async def test_one_machine_that_cannot_be_deleted_keeps_no_other(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", 4))
    cloud.faults.append(Fault("compute.instances.delete", 403, "forbidden"))
    with pytest.raises(Denied, match="forbidden"):
        await provider.release(tuple(machine.id for machine in await provider.list()))
    assert len(await listed(provider, lambda machines: len(machines) == 1)) == 1
    await provider.close()


async def test_new_machines_that_are_not_listed_yet_are_not_made_again(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.hide_new = 4
    cloud.faults.append(Fault(BULK, 503, done=True, times=3))
    provider = at(cloud, tmp_path)
    with pytest.raises(Flaky):
        await provider.launch(wanted("b1", 3))
    await provider.launch(wanted("b1", 3))
    assert len(await listed(provider, lambda machines: len(machines) == 3)) == 3
    assert cloud.account.ever_made == 3
    await provider.close()


async def test_a_zone_that_does_not_answer_leaves_the_listing_unknown(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted())
    cloud.faults.append(Fault(LIST, operation="UNREACHABLE", message="it is dark", zone="us-west1-a", times=3))
    with pytest.raises(Flaky, match="UNREACHABLE: zones/us-west1-a"):
        await provider.list()
    assert len(await provider.list()) == 1
    await provider.close()


async def test_an_address_where_nobody_answers_is_flaky(tmp_path: Path) -> None:
    with GcpEmulator() as cloud:
        provider = at(cloud, tmp_path)
    with pytest.raises(Flaky, match="no answer"):
        await provider.list()
    await provider.close()


async def test_a_thousand_machines_take_a_handful_of_calls(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", 1_000))
    assert len(made(cloud)) == 1_000
    assert cloud.calls.total() <= 12
    before = cloud.calls
    assert len(await provider.list()) == 1_000
    assert cloud.calls - before == Counter({LIST: 2})
    await provider.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_launch_that_ended_in_googles_own_trouble_is_made_anew(
    cloud: GcpEmulator, tmp_path: Path, count: int
) -> None:
    """Its operation has ended: asked under the same token, Google would say the same again."""
    provider = at(cloud, tmp_path)
    for action in (INSERT, BULK):
        cloud.faults.append(Fault(action, operation="INTERNAL_ERROR"))
    request = wanted("b1", count, zone="us-central1-a")
    with pytest.raises(Flaky, match="INTERNAL_ERROR"):
        await provider.launch(request)
    await provider.launch(request)
    assert len(await provider.list()) == count
    await provider.close()
