"""The network and its two rules: looked for once, made once, and left alone where the user has his own."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.providers.gcp.place import at, made, wanted

from rayfleet.contracts import Denied
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator

RULES = "compute.firewalls.insert"
NETWORK = "https://www.googleapis.com/compute/v1/projects/test-project/global/networks/default"


async def test_it_is_seen_to_once(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, ssh_source_ranges=("10.0.0.0/8",))
    for batch in ("b1", "b2"):
        await provider.launch(wanted(batch))
    assert (cloud.calls["compute.subnetworks.list"], cloud.calls["compute.firewalls.list"]) == (1, 1)
    inside, outside = cloud.account.firewalls["rayfleet-internal"], cloud.account.firewalls["rayfleet-ssh"]
    assert inside["sourceTags"] == inside["targetTags"] == ["rayfleet"]
    assert (outside["sourceRanges"], outside["allowed"][0]["ports"]) == (["10.0.0.0/8"], ["22"])
    assert made(cloud)[0].body["networkInterfaces"][0]["subnetwork"].endswith("us-central1/subnetworks/default")
    again = at(cloud, tmp_path)
    await again.launch(wanted("b3"))
    assert cloud.calls[RULES] == 2
    await provider.close()
    await again.close()


async def test_googles_own_rules_are_enough(cloud: GcpEmulator, tmp_path: Path) -> None:
    for name in ("default-allow-internal", "default-allow-ssh"):
        cloud.account.firewalls[name] = {"name": name, "network": NETWORK}
    provider = at(cloud, tmp_path)
    await provider.launch(wanted())
    assert not cloud.calls[RULES]
    await provider.close()


async def test_a_rule_that_somebody_else_made_meanwhile_is_fine(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.faults.append(Fault(RULES, 409, "alreadyExists"))
    cloud.faults.append(Fault(RULES, operation="RESOURCE_ALREADY_EXISTS"))
    provider = at(cloud, tmp_path)
    await provider.launch(wanted())
    assert len(made(cloud)) == 1
    await provider.close()


@pytest.mark.parametrize("fault", [Fault(RULES, 403, "forbidden"), Fault(RULES, operation="PERMISSIONS_ERROR")])
async def test_who_may_not_make_rules_is_told_what_to_do(cloud: GcpEmulator, tmp_path: Path, fault: Fault) -> None:
    cloud.faults.append(replace(fault))
    provider = at(cloud, tmp_path)
    with pytest.raises(Denied, match="firewall to false"):
        await provider.launch(wanted())
    assert not made(cloud)
    await provider.close()
    without = at(cloud, tmp_path, firewall=False)
    await without.launch(wanted())
    assert len(made(cloud)) == 1
    await without.close()


async def test_a_region_without_a_subnetwork(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.no_subnets = True
    provider = at(cloud, tmp_path)
    with pytest.raises(Denied, match="no subnetwork in us-central1"):
        await provider.launch(wanted())
    await provider.close()


async def test_the_users_own_network_is_left_alone(cloud: GcpEmulator, tmp_path: Path) -> None:
    interfaces = [{"subnetwork": "regions/us-central1/subnetworks/mine"}]
    provider = at(cloud, tmp_path, {"machineType": "n2-standard-4", "networkInterfaces": interfaces})
    await provider.launch(wanted())
    assert set(cloud.calls) == {"compute.instances.insert", "compute.zoneOperations.get"}
    await provider.close()


async def test_what_no_network_would_help_is_told_as_it_is(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, project_id=None)
    with pytest.raises(Denied, match=r"^provider.project_id is not set") as denied:
        await provider.launch(wanted())
    assert "firewall" not in str(denied.value)
    await provider.close()
