"""Provider `local` with hosts of a shared pool: what clusters get, what is told, what happens when one is away."""

from pathlib import Path
from typing import Any

import pytest
from tests.conformance.local_case import HELD, start_script
from tests.conformance.pool_case import PoolCase

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, MachineState, OutOfStock, ProviderContext
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.local import PROVIDER, Settings, coordinator_token
from rayfleet.providers.local.provider import UNUSED_S
from rayfleet.testing.fake_ssh import Asked
from rayfleet.wire.coordinator.terms import Take


@pytest.fixture
def case(tmp_path: Path) -> PoolCase:
    return PoolCase(tmp_path, 3)


def addresses(machines: tuple[Machine, ...]) -> list[str]:
    return [machine.address for machine in machines]


async def test_two_clusters_share_and_the_second_gets_what_the_first_gives_back(case: PoolCase) -> None:
    first, second = case.local("team-a"), case.local("team-b")
    await first.launch(case.request("a1", "c1", "c2"))
    await second.launch(case.request("b1", "c1", "c2"))
    assert addresses(await first.list()) == ["10.0.0.1", "10.0.0.2"]
    assert addresses(await second.list()) == ["10.0.0.3"]
    with pytest.raises(OutOfStock, match=r"3 hosts: team-a holds 2, team-b holds 1") as raised:
        await second.launch(case.request("b2", "c3"))
    assert raised.value.scope == case.offer
    await first.release(tuple(machine.id for machine in await first.list()))
    assert (case.held("team-a"), case.existing("team-a")) == ([], 0)
    await second.launch(case.request("b2", "c3", "c4"))
    assert addresses(await second.list()) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


async def test_only_hosts_of_ours_are_looked_at(case: PoolCase) -> None:
    first, second = case.local("team-a"), case.local("team-b")
    await first.launch(case.request("a1", "c1"))
    await second.launch(case.request("b1", "c1"))
    await second.list()
    assert [len(host.ssh.logins) for host in case.hosts] == [1, 1, 0]


async def test_a_lease_overrules_the_books_and_that_is_told(case: PoolCase) -> None:
    case.hosts[0].lease = HELD
    await case.local().launch(case.request("b1", "c1"))
    assert case.held() == ["10.0.0.2"]
    assert case.hosts[0].lease == HELD
    (first, *_) = await case.desk.hosts()
    assert first.note == "10.0.0.1 is held by cluster strangers"
    case.hosts[1].lease = case.hosts[2].lease = HELD
    with pytest.raises(OutOfStock, match=r"10\.0\.0\.\d is held by cluster strangers"):
        await case.local().launch(case.request("b2", "c2"))


async def test_a_bad_host_is_given_back_with_a_word_and_asked_for_last(case: PoolCase) -> None:
    case.hosts[0].facts["disk"] = "/tmp 1000"
    await case.local().launch(case.request("b1", "c1"))
    (first, *_) = await case.desk.hosts()
    assert (case.held(), first.grant) == (["10.0.0.2"], None)
    assert "/tmp has 0.0 GiB free" in first.note
    await case.local().launch(case.request("b2", "c2"))
    assert case.held() == ["10.0.0.2", "10.0.0.3"]
    assert sum("probe" in command for command in case.hosts[0].ssh.commands) == 1


async def test_sizes_and_node_types_of_the_pools_file_count(case: PoolCase) -> None:
    case.restart([{"address": "10.0.0.1", "pool": "gpu"}, {"address": "10.0.0.2", "resources": {CPU: 8}}])
    await case.local().launch(case.request("b1", "c1", "c2"))
    assert case.held() == ["10.0.0.2"]
    big = Pool("big", Resources.of({CPU: 64}))
    with pytest.raises(Denied, match="no host of the coordinator at desk:8375 fits pool big"):
        await case.local().launch(LaunchRequest("b2", OfferKey("big"), big, ("c3",)))


async def test_a_head_is_asked_for_like_any_other(case: PoolCase) -> None:
    await case.local().launch(case.request("h1", "head", head=True))
    await case.local().launch(case.request("b1", "c1"))
    assert [(machine.address, machine.head) for machine in await case.local().list()] == [
        ("10.0.0.1", True),
        ("10.0.0.2", False),
    ]


# ---- somebody is away ------------------------------------------------------------------------------------------------


