"""TPU VMs: a slice is a replica of one or more hosts, made and deleted as a whole."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.providers.gcp.place import at, listed, wanted

from rayfleet.contracts import Denied, Flaky, MachineState, OutOfStock, Provider, QuotaReached, TypeConfig
from rayfleet.model import Market, StandbyMode, Trouble
from rayfleet.providers.gcp.scripts import TPU_HOST
from rayfleet.providers.gcp.tpu import hosts
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator
from rayfleet.testing.standby_conformance import keeper

CREATE: Final = "tpu.projects.locations.nodes.create"
DELETE: Final = "tpu.projects.locations.nodes.delete"
LIST: Final = "tpu.projects.locations.nodes.list"
TWO: Final = {"acceleratorType": "v4-16", "runtimeVersion": "tpu-ubuntu2204-base"}
ONE: Final = {"acceleratorConfig": {"type": "V4", "topology": "2x2x1"}, "runtimeVersion": "tpu-vm-v4-base"}


def tpus(cloud: GcpEmulator, folder: Path, config: dict[str, Any] | None = None, **more: Any) -> Provider:
    return at(cloud, folder, config or TWO, **more)


def all_running(machines: Any) -> bool:
    return bool(machines) and {machine.state for machine in machines} == {MachineState.RUNNING}


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"acceleratorType": "v2-8"}, 1),
        ({"acceleratorType": "v3-32"}, 4),
        ({"acceleratorType": "v4-8"}, 1),
        ({"acceleratorType": "v4-16"}, 2),
        ({"acceleratorType": "v5p-32"}, 4),
        ({"acceleratorType": "v5litepod-8"}, 1),
        ({"acceleratorType": "v5litepod-16"}, 4),
        ({"acceleratorType": "v6e-32"}, 8),
        ({"acceleratorConfig": {"type": "V4", "topology": "2x2x1"}}, 1),
        ({"acceleratorConfig": {"type": "V4", "topology": "2x2x4"}}, 4),
        ({"acceleratorConfig": {"type": "V5LITE_POD", "topology": "2x4"}}, 1),
    ],
)
def test_how_many_hosts_a_slice_has(config: dict[str, Any], count: int) -> None:
    assert hosts(TypeConfig(node_config=config)) == count


async def test_each_host_is_a_machine_of_its_replica(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path)
    await provider.launch(wanted("b1", 2, hosts=2))
    assert len(await provider.list()) == 4  # already while Google has no addresses for them
    machines = await listed(provider, all_running)
    assert sorted(Counter(machine.replica for machine in machines).values()) == [2, 2]
    assert len({machine.address for machine in machines}) == 4
    assert {(machine.batch, machine.offer) for machine in machines} == {("b1", wanted("b1").offer)}
    assert all(machine.id.startswith(f"{machine.replica}-w") for machine in machines)
    await provider.launch(wanted("b1", 2, hosts=2))
    assert cloud.account.ever_made == 2
    await provider.close()


async def test_one_host_is_given_back_with_its_slice(cloud: GcpEmulator, tmp_path: Path) -> None:
    first = tpus(cloud, tmp_path)
    await first.launch(wanted("b1", 2, hosts=2))
    machines = await listed(first, all_running)
    await first.close()
    provider = tpus(cloud, tmp_path)  # a restarted controller
    await provider.release((machines[0].id, machines[1].id))
    left = await listed(provider, lambda found: len(found) == 2)
    assert {machine.replica for machine in left} == {machines[3].replica}
    assert cloud.calls[DELETE] == 1
    await provider.release((machines[0].id,))
    await provider.launch(wanted("b1", 2, hosts=2))
    assert cloud.account.ever_made == 2
    await provider.close()


async def test_rays_example_of_a_single_host(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path, {**ONE, "serviceAccounts": [{"email": "me@p", "scopes": ["s"]}], "disks": []})
    await provider.launch(wanted(market=Market.SPOT))
    (body,) = cloud.account.slices.values()
    assert body["schedulingConfig"] == {"spot": True}
    assert body["networkConfig"]["enableExternalIps"] is True
    assert body["serviceAccount"] == {"email": "me@p", "scope": ["s"]}
    assert body["tags"] == ["rayfleet"]
    assert "begin workers" in body["metadata"]["startup-script"]
    assert "attributes/agent-worker-number" in body["metadata"]["startup-script"]
    await provider.close()


async def test_fall_back_to_on_demand(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path, {**ONE, "schedulingConfig": {"preemptible": True}})
    await provider.launch(wanted(market=Market.ON_DEMAND))
    (body,) = cloud.account.slices.values()
    assert not body.get("schedulingConfig")
    await provider.close()


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("8", "There is no more capacity in the zone", OutOfStock),
        ("8", "Quota limit 'TPUV4sPerProjectPerZone' has been exceeded", QuotaReached),
        ("7", "not for you", Denied),
        ("3", "no such runtime", Denied),
        ("13", "something broke", Flaky),
    ],
)
async def test_an_operation_that_fails(
    cloud: GcpEmulator, tmp_path: Path, code: str, message: str, error: type[Exception]
) -> None:
    provider = tpus(cloud, tmp_path)
    cloud.faults.append(Fault(CREATE, operation=code, message=message))
    with pytest.raises(error, match=message):
        await provider.launch(wanted(hosts=2))
    assert not cloud.account.slices
    await provider.launch(wanted(hosts=2))
    assert len(await provider.list()) == 2
    await provider.close()


async def test_no_stock_that_is_told_late(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.operation_looks = 3
    provider = tpus(cloud, tmp_path, launch_wait_s=0.0)
    cloud.faults.append(Fault(CREATE, operation="8", message="no more capacity"))
    await provider.launch(wanted(hosts=2))
    failed = await listed(provider, lambda ms: bool(ms) and {m.state for m in ms} == {MachineState.FAILED})
    assert [machine.trouble for machine in failed] == [Trouble.OUT_OF_STOCK] * 2
    await provider.release(tuple(machine.id for machine in failed))
    assert await provider.list() == ()
    await provider.close()


async def test_an_answer_that_was_lost_makes_no_second_slice(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path)
    cloud.faults.append(Fault(CREATE, 503, done=True))
    await provider.launch(wanted(hosts=2))
    assert (cloud.account.ever_made, cloud.calls[CREATE]) == (1, 2)
    await provider.close()


async def test_a_slice_that_google_takes_is_deleted(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path)
    await provider.launch(wanted(hosts=2, market=Market.SPOT))
    await listed(provider, all_running)
    next(iter(cloud.account.slices.values()))["state"] = "PREEMPTED"
    while cloud.account.slices:
        assert await provider.list() == ()
    assert cloud.calls[DELETE] == 1
    await provider.close()


async def test_a_zone_that_does_not_answer(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path)
    cloud.faults.append(Fault(LIST, operation="x", zone="us-west1-a", times=3))
    with pytest.raises(Flaky, match="locations/us-west1-a"):
        await provider.list()
    await provider.close()


async def test_what_slices_cannot_do(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = tpus(cloud, tmp_path)
    with pytest.raises(Denied, match="cannot be the head"):
        await provider.launch(wanted(head=True, hosts=2))
    with pytest.raises(Denied, match="cannot wait"):
        await keeper(provider).prepare(wanted(hosts=2), StandbyMode.STOPPED)
    await provider.launch(wanted(hosts=2))
    with pytest.raises(Denied, match="cannot wait"):
        await keeper(provider).stop((next(iter(await provider.list())).id,), StandbyMode.STOPPED)
    await provider.close()


async def test_without_tpus_nobody_asks_for_them(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.list()
    assert not cloud.calls[LIST]
    await provider.close()


async def test_a_host_asks_google_who_it_is(cloud: GcpEmulator, tmp_path: Path) -> None:
    about = [{"key": "instance-id", "value": "demo-1"}, {"key": "agent-worker-number", "value": "3"}]
    provider = at(cloud, tmp_path, {"metadata": {"items": about}})
    await provider.launch(wanted())
    environment = {**os.environ, "GCE_METADATA_HOST": cloud.endpoint.removeprefix("http://")}
    program = ("bash", "-c", f'echo "$({TPU_HOST})"')
    ran = await asyncio.create_subprocess_exec(*program, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await ran.communicate()
    assert out.decode().strip() == "demo-1-w3"
    await provider.close()
