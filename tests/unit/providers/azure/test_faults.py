"""What Azure cannot do, and what is left of it: errors with its codes, nothing half made, no storm of calls."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.azure.cases import GROUP, LOCATION, POOL, built, context, names, request

from rayfleet.contracts import Denied, Flaky, Gone, MachineState, OutOfStock, ProviderError, QuotaReached
from rayfleet.model import Market, OfferKey, Trouble
from rayfleet.providers.azure.clients import Clients, Gate
from rayfleet.providers.azure.errors import kind_of
from rayfleet.providers.azure.provider import AzureProvider
from rayfleet.providers.azure.view import GRACE_S
from rayfleet.testing.clouds.azure import SUBSCRIPTION, AzureEmulator, Fault, Launched
from rayfleet.testing.clouds.azure.faults import ArmError

PARTS = ("networkInterfaces", "publicIPAddresses", "disks")


@pytest.fixture
def emulator() -> Iterator[AzureEmulator]:
    with AzureEmulator() as running:
        yield running


def left(emulator: AzureEmulator) -> list[str]:
    """Return what there is of machines, whole or in parts."""
    return [name for kind in ("virtualMachines", *PARTS) for name in names(emulator, kind)]


@pytest.mark.parametrize(
    ("code", "status", "message", "error"),
    [
        ("SkuNotAvailable", 409, "", OutOfStock),
        ("AllocationFailed", 409, "", OutOfStock),
        ("ZonalAllocationFailed", 409, "", OutOfStock),
        ("OverconstrainedAllocationRequest", 409, "", OutOfStock),
        ("OverconstrainedZonalAllocationRequest", 409, "", OutOfStock),
        ("SpotPriceGreaterThanProvidedMaxPrice", 409, "", OutOfStock),
        ("QuotaExceeded", 403, "", QuotaReached),
        ("OperationNotAllowed", 409, "exceeding approved Total Regional Cores quota", QuotaReached),
        ("OperationNotAllowed", 409, "the machine has a lock", Denied),
        ("AuthorizationFailed", 403, "", Denied),
        ("ExpiredAuthenticationToken", 401, "", Denied),
        ("ImageNotFound", 404, "", Denied),
        ("InvalidParameter", 400, "", Denied),
        ("MissingSubscriptionRegistration", 409, "", Denied),
        ("ScopeLocked", 409, "", Denied),
        ("InvalidResourceReference", 400, "", Flaky),
        ("ResourceGroupNotFound", 404, "", Gone),
        ("TooManyRequests", 429, "", Flaky),
        ("AnotherOperationInProgress", 409, "", Flaky),
        ("", 503, "", Flaky),
    ],
)
def test_every_code_has_its_meaning(code: str, status: int, message: str, error: type[ProviderError]) -> None:
    assert kind_of(code, status, message) is error


@pytest.mark.parametrize("code", ["SkuNotAvailable", "ZonalAllocationFailed"])
async def test_one_zone_is_sold_out(emulator: AzureEmulator, tmp_path: Path, code: str) -> None:
    emulator.fail(Fault(code, zone="1", times=-1))
    provider = built(emulator, tmp_path)
    with pytest.raises(OutOfStock, match=code) as raised:
        await provider.launch(request("b1", "c1", "c2", zone="1"))
    assert raised.value.scope == OfferKey(POOL.name, "azure", LOCATION, "1")
    assert left(emulator) == []
    await provider.launch(request("b2", "c1", "c2", zone="2"))
    assert len(names(emulator)) == 2
    await provider.close()


async def test_all_zones_are_sold_out_and_only_one_call_finds_out(emulator: AzureEmulator, tmp_path: Path) -> None:
    """A hundred machines are not asked for a hundred times."""
    emulator.fail(Fault("SkuNotAvailable", times=-1))
    provider = built(emulator, tmp_path, max_calls=2)
    for zone in ("1", "2", "3"):
        with pytest.raises(OutOfStock):
            await provider.launch(request(f"b{zone}", *(f"c{n}" for n in range(100)), zone=zone))
    assert left(emulator) == []
    assert emulator.calls()["PUT virtualmachines"] <= 3 * 2
    await provider.close()


async def test_a_part_is_a_success(emulator: AzureEmulator, tmp_path: Path) -> None:
    """What is missing is seen in the listing, and nothing of it is left."""
    emulator.fail(Fault("OperationNotAllowed", message="quota", zone="2"))
    provider = built(emulator, tmp_path, max_calls=1, availability_zone="1,2")
    await provider.launch(request("b1", "c1", "c2"))
    assert len(names(emulator)) == 1
    assert [name for kind in PARTS for name in names(emulator, kind)] == [
        f"{name}-{part}" for part in ("nic", "ip", "os") for name in names(emulator)
    ]
    await provider.close()


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        ("approved standardDSv5Family Cores quota", OfferKey(POOL.name, "azure", LOCATION, None, Market.SPOT)),
        ("approved Total Regional Cores quota", OfferKey("", "azure", LOCATION, None, Market.SPOT)),
        ("approved LowPriorityCores quota", OfferKey("", "azure", LOCATION, None, Market.SPOT)),
    ],
)
async def test_a_quota_holds_in_all_zones(
    emulator: AzureEmulator, tmp_path: Path, message: str, scope: OfferKey
) -> None:
    emulator.fail(Fault("OperationNotAllowed", message=message))
    provider = built(emulator, tmp_path)
    with pytest.raises(QuotaReached, match="quota") as raised:
        await provider.launch(request("b1", "c1", zone="1", market=Market.SPOT))
    assert raised.value.scope == scope
    assert left(emulator) == []
    await provider.close()


async def test_a_machine_whose_allocation_fails_later_is_listed_with_the_reason_and_leaves_nothing(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    emulator.fail(Fault("AllocationFailed", message="not enough capacity", late=True))
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1"))
    await provider.list()
    (machine,) = await provider.list()
    assert (machine.state, machine.trouble) == (MachineState.FAILED, Trouble.OUT_OF_STOCK)
    assert machine.message == "AllocationFailed: not enough capacity"
    await provider.release((machine.id,))
    await provider.list()
    assert await provider.list() == ()
    assert left(emulator) == []
    await provider.close()


@pytest.mark.parametrize("seen", [True, False])
async def test_a_machine_whose_change_fails_runs_on(emulator: AzureEmulator, tmp_path: Path, seen: bool) -> None:
    """Without the right to see states (`seen`), it is known from what was seen before."""
    provider = built(emulator, tmp_path)
    if not seen:
        emulator.fail(Fault("AuthorizationFailed", 403, method="GET", name="0/providers/Microsoft.Compute", times=-1))
    await provider.launch(request("b1", "c1"))
    await provider.list()
    assert [machine.state for machine in await provider.list()] == [MachineState.RUNNING]
    emulator.fail_update(names(emulator)[0], "VMExtensionProvisioningError")
    assert [(machine.state, machine.message) for machine in await provider.list()] == [(MachineState.RUNNING, "")]
    assert emulator.resources("virtualMachines")[0]["properties"]["provisioningState"] == "Failed"
    await provider.close()


@pytest.mark.parametrize("kind", ["publicIPAddresses", "networkInterfaces", "virtualMachines"])
async def test_what_is_half_made_is_taken_away(emulator: AzureEmulator, tmp_path: Path, kind: str) -> None:
    emulator.fail(Fault("InternalServerError", 500, kind=kind))
    provider = built(emulator, tmp_path)
    with pytest.raises(Flaky, match="InternalServerError"):
        await provider.launch(request("b1", "c1"))
    assert left(emulator) == []
    await provider.launch(request("b1", "c1"))
    assert len(names(emulator)) == 1
    await provider.close()


async def test_what_cannot_be_taken_away_at_once_is_taken_away_by_the_next_listings(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    """As when Azure keeps an interface for a machine that was not made."""
    emulator.fail(Fault("SkuNotAvailable"))
    emulator.fail(Fault("NicReservedForAnotherVm", 400, method="DELETE", kind="networkInterfaces", times=2))
    provider = built(emulator, tmp_path)
    with pytest.raises(OutOfStock):
        await provider.launch(request("b1", "c1"))
    seen = []
    for _ in range(4):
        await provider.list()
        seen.append(len(left(emulator)))
    assert seen == [2, 1, 0, 0]
    await provider.close()


async def test_what_another_controller_left_half_made_is_taken_away_later(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    """Not at once: it may be at work on it."""
    emulator.fail(Fault(cut=True))
    killed = built(emulator, tmp_path / "killed")
    with pytest.raises(Flaky):
        await killed.launch(request("b1", "c1"))
    await killed.close()
    now = [float(emulator.resources("networkInterfaces")[0]["tags"]["rayfleet-made"])]
    provider = AzureProvider(context(emulator, tmp_path), clock=lambda: now[0])
    await provider.list()
    assert len(left(emulator)) == 2
    now[0] += GRACE_S + 1
    await provider.list()
    await provider.list()
    assert left(emulator) == []
    await provider.close()


async def test_a_disk_without_a_machine_is_taken_away(emulator: AzureEmulator, tmp_path: Path) -> None:
    now = [0.0]
    provider = AzureProvider(context(emulator, tmp_path), clock=lambda: now[0])
    await provider.launch(request("b1", "c1"))
    emulator.orphan_disk(names(emulator)[0])
    assert left(emulator) == [names(emulator, "disks")[0]]
    await provider.list()
    now[0] = 4e9
    await provider.list()
    assert left(emulator) == []
    await provider.close()


async def test_an_answer_that_is_lost_is_not_taken_for_a_failure(emulator: AzureEmulator, tmp_path: Path) -> None:
    """The machine exists, with all its parts; the same launch again makes no second one."""
    emulator.fail(Fault(lost=True))
    provider = built(emulator, tmp_path)
    with pytest.raises(Flaky, match="no answer from Azure"):
        await provider.launch(request("b1", "c1"))
    await provider.list()
    await provider.list()
    (machine,) = await provider.list()
    await provider.launch(request("b1", "c1"))
    assert [machine.id] == names(emulator)
    assert len(left(emulator)) == 4
    await provider.close()


async def test_when_azure_wants_a_pause_nobody_calls(emulator: AzureEmulator, tmp_path: Path) -> None:
    """The pause is Azure's own, and bounded."""
    provider = built(emulator, tmp_path)
    await provider.list()
    emulator.fail(Fault("TooManyRequests", 429, method="", kind="", times=-1, retry_after_s=120))
    before = len(emulator.log)
    for _ in range(20):
        with pytest.raises(Flaky, match=r"429|TooManyRequests"):
            await provider.launch(request("b1", *(f"c{n}" for n in range(50))))
    assert len(emulator.log) == before + 1
    await provider.close()


