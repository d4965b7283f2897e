"""Provider `local` over pretended hosts: which are taken, what is said of those that cannot be, what is remembered."""

import asyncio
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.local_case import HELD, LocalCase

from rayfleet.contracts import Denied, Flaky, LaunchRequest, Machine, MachineState, OutOfStock
from rayfleet.model import CPU, OfferKey, Pool, Resources
from rayfleet.providers.local import PROVIDER
from rayfleet.providers.local.memory import BATCHES_MAX, Memory
from rayfleet.testing.fake_ssh import Asked


@pytest.fixture
def case(tmp_path: Path) -> LocalCase:
    return LocalCase(tmp_path, 3)


def addresses(machines: tuple[Machine, ...]) -> list[str]:
    return [machine.address for machine in machines]


async def test_a_bad_host_is_passed_over_and_the_others_are_used(case: LocalCase) -> None:
    """One is full, one is away: the third is taken, and the next launch says what is wrong with the two."""
    case.hosts[0].facts["disk"] = "/tmp 1000"
    case.hosts[1].ssh.down = True
    provider = case.provider()
    await provider.launch(case.request("b1", "c1", "c2"))
    assert addresses(await provider.list()) == ["10.0.0.3"]
    with pytest.raises(Flaky, match=r"/tmp has 0.0 GiB free.*10.0.0.2 does not answer") as raised:
        await provider.launch(case.request("b2", "c3"))
    assert raised.value.scope == case.offer


def asked(case: LocalCase, what: str) -> list[int]:
    return [sum(f"# rayfleet: {what}\n" in command for command in host.ssh.commands) for host in case.hosts]


async def test_hosts_that_were_just_listed_are_not_looked_at_again_before_a_launch(case: LocalCase) -> None:
    """But for those that did not answer; and after one host was taken, all are."""
    case.hosts[2].ssh.down = True
    provider = case.provider()
    await provider.list()
    case.hosts[2].ssh.down = False
    await provider.launch(case.request("b1", "c1"))
    assert asked(case, "look") == [1, 1, 1]
    await provider.launch(case.request("b2", "c2", "c3"))
    assert asked(case, "look") == [2, 2, 2]
    assert len(await provider.list()) == 3


async def test_a_listing_during_a_launch_is_not_used_for_the_next(case: LocalCase) -> None:
    """It shows hosts as they were before they were taken."""
    provider = case.provider()
    await asyncio.gather(provider.launch(case.request("b1", "c1")), provider.list())
    await provider.launch(case.request("b2", "c2", "c3"))
    assert len(await provider.list()) == 3


async def test_what_was_taken_or_given_back_is_worth_a_listing_soon(case: LocalCase) -> None:
    """Hosts are there as soon as they are taken: nobody waits for the usual interval, once."""
    provider = case.provider()
    often_s = provider.list_interval_s
    await provider.list()
    assert provider.list_interval_s == often_s
    await provider.launch(case.request("b1", "c1"))
    assert provider.list_interval_s < often_s
    (machine,) = await provider.list()
    assert provider.list_interval_s == often_s
    await provider.launch(case.request("b1", "c1"))  # it is there already: nothing has changed
    assert provider.list_interval_s == often_s
    await provider.release((machine.id,))
    assert provider.list_interval_s < often_s


async def test_python_is_only_started_where_its_version_matters(tmp_path: Path) -> None:
    """It takes longer than all else that a host is asked before it is taken."""
    for matters in (False, True):
        case = LocalCase(tmp_path / str(matters), 1, preflight={"python": matters})
        case.hosts[0].facts["python"] = platform.python_version()
        await case.provider().launch(case.request("b1", "c1"))
        (probe,) = [command for command in case.hosts[0].ssh.commands if "# rayfleet: probe\n" in command]
        assert ("importlib" in probe) is matters


async def test_why_a_host_was_passed_over_is_kept_until_it_is_taken(case: LocalCase) -> None:
    """In the cluster's folder, where another process reads it."""
    read = PROVIDER.passed_over
    assert read is not None
    case.hosts[0].facts["disk"] = "/tmp 1000"
    folder = case.folder / "conformance"
    assert read(folder) == {}
    await case.provider().launch(case.request("b1", "c1"))
    assert read(folder) == {"10.0.0.1": "10.0.0.1: /tmp has 0.0 GiB free, less than 1"}
    del case.hosts[0].facts["disk"]
    await case.provider().launch(case.request("b2", "c2"))
    assert read(folder) == {}


