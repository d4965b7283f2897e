"""The pre-flight of all hosts of a file: what is said of each, in which order, and that nothing is changed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance.local_case import HELD, LocalCase, start_script

from rayfleet.contracts import HostCheck, LaunchRequest, Login, ProviderContext
from rayfleet.model import OfferKey, Pool, Resources
from rayfleet.providers.local import PROVIDER
from rayfleet.testing.fake_ssh import Asked

CLUSTER = "one"


@pytest.fixture
def case(tmp_path: Path) -> LocalCase:
    found = LocalCase(tmp_path, 3, head_ip="10.0.0.1", worker_ips=["10.0.0.2", "10.0.0.3"])
    for host in found.hosts:
        host.facts |= {"python": "3.12.1", "ray": "2.55.0"}
    return found


async def checked(case: LocalCase, tell: Callable[[HostCheck], None] = lambda _host: None) -> list[HostCheck]:
    context = ProviderContext(CLUSTER, case.folder / CLUSTER, case.settings, start_script, login=Login("me"))
    assert PROVIDER.preflight is not None
    return list(await PROVIDER.preflight(context, case.ssh, tell))


def kinds(host: HostCheck) -> list[str]:
    return [finding.what for finding in host.findings]


async def test_hosts_in_order_are_fine(case: LocalCase) -> None:
    """What the head has is what the others are compared with, whatever this computer has."""
    found = await checked(case)
    assert [(host.address, host.head, host.usable, kinds(host)) for host in found] == [
        ("10.0.0.1", True, True, []),
        ("10.0.0.2", False, True, []),
        ("10.0.0.3", False, True, []),
    ]
    assert {**found[0].facts, "clock": ""} == {
        "python": "3.12.1", "ray": "2.55.0", "clock": "", "cpus": "8", "memory": "15.3 GiB",
        "disk": "95.4 GiB free in /tmp", "sudo": "yes", "lease": "free",
    }  # fmt: skip
    assert all(host.ssh.open_sessions == 0 for host in case.hosts)
    assert all("# rayfleet: probe" in command for host in case.hosts for command in host.ssh.commands)


async def test_each_host_is_told_of_with_what_is_wrong(case: LocalCase) -> None:
    case.hosts[0].facts["ports"] = "18EB"
    case.hosts[1].facts |= {"ray": "2.54.0", "sudo": ""}
    case.hosts[2].lease = HELD
    head, second, third = await checked(case)
    assert (head.usable, kinds(head)) == (False, ["ports"])
    assert (second.usable, kinds(second)) == (True, ["ray", "sudo"])
    assert second.findings[0].text == "Ray 2.54.0 is not the 2.55.0 of the rest of the cluster"
    assert (third.usable, third.findings[0].text) == (False, "is held by cluster strangers")


async def test_a_host_out_of_reach_keeps_no_other_waiting(case: LocalCase) -> None:
    """Each is told of as its answer arrives, the slow ones last."""
    others = asyncio.Event()
    told: list[str] = []

    async def slow(asked: Asked) -> str:
        await others.wait()
        return case.hosts[1].probe(asked)

    def tell(host: HostCheck) -> None:
        told.append(host.address)
        if set(told) == {"10.0.0.1", "10.0.0.3"}:
            others.set()

    case.hosts[1].ssh.answers = {"# rayfleet: probe\n": slow}
    case.hosts[2].ssh.down = True
    away = (await checked(case, tell))[2]
    assert told[-1] == "10.0.0.2"
    assert (away.usable, away.facts, away.findings[0].text) == (False, {}, "10.0.0.3 does not answer")


async def test_a_cluster_that_is_up_is_no_trouble_to_itself(case: LocalCase) -> None:
    """Its Ray is at the head's ports, and its leases are on the hosts."""
    pool = Pool("head", Resources())
    await case.local(CLUSTER).launch(LaunchRequest("h1", OfferKey("head"), pool, ("head-1",), head=True))
    case.hosts[0].facts["ports"] = "18EB"
    head, *_ = await checked(case)
    assert (head.usable, head.findings, head.facts["lease"]) == (True, (), "this cluster's")
