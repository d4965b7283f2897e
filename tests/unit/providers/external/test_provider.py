"""What classes are given, what they raise, and what is made of nodes that are not ready."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.providers.external.classes import PLACES, NodeLaunchException, Place

from rayfleet.contracts import (
    Denied,
    Flaky,
    LaunchRequest,
    Machine,
    MachineState,
    OutOfStock,
    ProviderContext,
    ProviderError,
    QuotaReached,
    StartScript,
    TypeConfig,
)
from rayfleet.model import CPU, Labels, Market, OfferKey, Pool, Resources
from rayfleet.providers.external import PROVIDER, Settings
from rayfleet.providers.external.adapter import Adapter, kind_of
from rayfleet.providers.external.provider import LOOKS, ExternalProvider
from rayfleet.providers.external.record import FILE

_FRESH = itertools.count()
POOL = Pool("workers", Resources.of({CPU: 2}), labels=Labels({"team": "a"}))
OFFER = OfferKey(POOL.name, "external", "r1", "z1", Market.SPOT)


def start_script(pool: Pool, head: bool) -> StartScript:
    return StartScript(())


class Here:
    """A provider behind one of the classes, in a place of its own."""

    def __init__(self, folder: Path, name: str, **more: Any) -> None:
        place = f"unit-{next(_FRESH)}"
        module = f"tests.unit.providers.external.classes.{name}"
        self.settings = Settings.model_validate({"module": module, "place": place, **more})
        self.place = PLACES.setdefault(place, Place())
        self.folder = folder

    def provider(self) -> ExternalProvider:
        types = {POOL.name: TypeConfig(node_config={"size": "big"})}
        context = ProviderContext("c", self.folder, self.settings, start_script, types)
        return ExternalProvider(context, Adapter(self.settings.module, self.settings.section, "c"), now=lambda: 5.0)


def request(batch: str, count: int = 1, *, head: bool = False) -> LaunchRequest:
    return LaunchRequest(batch, OFFER, POOL, tuple(f"claim-{n}" for n in range(count)), head=head)


async def test_the_class_gets_what_ray_would_give_it(tmp_path: Path) -> None:
    here = Here(tmp_path, "Newer", api_url="http://x")
    provider = here.provider()
    await provider.launch(request("b1", 3))
    (config, tags, count), (resources, labels) = here.place.asked
    assert (config, count) == ({"size": "big"}, 3)
    assert (resources, labels) == ({"CPU": 2}, {"team": "a"})
    assert tags["ray-node-type"] == "worker"
    assert tags["ray-user-node-type"] == "workers"
    assert tags["ray-node-name"] == "ray-c-worker"
    assert tags["ray-node-status"] == "uninitialized"
    assert (tags["ray-cluster-name"], tags["rayfleet-cluster"]) == ("c", "c")
    assert (tags["ray-launch-request"], tags["rayfleet-batch"]) == ("b1", "b1")
    assert len(tags["ray-launch-config"]) == 40
    assert here.settings.section["api_url"] == "http://x"
    assert here.settings.section["type"] == "external"


async def test_many_are_ended_in_calls_as_large_as_the_class_allows(tmp_path: Path) -> None:
    here = Here(tmp_path, "Newer")
    provider = here.provider()
    await provider.launch(request("b1", 5))
    await provider.release(tuple(machine.id for machine in await provider.list()))
    calls = [asked[1] for asked in here.place.asked if asked[0] == "terminate_nodes"]
    assert [len(call) for call in calls] == [2, 2, 1]
    assert await provider.list() == ()


async def test_a_node_without_addresses_is_listed_all_the_same(tmp_path: Path) -> None:
    here = Here(tmp_path, "WithoutAddresses")
    provider = here.provider()
    await provider.launch(request("b1"))
    seen: list[Machine] = []
    for _ in range(8):
        seen += await provider.list()
    assert [machine.state for machine in seen[:2]] == [MachineState.STARTING] * 2
    running = [machine for machine in seen if machine.state is MachineState.RUNNING]
    addresses = list(dict.fromkeys((machine.address, machine.public_address) for machine in running))
    assert addresses == [("", ""), ("10.0.0.1", ""), ("10.0.0.1", "192.0.2.1")]


@pytest.mark.parametrize(("name", "tags"), [("Telling", 3), ("Silent", 3 * LOOKS)])
async def test_what_nodes_are_is_not_asked_again_and_again(tmp_path: Path, name: str, tags: int) -> None:
    """No listing of a cluster at rest costs a call for each node, though these never get a public address."""
    here = Here(tmp_path, name)
    provider = here.provider()
    await provider.launch(request("b1", 3))
    for _ in range(99):
        await provider.list()
    assert [machine.address for machine in await provider.list()] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert here.place.calls["internal_ip"] == 3 * (LOOKS + 1)  # the first look finds it, the others are for the second
    assert here.place.calls["node_tags"] == tags


async def test_a_part_is_a_success(tmp_path: Path) -> None:
    here = Here(tmp_path, "Telling")
    here.place.stock = 2
    provider = here.provider()
    await provider.launch(request("b1", 3))
    assert len(await provider.list()) == 2
    with pytest.raises(OutOfStock, match="insufficient capacity") as raised:
        await provider.launch(request("b2"))
    assert raised.value.scope == OFFER


async def test_a_class_that_loses_tags_keeps_batch_and_offer_over_a_restart(tmp_path: Path) -> None:
    here = Here(tmp_path, "Silent")
    await here.provider().launch(request("b1", head=True))
    await here.provider().launch(request("b2", 2))
    machines = await here.provider().list()
    assert [(machine.batch, machine.head, machine.offer) for machine in machines] == [
        ("b1", True, OFFER),
        ("b2", False, OFFER),
        ("b2", False, OFFER),
    ]
    assert {machine.launched_at for machine in machines} == {5.0}


async def test_a_lost_record_leaves_what_the_tags_say(tmp_path: Path) -> None:
    here = Here(tmp_path, "Telling")
    await here.provider().launch(request("b1"))
    (tmp_path / FILE).unlink()
    (machine,) = await here.provider().list()
    assert (machine.batch, machine.offer, machine.head) == ("b1", OFFER, False)


async def test_a_record_that_cannot_be_read_makes_nothing(tmp_path: Path) -> None:
    here = Here(tmp_path, "Silent")
    await here.provider().launch(request("b1"))
    (tmp_path / FILE).write_text("{")
    with pytest.raises(Flaky, match="cannot be read"):
        await here.provider().launch(request("b1"))
    assert here.place.made == 1


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("Broken", Flaky, r"Broken\.non_terminated_nodes: ConnectionError: the place does not answer"),
        ("Unfinished", Denied, r"Unfinished\.is_running: NotImplementedError"),
        ("ReadOnly", Denied, "read-only"),
        ("Unmakeable", Denied, "cannot be used: KeyError: 'api_url'"),
        ("NotThere", Denied, "cannot be used: AttributeError"),
    ],
)
async def test_a_class_that_raises_is_told_by_name(
    tmp_path: Path, name: str, kind: type[ProviderError], text: str
) -> None:
    here = Here(tmp_path, name)
    here.place.nodes["c"] = {"node-1": {}}
    with pytest.raises(kind, match=text) as raised:
        await here.provider().list()
    assert type(raised.value) is kind


async def test_a_class_that_derives_from_rays_own(tmp_path: Path) -> None:
    settings = Settings(module="tests.unit.providers.external.of_ray.OfRay")
    provider = PROVIDER.build(ProviderContext("c", tmp_path, settings, start_script))
    await provider.launch(request("b1", 2))
    assert [machine.batch for machine in await provider.list()] == ["b1", "b1"]
    await provider.release(("node-1",))
    assert [machine.id for machine in await provider.list()] == ["node-2"]


async def test_a_package_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = Settings(module="no_such_package.Provider")
    provider = PROVIDER.build(ProviderContext("c", tmp_path, settings, start_script))
    with pytest.raises(Denied, match="No module named 'no_such_package'"):
        await provider.list()


@pytest.mark.parametrize("module", ["Provider", "", "a-b.Provider", "a."])
def test_a_path_that_is_none_is_refused(module: str) -> None:
    with pytest.raises(ValidationError, match=r"my_package\.MyNodeProvider"):
        Settings(module=module)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NodeLaunchException("InsufficientInstanceCapacity", "x"), OutOfStock),
        (NodeLaunchException("ZONE_RESOURCE_POOL_EXHAUSTED", "x"), OutOfStock),
        (NodeLaunchException("QUOTA_EXCEEDED", "x"), QuotaReached),
        (NodeLaunchException("VcpuLimitExceeded", "x"), QuotaReached),
        (NodeLaunchException("UnauthorizedOperation", "x"), Denied),
        (NodeLaunchException("Timeout", "the quota page did not load"), Flaky),
        (RuntimeError("out of stock"), OutOfStock),
        (RuntimeError("something else"), Flaky),
        (TimeoutError(), Flaky),
        (NotImplementedError(), Denied),
    ],
)
def test_what_a_class_raises(error: Exception, kind: type[ProviderError]) -> None:
    assert kind_of(error) is kind


def test_the_kind_says_that_there_is_no_user_data() -> None:
    assert (PROVIDER.name, PROVIDER.remote, PROVIDER.user_data, PROVIDER.standby) == ("external", True, False, ())