async def test_who_has_never_heard_of_the_coordinator_concludes_nothing(case: PoolCase) -> None:
    await case.local().launch(case.request("b1", "c1"))
    case.line.away = True
    fresh = case.local()
    with pytest.raises(Flaky, match="coordinator at desk:8375 does not answer"):
        await fresh.list()
    with pytest.raises(Flaky, match="coordinator at desk:8375 does not answer"):
        await fresh.launch(case.request("b2", "c2"))
    with pytest.raises(Flaky, match="coordinator at desk:8375 does not answer"):
        await fresh.release(("10.0.0.1-abc",))
    assert case.held() == ["10.0.0.1"]


async def test_while_the_coordinator_is_away_machines_stay_listed_and_leave_when_it_is_back(case: PoolCase) -> None:
    provider = case.local()
    await provider.launch(case.request("b1", "c1", "c2"))
    first, second = await provider.list()
    case.line.away = True
    assert [machine.state for machine in await provider.list()] == [MachineState.RUNNING] * 2
    with pytest.raises(Flaky):
        await provider.release((first.id,))
    assert case.hosts[0].lease == ""
    assert [(m.id, m.state) for m in await provider.list()] == [
        (first.id, MachineState.STOPPING),
        (second.id, MachineState.RUNNING),
    ]
    assert case.held() == ["10.0.0.1", "10.0.0.2"]
    case.line.away = False
    assert [machine.id for machine in await provider.list()] == [second.id]
    assert case.held() == ["10.0.0.2"]


async def test_a_host_that_is_away_stays_promised_until_it_can_be_given_back(case: PoolCase) -> None:
    provider = case.local()
    await provider.launch(case.request("b1", "c1", "c2"))
    first, _ = await provider.list()
    case.hosts[0].ssh.down = True
    await provider.release((first.id,))
    assert case.held() == ["10.0.0.1", "10.0.0.2"]
    case.hosts[0].ssh.down = False
    await case.local().list()
    assert case.held() == ["10.0.0.2"]


async def test_a_host_that_does_not_answer_is_listed_by_one_who_has_never_seen_it(case: PoolCase) -> None:
    """As when `down` is asked for elsewhere than on the head: the promise tells that there is a machine."""
    await case.local().launch(case.request("b1", "c1", "c2"))
    (case.folder / "conformance/hosts.json").unlink()
    case.hosts[0].ssh.down = True
    case.older_s = 10 * UNUSED_S
    fresh = case.local()
    lost, _ = await fresh.list()
    assert (lost.state, lost.batch, lost.offer) == (MachineState.STOPPING, "b1", case.offer)
    assert "10.0.0.1 does not answer" in lost.message
    await fresh.release((lost.id,))
    assert next(machine.id for machine in await fresh.list()) == lost.id
    case.hosts[0].ssh.down = False
    assert len(await fresh.list()) == 1
    assert (case.held(), case.hosts[0].lease) == (["10.0.0.2"], "")


async def test_a_lost_answer_makes_no_second_set(case: PoolCase) -> None:
    provider = case.local()
    await provider.list()
    case.line.lost = True
    with pytest.raises(Flaky):
        await provider.launch(case.request("b1", "c1"))
    case.line.lost = False
    await provider.launch(case.request("b1", "c1"))
    await provider.launch(case.request("b1", "c1"))
    assert case.held() == addresses(await provider.list()) == ["10.0.0.1"]


def test_a_token_that_cannot_be_read_is_the_users_to_know(tmp_path: Path) -> None:
    settings = Settings(coordinator_address="desk", coordinator_token_file=str(tmp_path / "none"))
    with pytest.raises(Denied, match=r"coordinator_token_file cannot be read: .*none"):
        PROVIDER.build(ProviderContext("c", tmp_path, settings, start_script))


def test_the_token_is_the_files_or_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("of the file\n", encoding="utf-8")
    monkeypatch.setenv("RAYFLEET_COORDINATOR_TOKEN", "of the shell")
    assert coordinator_token(str(tmp_path / "token")) == "of the file"
    assert coordinator_token(None) == "of the shell"


# ---- what was begun and not ended ------------------------------------------------------------------------------------


async def promise(case: PoolCase, count: int = 2) -> None:
    """Leave promises that nobody has made leases of."""
    order = tuple(host.ssh.address for host in case.hosts)
    about = '{"offer": ["cpu1", null, null, null, null], "head": false}'
    await case.desk.take(Take("conformance", "b1", count, order, "abc123", about))


async def test_promises_of_a_launch_that_was_killed_are_used_by_the_same_launch(case: PoolCase) -> None:
    await promise(case)
    provider = case.local()
    assert await provider.list() == ()
    await provider.launch(case.request("b1", "c1", "c2"))
    assert [machine.id for machine in await provider.list()] == ["10.0.0.1-abc123", "10.0.0.2-abc123"]
    assert len(case.held()) == 2


