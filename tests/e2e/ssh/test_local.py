"""Provider `local` on real hosts: what its scripts do there, and what happens when hosts go away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from rayfleet.contracts import LaunchRequest, Machine, MachineState, OutOfStock, ProviderContext, StartScript
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.local import Settings
from rayfleet.providers.local import lease as leases
from rayfleet.providers.local.everywhere import preflight
from rayfleet.providers.local.provider import LocalProvider
from rayfleet.providers.local.scripts import RELEASE
from rayfleet.testing.hosts import Host, Hosts
from rayfleet.wire.ssh.client import AsyncSsh
from rayfleet.wire.ssh.session import Target

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

POOL = Pool("p", Resources.of({CPU: 1}))


def request(batch: str, *claims: str) -> LaunchRequest:
    return LaunchRequest(batch, OfferKey(POOL.name), POOL, claims)


@asynccontextmanager
async def opened(site: Hosts, folder: Path, cluster: str = "mine", **settings: Any) -> AsyncIterator[LocalProvider]:
    """Give the provider of a cluster on all hosts, and close it."""
    told = {"worker_ips": [host.address for host in site.hosts], "connect_timeout_s": 2, "grace_s": 1, **settings}
    context = ProviderContext(
        cluster, folder / cluster, Settings.model_validate(told), lambda _pool, _head: StartScript(()), login=site.login
    )
    provider = LocalProvider(context, AsyncSsh())
    try:
        yield provider
    finally:
        await provider.close()


@pytest.fixture(autouse=True)
def free(site: Hosts) -> Iterator[None]:
    """End every test without a lease."""
    yield
    for host in site.hosts:
        host.run(["rm", "-f", leases.PATH])


def lease_of(host: Host) -> str:
    return host.run(["cat", leases.PATH]).stdout


def on(machines: tuple[Machine, ...], host: Host) -> Machine:
    (found,) = [machine for machine in machines if machine.address == host.address]
    return found


async def test_of_two_clusters_each_host_is_one_ones(site: Hosts, tmp_path: Path) -> None:
    """Both look, see two free hosts, and want both."""
    async with opened(site, tmp_path, "a") as ours, opened(site, tmp_path, "b") as theirs:
        wanted = request("b1", "c1", "c2")
        await asyncio.gather(ours.launch(wanted), theirs.launch(wanted), return_exceptions=True)
        mine, others = await ours.list(), await theirs.list()
        assert len(mine) + len(others) == 2
        assert not {machine.address for machine in mine} & {machine.address for machine in others}
        with pytest.raises(OutOfStock, match="all that fit are taken"):
            await ours.launch(request("b2", "c3"))


async def test_what_carries_the_clusters_mark_ends_with_the_lease_and_nothing_else(site: Hosts, tmp_path: Path) -> None:
    """One that does not listen, a child without environment, and neighbours."""
    host = site.hosts[0]
    ssh = AsyncSsh()
    session = await ssh.connect(Target(host.address, site.login, known_hosts=tmp_path / "known"))
    started = await session.run(
        """
        start() { setsid "$@" > /dev/null 2>&1 < /dev/null & }
        RAYFLEET_CLUSTER=mine start bash -c 'trap "" TERM; env -i sleep 1001 & while :; do sleep 1002; done'
        RAYFLEET_CLUSTER=mine start sleep 1003
        RAYFLEET_CLUSTER=mine2 start sleep 1004
        RAYFLEET_CLUSTERS=mine start sleep 1005
        start sleep 1006
        sleep 0.3
        """
    )
    assert started.code == 0, started.text
    async with opened(site, tmp_path, worker_ips=[host.address]) as provider:
        await provider.launch(request("b1", "c1"))
        (machine,) = await provider.list()
        assert lease_of(host)
        await provider.release((machine.id,))
        assert await provider.list() == ()
    left = await session.run("pgrep -xa sleep | cut -d' ' -f2- | sort")
    assert left.lines == ("sleep 1004", "sleep 1005", "sleep 1006")
    assert lease_of(host) == ""
    await session.run("kill $(pgrep -x sleep)")
    await session.close()
    await ssh.close()


async def test_who_gives_a_host_back_from_the_host_itself_lives_on(site: Hosts, tmp_path: Path) -> None:
    """The shell that runs the script, and those above it, may carry the mark."""
    host = site.hosts[0]
    async with opened(site, tmp_path, worker_ips=[host.address]) as provider:
        await provider.launch(request("b1", "c1"))
        (machine,) = await provider.list()
        lease = leases.parse(lease_of(host))
        assert lease is not None
        inside = {"RF_SIGN": lease.sign, "RF_CLUSTER": "mine", "RF_STEPS": "5", "RAYFLEET_CLUSTER": "mine"}
        words = [f"{key}={value}" for key, value in inside.items()]
        ran = host.run(["env", *words, "bash", "-c", RELEASE])
        assert ran.stdout.splitlines()[-1] == "rayfleet released yes"
        assert machine.id not in {each.id for each in await provider.list()}


async def test_a_release_that_is_overtaken_leaves_the_next_lease_and_what_runs_under_it(
    site: Hosts, tmp_path: Path
) -> None:
    """It waits for something that does not listen, while another call is done and the cluster takes the host again."""
    host = site.hosts[0]
    async with opened(site, tmp_path, worker_ips=[host.address]) as provider:
        await provider.launch(request("b1", "c1"))
        lease = leases.parse(lease_of(host))
        assert lease is not None
        host.run(["bash", "-c", "trap '' TERM; RAYFLEET_CLUSTER=mine setsid sleep 1007 > /dev/null 2>&1 < /dev/null &"])
        inside = {"RF_SIGN": lease.sign, "RF_CLUSTER": "mine", "RF_STEPS": "100"}
        words = [f"{key}={value}" for key, value in inside.items()]
        late = asyncio.create_task(asyncio.to_thread(host.run, ["env", *words, "bash", "-c", RELEASE]))
        await asyncio.sleep(1)
        host.run(["rm", "-f", leases.PATH])
        await provider.launch(request("b2", "c2"))
        ran = await late
        assert ran.stdout.splitlines()[-1] == "rayfleet released already"
        assert [machine.batch for machine in await provider.list()] == ["b2"]
        assert host.run(["pgrep", "-f", "sleep 1007"]).stdout
    host.run(["bash", "-c", "kill -KILL $(pgrep -f 'sleep 1007')"])


async def test_a_host_that_is_cut_off_stays_listed_and_is_given_back_when_it_returns(
    site: Hosts, tmp_path: Path
) -> None:
    host, other = site.hosts
    async with opened(site, tmp_path) as provider:
        await provider.launch(request("b1", "c1", "c2"))
        assert len(await provider.list()) == 2
        host.cut_off()
        try:
            seen = on(await provider.list(), host)
            assert seen.state is MachineState.RUNNING
            assert host.address in seen.message
            await provider.release((seen.id,))
            assert on(await provider.list(), host).state is MachineState.STOPPING
            assert leases.parse(lease_of(host)) is not None
        finally:
            host.reconnect()
        assert [machine.address for machine in await provider.list()] == [other.address]
        assert lease_of(host) == ""
        assert on(await provider.list(), other).state is MachineState.RUNNING


async def test_a_host_that_does_not_come_back_is_lost_after_a_while(site: Hosts, tmp_path: Path) -> None:
    """And is listed again when it does: its lease is still ours."""
    host, other = site.hosts
    async with opened(site, tmp_path, unreachable_timeout_s=0) as provider:
        await provider.launch(request("b1", "c1", "c2"))
        host.cut_off()
        try:
            assert [machine.address for machine in await provider.list()] == [other.address]
        finally:
            host.reconnect()
        assert len(await provider.list()) == 2


async def test_a_host_that_was_restarted_has_failed_and_can_be_taken_anew(site: Hosts, tmp_path: Path) -> None:
    host = site.hosts[0]
    async with opened(site, tmp_path, worker_ips=[host.address]) as provider:
        await provider.launch(request("b1", "c1"))
        (before,) = await provider.list()
        host.power_cycle()
        (failed,) = await provider.list()
        assert (failed.id, failed.state, "restarted" in failed.message) == (before.id, MachineState.FAILED, True)
        await provider.release((failed.id,))
        await provider.launch(request("b2", "c2"))
        (after,) = await provider.list()
        assert (after.address, after.state) == (host.address, MachineState.RUNNING)
        assert after.id != before.id


async def test_another_machine_in_a_hosts_place_is_asked_about_or_taken(site: Hosts, tmp_path: Path) -> None:
    host = site.hosts[1]
    async with opened(site, tmp_path, worker_ips=[host.address]) as provider:
        await provider.launch(request("b1", "c1"))
        assert len(await provider.list()) == 1
        host.replace()
        (failed,) = await provider.list()
        assert failed.state is MachineState.FAILED
        assert "ssh-keygen" in failed.message
        await provider.release((failed.id,))
        assert await provider.list() == ()
    async with opened(site, tmp_path, worker_ips=[host.address], host_keys="any") as provider:
        await provider.launch(request("b2", "c2"))
        (after,) = await provider.list()
        assert (after.address, after.state) == (host.address, MachineState.RUNNING)


async def test_a_lease_of_somebody_who_is_no_more_is_removed_by_force_only(site: Hosts, tmp_path: Path) -> None:
    async with opened(site, tmp_path, "dead") as dead:
        await dead.launch(request("b1", "c1", "c2"))
    async with opened(site, tmp_path) as provider:
        with pytest.raises(OutOfStock):
            await provider.launch(request("b1", "c1"))
        assert await provider.free(site.hosts[0].address) == "cluster dead"
        assert await provider.free(site.hosts[0].address) == ""
        await provider.launch(request("b1", "c1"))
        assert [machine.address for machine in await provider.list()] == [site.hosts[0].address]


async def test_preflight_of_healthy_hosts_finds_nothing_fatal(site: Hosts, tmp_path: Path) -> None:
    """They have the Python and Ray of this very test."""
    nobody = site.gateway.rsplit(".", 1)[0] + ".250"
    settings = Settings.model_validate(
        {
            "worker_ips": [*(host.address for host in site.hosts), nobody],
            "connect_timeout_s": 2,
            "preflight": {"python": True, "ray": True, "sudo": True},
        }
    )
    ssh = AsyncSsh()
    context = ProviderContext("checked", tmp_path, settings, lambda _pool, _head: StartScript(()), login=site.login)
    told: list[str] = []
    *healthy, missing = await preflight(context, ssh, lambda host: told.append(host.address), settings.all_hosts())
    await ssh.close()
    assert [(checked.usable, checked.findings) for checked in healthy] == [(True, ()), (True, ())]
    assert {checked.facts["ray"] for checked in healthy} == {version("ray")}
    assert not missing.usable
    assert nobody in missing.findings[0].text
    assert sorted(told) == sorted(checked.address for checked in (*healthy, missing))