async def test_a_storm_in_the_middle_of_a_launch_costs_a_call_for_each_thread_at_most(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    provider = built(emulator, tmp_path, max_calls=4)
    await provider.launch(request("b0", "c0"))
    emulator.fail(Fault("TooManyRequests", 429, kind="virtualMachines", times=-1, retry_after_s=60))
    with pytest.raises(Flaky):
        await provider.launch(request("b1", *(f"c{n}" for n in range(50))))
    assert emulator.calls()["PUT virtualmachines"] <= 1 + 4
    await provider.close()


def test_a_pause_ends_by_itself() -> None:
    now = [0.0]
    gate = Gate(lambda: now[0])
    gate.shut(30)
    gate.shut(10)
    now[0] = 29
    with pytest.raises(Flaky, match="1 s of it"):
        gate.check()
    now[0] = 30
    gate.check()


async def test_an_endless_pause_is_cut_short(emulator: AzureEmulator, tmp_path: Path) -> None:
    now = [0.0]
    clients = Clients(context(emulator, tmp_path).settings, lambda: now[0])
    emulator.fail(Fault("TooManyRequests", 429, method="GET", kind="virtualMachines", retry_after_s=86400))
    with pytest.raises(Flaky):
        await clients.run(lambda sdk: list(sdk.compute.virtual_machines.list(GROUP)))
    now[0] = 301
    assert await clients.run(lambda sdk: sdk.resources.resource_groups.check_existence(GROUP)) is False
    await clients.close()


async def test_a_listing_that_fails_is_flaky_and_one_without_a_group_is_empty(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    provider = built(emulator, tmp_path)
    assert await provider.list() == ()
    emulator.fail(Fault("ServerBusy", 503, method="GET", kind="networkInterfaces"))
    before = len(emulator.log)
    with pytest.raises(Flaky, match="ServerBusy"):
        await provider.list()
    assert len(emulator.log) == before + 4  # nothing is left under way
    emulator.fail(Fault("AuthorizationFailed", 403, method="GET", name="resourceGroups"))
    with pytest.raises(Denied, match="AuthorizationFailed"):
        await provider.list()
    await provider.close()


async def test_without_the_right_to_see_states_machines_are_listed_all_the_same(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    emulator.fail(Fault("AuthorizationFailed", 403, method="GET", name="0/providers/Microsoft.Compute", times=-1))
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1"))
    await provider.list()
    before = len(emulator.log)
    (machine,) = await provider.list()
    assert machine.state is MachineState.RUNNING
    assert len(emulator.log) == before + 3
    await provider.close()


@pytest.mark.parametrize(("policy", "there"), [("Delete", False), ("Deallocate", True)])
async def test_a_spot_machine_is_evicted(emulator: AzureEmulator, tmp_path: Path, policy: str, there: bool) -> None:
    provider = built(emulator, tmp_path, node={"priority": "Spot", "evictionPolicy": policy})
    await provider.launch(request("b1", "c1"))
    await provider.list()
    assert _door(emulator, "_evict", {"name": names(emulator)[0]}) == {"evicted": True}
    found = await provider.list()
    assert [(machine.state, machine.message) for machine in found] == [
        (MachineState.FAILED, "deallocated: evicted, or stopped by somebody")
    ] * there
    await provider.release(tuple(machine.id for machine in found))
    await provider.list()
    assert left(emulator) == []
    await provider.close()


async def test_a_machine_that_vanishes_is_gone_and_its_release_is_done(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1", "c2"))
    first, second = await provider.list()
    emulator.vanish(first.id)
    await provider.release((first.id, second.id))
    await provider.list()
    assert await provider.list() == ()
    await provider.close()


async def test_a_release_that_fails_says_so_after_all_others_went(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1", "c2", "c3"))
    ids = tuple(names(emulator))
    emulator.fail(Fault("ServerBusy", 503, method="DELETE", name=ids[0]))
    with pytest.raises(Flaky, match="ServerBusy"):
        await provider.release(ids)
    await provider.list()
    assert names(emulator) == [ids[0]]
    await provider.close()


async def test_a_group_that_was_deleted_is_made_again(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1"))
    emulator.wipe()
    with pytest.raises(Flaky, match=r"ResourceGroupNotFound|InvalidResourceReference"):
        await provider.launch(request("b2", "c2"))
    await provider.launch(request("b2", "c2"))
    assert len(names(emulator)) == 1
    await provider.close()


async def test_a_part_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    with AzureEmulator(polls=3) as emulator:
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1"))
        assert emulator.calls()["GET networkinterfaces"] == 3
        assert len(names(emulator)) == 1
        await provider.close()


async def test_a_part_that_never_gets_ready_ends_the_launch(tmp_path: Path) -> None:
    with AzureEmulator(polls=1000) as emulator:
        provider = built(emulator, tmp_path, msi="x", nsg="x", subnet="x")
        with pytest.raises(Flaky, match="does not become ready; it is Updating"):
            await provider.launch(request("b1", "c1"))
        assert names(emulator) == []
        await provider.close()


async def test_a_thousand_machines_are_listed_by_pages(tmp_path: Path) -> None:
    """A page of each list for every 250 machines, and one of no public addresses: never a call for a machine."""
    with AzureEmulator(page_size=250) as emulator:
        provider = built(emulator, tmp_path, use_internal_ips=True)
        await provider.launch(request("b1", *(f"c{n}" for n in range(1000))))
        calls = emulator.calls()
        assert [calls[f"PUT {kind}"] for kind in ("networkinterfaces", "virtualmachines")] == [1000, 1000]
        assert sum(calls.values()) <= 2 * 1000 + 10
        await provider.list()
        before = len(emulator.log)
        machines = await provider.list()
        assert len(machines) == len({machine.address for machine in machines}) == 1000
        assert {machine.state for machine in machines} == {MachineState.RUNNING}
        assert len(emulator.log) - before == 3 * 4 + 1
        await provider.close()


async def test_a_machine_is_told_about_itself_and_without_room_its_making_has_failed(tmp_path: Path) -> None:
    """By the emulator, for machines that are real hosts."""
    rooms = [("127.0.0.1", "127.0.0.1")]

    def launched(_: Launched) -> tuple[str, str]:
        if not rooms:
            raise ArmError(409, "AllocationFailed", "every host is some machine already")
        return rooms.pop()

    with AzureEmulator(on_launch=launched) as emulator:
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1"))
        told = [_metadata(emulator, what) for what in ("name", "subscriptionId", "userData")]
        assert told == [names(emulator)[0], SUBSCRIPTION, ""]
        with pytest.raises(OutOfStock, match="AllocationFailed: every host"):
            await provider.launch(request("b2", "c2"))
        await provider.list()
        failed = [each for each in await provider.list() if each.state is MachineState.FAILED]
        assert [(each.batch, each.trouble) for each in failed] == [("b2", Trouble.OUT_OF_STOCK)]
        await provider.release((failed[0].id,))
        await provider.list()
        await provider.list()
        assert [each.batch for each in await provider.list()] == ["b1"]
        await provider.close()


async def test_faults_and_the_log_can_be_had_over_http(emulator: AzureEmulator, tmp_path: Path) -> None:
    _door(emulator, "_fault", {"code": "SkuNotAvailable", "status": 409})
    provider = built(emulator, tmp_path)
    with pytest.raises(OutOfStock):
        await provider.launch(request("b1", "c1"))
    assert ["PUT", f"{_group()}/virtualMachines"] in [
        [method, path.rpartition("/")[0]] for method, path in _door(emulator, "_log", None)["calls"]
    ]
    await asyncio.gather(provider.close(), provider.close())


def _metadata(emulator: AzureEmulator, what: str) -> str:
    url = f"{emulator.url}/metadata/instance/compute/{what}?api-version=2021-02-01&format=text"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata": "true"})) as answer:
        return str(answer.read().decode())


def _group() -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"


def _door(emulator: AzureEmulator, name: str, body: Any) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{emulator.url}/{name}", data)) as answer:
        return json.loads(answer.read())