async def test_the_same_batch_again_completes_it_when_hosts_are_well_again(case: LocalCase) -> None:
    case.hosts[0].ssh.down = case.hosts[1].ssh.down = True
    provider = case.provider()
    await provider.launch(case.request("b1", "c1", "c2"))
    case.hosts[0].ssh.down = case.hosts[1].ssh.down = False
    await provider.launch(case.request("b1", "c1", "c2"))
    assert len(await provider.list()) == 2


async def test_a_host_of_somebody_else_is_not_taken_and_who_has_it_is_said(case: LocalCase) -> None:
    """It is taken between our look and our lease."""
    (host, *others) = case.hosts
    for other in others:
        other.lease = HELD

    def overtaken(asked: Asked) -> str:
        host.lease = HELD
        return host.probe(asked)

    host.ssh.answers["# rayfleet: probe\n"] = overtaken
    with pytest.raises(OutOfStock, match=r"10\.0\.0\.1 is held by cluster strangers"):
        await case.provider().launch(case.request("b1", "c1"))
    assert host.lease == HELD


async def test_no_host_for_a_pool_is_the_users_to_know(tmp_path: Path) -> None:
    case = LocalCase(tmp_path, 1, hosts=[{"address": "10.0.0.1", "resources": {CPU: 8}}])
    big = Pool("big", Resources.of({CPU: 64}))
    with pytest.raises(Denied, match="no host of the file fits pool big"):
        await case.provider().launch(LaunchRequest("b1", OfferKey("big"), big, ("c1",)))


async def test_a_login_that_is_refused_everywhere_is_the_users_to_know(case: LocalCase) -> None:
    for host in case.hosts:
        host.ssh.refuses = True
    with pytest.raises(Denied, match="does not let me in"):
        await case.provider().launch(case.request("b1", "c1"))
    with pytest.raises(Denied, match="no host answers"):
        await case.provider().list()


async def test_a_head_and_workers_never_share_a_host(tmp_path: Path) -> None:
    case = LocalCase(tmp_path, 3, head_ip="10.0.0.2", worker_ips=["10.0.0.1", "10.0.0.3"])
    provider = case.provider()
    await provider.launch(case.request("b1", "c1", "c2", "c3"))
    await provider.launch(case.request("b2", "head", head=True))
    machines = await provider.list()
    assert [(machine.address, machine.head) for machine in machines] == [
        ("10.0.0.1", False),
        ("10.0.0.2", True),
        ("10.0.0.3", False),
    ]


async def test_a_busy_port_keeps_the_head_away(tmp_path: Path) -> None:
    case = LocalCase(tmp_path, 2, head_ip="10.0.0.1", worker_ips=["10.0.0.2"])
    case.hosts[0].facts["ports"] = "18EB"
    with pytest.raises(Denied, match="port 6379 is in use"):
        await case.provider().launch(case.request("b1", "head", head=True))


async def test_hosts_are_logged_in_to_once_and_logged_out_of(case: LocalCase) -> None:
    provider = case.provider()
    for _ in range(3):
        await provider.list()
    assert [len(host.ssh.logins) for host in case.hosts] == [1, 1, 1]
    assert case.hosts[0].ssh.logins[0].known_hosts == case.folder / "conformance" / "known_hosts"
    await provider.close()
    assert [host.ssh.open_sessions for host in case.hosts] == [0, 0, 0]
    assert case.ssh.closed


async def test_a_session_that_broke_is_opened_again(case: LocalCase) -> None:
    provider = case.provider()
    await provider.list()
    case.hosts[0].ssh.break_after = 0
    assert await provider.list() == ()
    case.hosts[0].ssh.down, case.hosts[0].ssh.break_after = False, None
    await provider.launch(case.request("b1", "c1"))
    assert addresses(await provider.list()) == ["10.0.0.1"]


