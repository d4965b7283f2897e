"""A cluster elsewhere put together: who logs in, what the provider is told, and which way each set-up goes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.unit.bootstrap.clusters import LendingProvider, RecordingProvider, pool_of, spec
from tests.unit.bootstrap.hosts import FolderSsh

from rayfleet import wiring
from rayfleet.bootstrap.delivery import Route
from rayfleet.bootstrap.offered import Offered, narrowed
from rayfleet.bootstrap.recipe import Extra
from rayfleet.contracts import LaunchRequest, Login, Machine, MachineState, Provider, TypeConfig
from rayfleet.engines.ray.settings import Ports
from rayfleet.model import Market, Offer, OfferKey, Pool, Resources, StandbyMode
from rayfleet.testing.fake_provider import FakePlace, FakeProvider, ManualClock
from rayfleet.testing.fake_ssh import FakeHost, FakeSsh
from rayfleet.wire.ssh.session import HostKeyChanged

FILES = "file_mounts: {/a: /b}\n"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path) -> Iterator[None]:
    """Have the clouds of these tests installed, as a package of somebody else's would be."""
    folder = tmp_path / "site/clouds-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: clouds\nVersion: 1\n")
    lines = ("nimbus = tests.unit.bootstrap.clusters:CLOUD", "rack = tests.unit.bootstrap.clusters:OWNED")
    (folder / "entry_points.txt").write_text("\n".join(("[rayfleet.providers]", *lines)))
    sys.path.insert(0, str(folder.parent))
    wiring.registry.cache_clear()
    yield
    sys.path.remove(str(folder.parent))
    wiring.registry.cache_clear()


def recorded(provider: Provider) -> RecordingProvider:
    """Return what is under the wrappers."""
    inner = provider
    while not isinstance(inner, RecordingProvider):
        inner = cast("Provider", inner._provider)  # type: ignore[attr-defined]  # noqa: SLF001 - what is asked of it
    return inner


def build(tmp_path: Path, text: str = "", place: str = "nimbus", **more: object) -> Provider:
    found = spec(text, place)
    ray = wiring.remote_settings(found, tmp_path, "10.0.0.1")
    ray.save()
    elsewhere = wiring.Elsewhere(adds=lambda: wiring.node_extra(found, ray), ssh=FolderSsh({}))
    return wiring.provider_for(found, tmp_path, ray, replace(elsewhere, **more))  # type: ignore[arg-type]


def script_of(provider: Provider, pool: str, *, head: bool = False) -> tuple[str, ...]:
    return (
        recorded(provider)
        .context.start_script(pool_of(spec(), pool) if not head else Pool("head", Resources()), head)
        .argv
    )


def test_the_provider_is_told_types_and_login(tmp_path: Path) -> None:
    auth = "auth: {ssh_user: me, ssh_private_key: /keys/k.pem, ssh_proxy_command: 'ssh gate -W %h:%p'}\n"
    context = recorded(build(tmp_path, auth)).context
    assert context.types == {"head": TypeConfig(None, {"size": "s"}), "cpu": TypeConfig(None, {"size": "l"})}
    assert context.login == Login("me", "/keys/k.pem", proxy_command="ssh gate -W %h:%p")


@pytest.mark.parametrize("own", [False, True], ids=["the provider's", "given"])
async def test_whoever_is_logged_in_to_hosts_already_lends_that(tmp_path: Path, own: bool) -> None:
    given = FakeSsh()
    provider = build(tmp_path, place="rack", ssh=given if own else None)
    lender = recorded(provider)
    assert isinstance(lender, LendingProvider)
    for ssh in (given, lender.ssh):
        ssh.add("cpu-1-1.fake").otherwise = FakeHost.hang()
    pool = pool_of(spec(), "cpu")
    lender.place.make(LaunchRequest("b1", pool.offers[0].key("cpu"), pool, ("cpu-1",)))
    (machine,) = await provider.list()
    for _ in range(10):
        await asyncio.sleep(0)
    assert [len(ssh.hosts[machine.address].logins) for ssh in (given, lender.ssh)] == [own, not own]
    await provider.close()