async def test_promises_that_nobody_comes_for_are_given_back_by_the_next_listing(case: PoolCase) -> None:
    await promise(case)
    case.hosts[0].ssh.down = True
    case.older_s = UNUSED_S
    (away,) = [m for m in await case.local().list() if m.address == ""]
    assert (away.id, away.batch, away.state) == ("10.0.0.1-abc123", "b1", MachineState.STOPPING)
    assert case.held() == ["10.0.0.1"], "it may have a lease of ours"
    case.hosts[0].ssh.down = False
    await case.local().list()
    assert case.held() == []


async def test_a_lease_of_ours_on_a_host_that_was_not_answered_for_is_found(case: PoolCase) -> None:
    """Killed after the lease was taken: it is a machine, also for one who has lost his memory."""
    await case.interrupted_launch(case.request("b1", "c1", "c2"))
    (machine,) = await case.local().list()
    assert machine.state is MachineState.RUNNING
    await case.local().release((machine.id,))
    case.older_s = UNUSED_S
    assert await case.local().list() == ()
    assert (case.held(), case.existing()) == ([], 0)


async def test_a_promise_is_no_machine_while_it_is_being_taken(case: PoolCase) -> None:
    provider = case.local()
    listings: list[tuple[Machine, ...]] = []
    host = case.hosts[0]

    async def slowly(asked: Asked) -> str:
        case.older_s = UNUSED_S
        listings.append(await provider.list())
        return host.probe(asked)

    host.ssh.answers["# rayfleet: probe\n"] = slowly
    await provider.launch(case.request("b1", "c1"))
    assert listings == [()]
    assert case.held() == addresses(await provider.list()) == ["10.0.0.1"]


async def test_a_coordinator_that_has_lost_its_file_is_told(case: PoolCase) -> None:
    first, second = case.local("team-a"), case.local("team-b")
    await first.launch(case.request("a1", "c1", "c2"))
    before = await first.list()
    (case.store.folder / "hosts.json").unlink()
    case.restart([{"address": host.ssh.address} for host in case.hosts])
    await second.launch(case.request("b1", "c1"))
    assert (case.held("team-a"), case.held("team-b")) == ([], ["10.0.0.3"])
    assert await first.list() == before
    assert case.held("team-a") == ["10.0.0.1", "10.0.0.2"]


async def test_a_host_that_was_taken_back_is_not_used_by_another_while_its_lease_stands(case: PoolCase) -> None:
    first, second = case.local("team-a"), case.local("team-b")
    await first.launch(case.request("a1", "c1", "c2", "c3"))
    await case.desk.free("10.0.0.1")
    with pytest.raises(OutOfStock, match=r"10\.0\.0\.1 is held by cluster team-a"):
        await second.launch(case.request("b1", "c1"))
    assert len(await first.list()) == 3
    assert len(case.held("team-a")) == 3


async def test_a_host_whose_lease_was_removed_by_hand_goes_back(case: PoolCase) -> None:
    provider = case.local()
    await provider.launch(case.request("b1", "c1"))
    case.hosts[0].lease = ""
    case.older_s = UNUSED_S
    assert await provider.list() == ()
    assert case.held() == []


async def test_a_host_that_left_the_pool_is_still_ours_until_it_is_given_back(case: PoolCase) -> None:
    provider = case.local()
    await provider.launch(case.request("b1", "c1"))
    case.restart([{"address": "10.0.0.2"}])
    (machine,) = await provider.list()
    await provider.release((machine.id,))
    assert [host.address for host in await case.desk.hosts()] == ["10.0.0.2"]


async def test_a_promise_of_another_rayfleet_can_be_given_back(case: PoolCase) -> None:
    await case.desk.take(Take("conformance", "b1", 1, ("10.0.0.1",), "abc123", "something new"))
    case.older_s = UNUSED_S
    await case.local().list()
    assert case.held() == []


@pytest.mark.parametrize("address", ["desk", "desk:8375", "10.0.0.1:1", "[fe80::1]:8375"])
def test_addresses_of_coordinators(address: str) -> None:
    assert Settings(coordinator_address=address).all_hosts() == ()


@pytest.mark.parametrize("told", [{"coordinator_address": "http://desk"}, {"coordinator_address": "-x"}])
def test_what_is_no_address(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="coordinator_address"):
        Settings.model_validate(told)
