"""What machines are like that were asked for, and what is refused before anything is asked."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.gcp.place import LOGIN, POOL, at, listed, made, start, wanted

from rayfleet.contracts import Denied, MachineState, OutOfStock
from rayfleet.engines.ray.notice_watch import ask
from rayfleet.model import Market, StandbyMode
from rayfleet.providers.gcp.notice import GRACE_S, left_s
from rayfleet.providers.gcp.scripts import startup_script
from rayfleet.testing.clouds.gcp import Account, Fault, GcpEmulator, Launched
from rayfleet.testing.standby_conformance import keeper


async def test_a_machine_knows_what_it_needs(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted(head=True))
    (machine,) = made(cloud)
    assert machine.metadata["ssh-keys"] == f"ubuntu:{LOGIN.public_key}"
    assert "begin workers" in machine.metadata["startup-script"]
    assert machine.body["serviceAccounts"][0]["email"] == "rayfleet-head@test-project.iam.gserviceaccount.com"
    assert machine.body["labels"] == {
        "rayfleet-cluster": "demo",
        "rayfleet-batch": "b1",
        "rayfleet-pool": "workers",
        "rayfleet-offer-provider": "gcp",
        "rayfleet-head": "yes",
    }
    await provider.close()


async def test_workers_have_no_rights_of_their_own(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted())
    assert "serviceAccounts" not in made(cloud)[0].body
    await provider.close()


async def test_both_addresses_are_listed_and_real_hosts_may_stand_for_machines(tmp_path: Path) -> None:
    launched: list[Launched] = []
    gone: list[str] = []

    def real_host(machine: Launched) -> tuple[str, str]:
        launched.append(machine)
        return "10.77.0.5", "127.0.0.9"

    with GcpEmulator(Account(on_launch=real_host, on_gone=gone.append)) as cloud:
        provider = at(cloud, tmp_path)
        await provider.launch(wanted())
        (machine,) = await provider.list()
        assert not gone
        for _ in range(2):
            await provider.release((machine.id,))
        await provider.close()
    assert (machine.address, machine.public_address) == ("10.77.0.5", "127.0.0.9")
    assert (launched[0].name, launched[0].zone, gone) == (machine.id, "us-central1-a", [machine.id])
    assert "begin workers" in launched[0].metadata["startup-script"]
    assert machine.launched_at > 0


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        ({"machineTyp": "n1-standard-1"}, {}, 'no field named "machineTyp"'),
        ({"scheduling": {"preemptibel": True}}, {}, 'no field named "preemptibel"'),
        ({"acceleratorType": "tpu"}, {}, "must be such as v4-8"),
        ({"acceleratorConfig": {"type": "V4", "topology": "2x?"}}, {}, "must be such as 2x2x1"),
        ({"acceleratorType": "v4-16"}, {}, "has 2 hosts, and pool workers counts 1"),
        ({"acceleratorType": "v2-8"}, {"region": "us-west1"}, "TPUs need a zone"),
        ({"acceleratorType": "v2-8", "runtimVersion": "x"}, {}, 'no field named "runtimVersion"'),
        ({}, {"availability_zone": None}, "provider.region is not set"),
        ({}, {"project_id": None}, "provider.project_id is not set"),
        ({"sourceMachineImage": "i"}, {"region": "us-west1"}, "sourceMachineImage needs a zone"),
        ({"hostname": "a.b.c"}, {"region": "us-west1"}, "hostname needs a zone"),
    ],
)
async def test_what_cannot_work_is_denied_with_a_sentence(
    cloud: GcpEmulator, tmp_path: Path, config: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    provider = at(cloud, tmp_path, config, **settings)
    with pytest.raises(Denied, match=said):
        await provider.launch(wanted())
    assert not made(cloud)
    await provider.close()


async def test_what_google_does_not_know_is_denied(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, {"disks": [{"boot": False}]})
    with pytest.raises(Denied, match="a boot disk is required"):
        await provider.launch(wanted())
    await provider.close()


async def test_the_market_of_the_offer_counts(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", market=Market.SPOT))
    await provider.launch(wanted("b2", 2, market=Market.ON_DEMAND))
    models = [machine.body.get("scheduling", {}).get("provisioningModel") for machine in made(cloud)]
    assert sorted(map(str, models)) == ["None", "None", "SPOT"]
    await provider.close()


async def test_spot_machines_cannot_wait(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted(market=Market.SPOT))
    (machine,) = await listed(provider, bool)
    with pytest.raises(Denied, match="cannot wait"):
        await keeper(provider).stop((machine.id,), StandbyMode.STOPPED)
    with pytest.raises(Denied, match="cannot wait"):
        await keeper(provider).prepare(wanted("b2", market=Market.SPOT), StandbyMode.STOPPED)
    assert [m.state for m in await provider.list()] == [MachineState.RUNNING]
    await provider.close()


async def test_a_machine_that_waits_may_find_no_stock(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    waiting = keeper(provider)
    await waiting.prepare(wanted(), StandbyMode.STOPPED)
    (machine,) = await listed(provider, lambda ms: [m.state for m in ms] == [MachineState.STANDBY])
    cloud.faults.append(Fault("compute.instances.start", operation="ZONE_RESOURCE_POOL_EXHAUSTED"))
    again = replace(wanted("b2"), reuse=(machine.id,))
    with pytest.raises(OutOfStock, match="EXHAUSTED"):
        await waiting.start(again)
    assert [m.state for m in await provider.list()] == [MachineState.STANDBY]
    await waiting.start(again)
    await listed(provider, lambda ms: [m.state for m in ms] == [MachineState.RUNNING])
    assert "begin workers" in made(cloud)[0].metadata["startup-script"]
    await provider.close()


async def test_a_machine_asks_google_for_its_own_name(
    cloud: GcpEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted(market=Market.SPOT))
    (machine,) = await provider.list()
    script = made(cloud)[0].metadata["startup-script"]
    (line,) = (line for line in script.splitlines() if line.startswith("export RAYFLEET_MACHINE_ID="))
    host = cloud.endpoint.removeprefix("http://")
    program = ("bash", "-c", f'{line}; echo "$RAYFLEET_MACHINE_ID"')
    environment = {**os.environ, "GCE_METADATA_HOST": host}
    ran = await asyncio.create_subprocess_exec(*program, env=environment, stdout=asyncio.subprocess.PIPE)
    out, _ = await ran.communicate()
    assert out.decode().strip() == machine.id
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    assert left_s(ask, "http://127.0.0.1:9") is None
    cloud.account.preempt(machine.id)
    assert left_s(ask, "http://127.0.0.1:9") == GRACE_S
    await provider.close()


def test_each_boot_starts_the_node_once() -> None:
    script = startup_script(start(POOL, False), "ubuntu", "demo")
    assert script.startswith("#!/bin/bash\n")
    assert script.rstrip().endswith("rm -f /var/lib/cloud/scripts/per-boot/rayfleet")
    assert script.index("id -u ubuntu") < script.index("su - ubuntu")
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


def test_without_the_library_the_user_is_told_what_to_install() -> None:
    program = """
import asyncio, pathlib, sys
sys.modules["google.cloud.compute_v1"] = None
from rayfleet.contracts import Denied, ProviderContext
from rayfleet.providers.gcp import PROVIDER, Settings
settings = Settings(project_id="p", endpoint="http://127.0.0.1:1", retry_delay_s=0)
provider = PROVIDER.build(ProviderContext("c", pathlib.Path("/nowhere"), settings, lambda pool, head: None))
try:
    asyncio.run(provider.list())
except Denied as denied:
    print(denied)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "rayfleet[gcp]"' in ran.stdout


def test_reading_the_kind_loads_no_library() -> None:
    program = (
        "import sys, rayfleet.providers.gcp; "
        "print([name for name in sys.modules if name.startswith(('google.cloud', 'google.auth', 'requests'))])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