async def test_what_was_released_while_away_ends_when_the_host_is_back_even_after_a_restart(case: LocalCase) -> None:
    provider = case.provider()
    await provider.launch(case.request("b1", "c1", "c2"))
    first, second = await provider.list()
    case.hosts[0].ssh.down = True
    await provider.release((first.id,))
    assert [machine.state for machine in await provider.list()] == [MachineState.STOPPING, MachineState.RUNNING]
    again = case.provider()
    case.hosts[0].ssh.down = False
    assert [machine.id for machine in await again.list()] == [second.id]
    assert case.hosts[0].ended == ["conformance"]


async def test_a_host_is_known_after_a_restart_though_it_does_not_answer(case: LocalCase) -> None:
    provider = case.provider()
    await provider.launch(case.request("b1", "c1"))
    (machine,) = await provider.list()
    case.hosts[0].ssh.down = True
    (known,) = await case.provider().list()
    assert (known.id, known.state, known.batch) == (machine.id, MachineState.RUNNING, "b1")
    assert "10.0.0.1 does not answer" in known.message


async def test_processes_that_cannot_be_ended_keep_the_host(case: LocalCase) -> None:
    provider = case.provider()
    await provider.launch(case.request("b1", "c1"))
    (machine,) = await provider.list()
    case.hosts[0].unending = "4711"
    with pytest.raises(Flaky, match=r"10.0.0.1 could not be given back.*4711"):
        await provider.release((machine.id,))
    assert [each.state for each in await provider.list()] == [MachineState.STOPPING]
    case.hosts[0].unending = ""
    await provider.release((machine.id,))
    assert await provider.list() == ()


async def test_a_restarted_host_has_failed(case: LocalCase) -> None:
    provider = case.provider()
    await provider.launch(case.request("b1", "c1"))
    case.hosts[0].power_cycle()
    (machine,) = await provider.list()
    assert (machine.state, machine.message) == (MachineState.FAILED, "10.0.0.1 was restarted")


async def test_another_host_key_is_asked_about_unless_any_will_do(tmp_path: Path) -> None:
    case = LocalCase(tmp_path, 2)
    provider = case.provider()
    await provider.launch(case.request("b1", "c1"))
    await provider.close()
    case.hosts[0].ssh.key = "second"
    (machine,) = await case.provider().list()
    assert machine.state is MachineState.FAILED
    assert "host key" in machine.message
    case.settings = case.settings.model_copy(update={"host_keys": "any"})
    (machine,) = await case.provider().list()
    assert machine.state is MachineState.RUNNING


async def test_a_stale_lease_is_removed_by_force(case: LocalCase) -> None:
    case.hosts[1].lease = HELD
    provider = case.local()
    assert await provider.free("10.0.0.2") == "cluster strangers"
    assert await provider.free("10.0.0.2") == ""
    case.hosts[1].ssh.down = True
    with pytest.raises(Flaky):
        await case.local().free("10.0.0.2")


def test_memory_is_one_small_file_that_forgets_the_oldest(tmp_path: Path) -> None:
    memory = Memory.load(tmp_path / "new" / "hosts.json")
    for number in range(BATCHES_MAX + 5):
        memory.took(f"b{number}", "c/0")
        memory.took(f"b{number}", "c/0")
    memory.released["m"] = True
    memory.save()
    again = Memory.load(memory.path)
    assert again.released == {"m": True}
    assert next(iter(again.batches.items())) == ("b5", ["c/0"])
    assert json.loads(memory.path.read_text())["seen"] == {}


async def test_the_heads_ports_matter_on_whichever_host_it_takes(tmp_path: Path) -> None:
    case = LocalCase(tmp_path, 2)
    case.hosts[0].facts["ports"] = "2049"
    provider = case.provider()
    await provider.launch(case.request("b1", "head", head=True))
    assert addresses(await provider.list()) == ["10.0.0.2"]


def test_without_its_package_it_says_what_to_install(tmp_path: Path) -> None:
    """In a Python of its own, where asyncssh cannot be imported."""
    program = f"""
import sys
sys.modules["asyncssh"] = None
from pathlib import Path
from rayfleet.contracts import Denied, ProviderContext
from rayfleet.providers.local import PROVIDER
settings = PROVIDER.settings(worker_ips=["a"])
try:
    PROVIDER.build(ProviderContext("c", Path({str(tmp_path)!r}), settings, None))
except Denied as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == 'machines elsewhere need the package asyncssh: pip install "rayfleet[ssh]"\n'