def test_who_logs_in() -> None:
    assert wiring.login(spec()) == Login()
    found = spec("auth: {ssh_user: me, ssh_proxy_command: p, ssh_proxy_use_node_id: true}\n")
    assert wiring.login(found, public_key="ssh-ed25519 A") == Login(
        "me", public_key="ssh-ed25519 A", proxy_command="p", proxy_with_id=True
    )


@pytest.mark.parametrize(
    ("text", "place", "user_data", "itself"),
    [
        ("setup_commands: [pip install x]\n", "nimbus", True, True),
        (FILES, "nimbus", True, False),
        ("", "nimbus", False, False),
        ("", "rack", True, False),  # hosts that go on have no user-data
        (
            f"setup_commands: ['{'x' * 99}', " + ", ".join(f"'{hash(str(n)) ** 5}'" for n in range(400)) + "]\n",
            "nimbus",
            True,
            False,
        ),
    ],
    ids=["commands", "files", "not wanted", "owned", "too large"],
)
def test_which_way_a_set_up_goes(tmp_path: Path, text: str, place: str, user_data: bool, itself: bool) -> None:
    provider = build(tmp_path, text, place, user_data=user_data)
    assert bool(script_of(provider, "cpu")) == itself
    assert bool(script_of(provider, "head", head=True)) == itself


@pytest.mark.parametrize("place", ["nimbus", "rack"])
@pytest.mark.parametrize("market", list(Market))
def test_only_spot_machines_of_a_place_with_notices_watch_for_one(tmp_path: Path, market: Market, place: str) -> None:
    found = spec(place=place)
    ray = wiring.remote_settings(found, tmp_path, "10.0.0.1")
    pool = replace(pool_of(found, "cpu"), offers=(Offer(market=market),))
    recipes = [wiring.recipe_for(found, ray, pool, Extra(), head=head) for head in (False, True)]
    names = [[step.name for step in each.start] for each in recipes]
    assert [each.count("watch for a notice") for each in names] == [
        1 if (market, place) == (Market.SPOT, "nimbus") else 0,
        0,
    ]


def test_a_pool_that_may_be_either_is_sized_for_the_longer_one(tmp_path: Path) -> None:
    """Whether a set-up fits into user-data is decided once for a pool, before it is known which offer is taken."""
    found = spec()
    ray = wiring.remote_settings(found, tmp_path, "10.0.0.1")
    both = replace(pool_of(found, "cpu"), offers=(Offer(market=Market.ON_DEMAND), Offer(market=Market.SPOT)))
    plain = narrowed(both, OfferKey("cpu", market=Market.ON_DEMAND))
    longer, shorter = (len(wiring.recipe_for(found, ray, pool, Extra(), head=False).start) for pool in (both, plain))
    assert longer == shorter + 1


@pytest.mark.parametrize("text", ["", FILES])
async def test_a_machine_never_falls_between_the_two_ways(tmp_path: Path, text: str) -> None:
    provider = build(tmp_path, text)
    inner = recorded(provider)
    pool = pool_of(spec(), "cpu")
    await provider.launch(LaunchRequest("b1", OfferKey("cpu"), pool, ("m1",)))
    (machine,) = await provider.list()
    assert machine.state is (MachineState.STARTING if text else MachineState.RUNNING)
    assert bool(inner.context.start_script(pool, False).argv) != bool(text)
    await provider.close()


async def test_a_pool_that_the_file_has_no_more_is_left_alone(tmp_path: Path) -> None:
    provider = build(tmp_path, FILES)
    await provider.launch(LaunchRequest("b1", OfferKey("old"), Pool("old", Resources()), ("m1",)))
    assert [machine.state for machine in await provider.list()] == [MachineState.RUNNING]
    await provider.close()


def test_on_the_head_only_workers_are_set_up(tmp_path: Path) -> None:
    found = spec()
    ray = wiring.remote_settings(found, tmp_path, "10.0.0.1", token_file=str(tmp_path / "ray-token"))
    ray.save()
    assert not ray.token_path.exists()  # somebody else brings it
    assert (ray.ports, ray.own_addresses, ray.gcs_address) == (Ports(6379, 10001, 8265), False, "10.0.0.1:6379")


def test_what_every_node_gets(tmp_path: Path) -> None:
    for place, profile in (("nimbus", True), ("rack", False)):
        found = spec(place=place)
        ray = wiring.remote_settings(found, tmp_path, "10.0.0.1")
        ray.save()
        extra = wiring.node_extra(found, ray)
        assert (extra.token, extra.profile) == (ray.token(), profile)
        assert "export RAY_ADDRESS=10.0.0.1:6379" in extra.client


def test_a_recipe_for_users_own_commands(tmp_path: Path) -> None:
    text = "head_start_ray_commands: [ray stop, 'ray start --head --port=7001']\n"
    found = spec(text)
    ray = wiring.remote_settings(found, tmp_path, "10.0.0.1")
    assert ray.ports.gcs_port == 7001
    assert found.policy.head is not None
    recipe = wiring.recipe_for(found, ray, found.policy.head, Extra(), head=True)
    assert recipe.start_words == ("ray stop", "ray start --head --port=7001")
    assert "export RAYFLEET_CLUSTER=demo" in recipe.exports


async def test_a_request_names_its_offer_alone() -> None:
    offers = (Offer(zone="a"), Offer(zone="b"), Offer(zone="b", market=Market.SPOT))
    pool = Pool("cpu", Resources.of({"CPU": 1}), offers=offers)
    assert narrowed(pool, offers[1].key("cpu")).offers == (offers[1],)
    assert narrowed(pool, OfferKey("cpu", zone="b")).offers == offers[1:]
    assert narrowed(pool, OfferKey("cpu", zone="gone")).offers == (Offer(zone="gone"),)
    inner = FakeProvider(FakePlace(ManualClock()))
    provider = Offered(inner)
    request = LaunchRequest("b1", offers[2].key("cpu"), pool, ("m1",))
    await provider.launch(request)
    await provider.prepare(replace(request, batch="b2", claims=("m2",)), StandbyMode.STOPPED)
    asked = [call.request for call in inner.calls if call.request]
    assert [call.pool.offers for call in asked] == [(offers[2],)] * 2
    machines = await provider.list()
    await provider.start(replace(request, batch="b3", reuse=(machines[1].id,)))
    await provider.stop((machines[0].id,), StandbyMode.STOPPED)
    await provider.release((machines[0].id,))
    await provider.close()
    assert [call.verb for call in inner.calls] == ["launch", "prepare", "list", "start", "stop", "release"]
    assert (provider.name, provider.list_interval_s, inner.closed) == ("fake", 0.5, True)


def test_where_a_machine_is_logged_in_to() -> None:
    machine = Machine("i-1", OfferKey("cpu"), "b1", MachineState.RUNNING, address="10.0.0.5", public_address="8.8.4.4")
    inside, outside = Route(Login("me")), Route(Login("me"), outside=True)
    assert (inside.target(machine).address, outside.target(machine).address) == ("10.0.0.5", "8.8.4.4")
    assert outside.target(replace(machine, public_address="")).address == "10.0.0.5"
    assert Route(Login("me", use_internal=True), outside=True).target(machine).address == "10.0.0.5"


def test_a_host_may_have_a_login_of_its_own() -> None:
    own = Route(Login("me"), own=lambda address: Login("she", port=22 if address == "10.0.0.6" else 2222))
    machine = Machine("i-1", OfferKey("cpu"), "b1", MachineState.RUNNING, address="10.0.0.5")
    assert own.target(machine).login == Login("she", port=2222)


async def test_another_machine_at_the_same_address_is_let_in_where_machines_are_made(tmp_path: Path) -> None:
    ssh, first = FakeSsh(), Machine("i-1", OfferKey("cpu"), "b1", MachineState.RUNNING, address="10.0.0.5")
    host, second = ssh.add("10.0.0.5"), replace(first, id="i-2")
    made, kept = (Route(Login("me"), tmp_path / name, made=name == "made") for name in ("made", "kept"))
    for route in (made, kept):
        await (await ssh.connect(route.target(first))).close()
    host.key = "another"
    await (await ssh.connect(made.target(second))).close()
    for target in (made.target(first), kept.target(second)):
        with pytest.raises(HostKeyChanged):
            await ssh.connect(target)
