"""What a launch asks Azure for, as the emulator has it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.azure.cases import GROUP, KEY, LOCATION, POOL, built, names, request, settings, start_script

from rayfleet.contracts import Denied, MachineState, ProviderContext, StartScript, TypeConfig
from rayfleet.model import Market, Pool
from rayfleet.providers.azure import PROVIDER
from rayfleet.providers.azure.provider import AzureProvider
from rayfleet.testing.clouds.azure import AzureEmulator, Launched


@pytest.fixture
def emulator() -> Iterator[AzureEmulator]:
    with AzureEmulator() as running:
        yield running


def only(emulator: AzureEmulator, kind: str = "virtualMachines") -> dict[str, Any]:
    """Return the one resource of a kind."""
    (found,) = emulator.resources(kind)
    return found


async def test_a_machine_is_what_the_file_says(emulator: AzureEmulator, tmp_path: Path) -> None:
    node = {
        "vmSize": "Standard_NC4as_T4_v3", "imageUrn": "publisher:offer:sku:1.2.3", "osDiskSize": 200,
        "osDiskType": "Premium_LRS", "dataDisks": [{"diskSizeGB": 512}], "priority": "Spot", "zones": [2],
        "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": 0.5}, "enableAcceleratedNetworking": True,
    }  # fmt: skip
    provider = built(emulator, tmp_path, node=node, tags={"team": "ml"})
    await provider.launch(request("b1", "c1"))
    machine, nic, address = only(emulator), only(emulator, "networkInterfaces"), only(emulator, "publicIPAddresses")
    properties = machine["properties"]
    assert (machine["location"], machine["zones"], address["zones"]) == (LOCATION, ["2"], ["2"])
    assert properties["hardwareProfile"] == {"vmSize": "Standard_NC4as_T4_v3"}
    image = {"publisher": "publisher", "offer": "offer", "sku": "sku", "version": "1.2.3"}
    assert properties["storageProfile"]["imageReference"] == image
    disk = properties["storageProfile"]["osDisk"]
    assert (disk["diskSizeGB"], disk["managedDisk"]["storageAccountType"]) == (200, "Premium_LRS")
    assert [one["diskSizeGB"] for one in properties["storageProfile"]["dataDisks"]] == [512]
    market = {key: properties[key] for key in ("priority", "evictionPolicy", "billingProfile")}
    assert market == {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": 0.5}}
    assert nic["properties"]["enableAcceleratedNetworking"] is True
    assert machine["tags"]["team"] == nic["tags"]["team"] == "ml"
    assert {key: machine["tags"][f"rayfleet-{key}"] for key in ("cluster", "batch", "pool", "head")} == {
        "cluster": "c", "batch": "b1", "pool": POOL.name, "head": "",
    }  # fmt: skip
    await provider.close()


async def test_what_no_parameter_says_is_said_in_azures_words(emulator: AzureEmulator, tmp_path: Path) -> None:
    """Beside everything that rayfleet says of a machine, which it needs to go without a trace."""
    words: dict[str, Any] = {
        "plan": {"name": "n", "product": "o", "publisher": "p"},
        "properties": {
            "securityProfile": {"securityType": "TrustedLaunch", "uefiSettings": {"secureBootEnabled": True}},
            "storageProfile": {"osDisk": {"caching": "ReadOnly"}},
            "hardwareProfile": {"vmSizeProperties": {"vCPUsPerCore": 1}},
        },
    }
    types = {POOL.name: TypeConfig(node_config={"azure_virtual_machine": words})}
    provider = PROVIDER.build(ProviderContext("c", tmp_path, settings(emulator), start_script, types))
    await provider.launch(request("b1", "c1"))
    machine = only(emulator)
    properties = machine["properties"]
    assert (machine["plan"], properties["securityProfile"]) == (words["plan"], words["properties"]["securityProfile"])
    disk = properties["storageProfile"]["osDisk"]
    assert (disk["caching"], disk["deleteOption"]) == ("ReadOnly", "Delete")
    size = {"vmSize": "Standard_D2s_v5", "vmSizeProperties": {"vCPUsPerCore": 1}}
    assert properties["hardwareProfile"] == size
    await provider.release(tuple(names(emulator)))
    await provider.list()
    assert all(not emulator.resources(kind) for kind in ("virtualMachines", "disks", "networkInterfaces"))
    await provider.close()


async def test_without_any_words_there_are_defaults(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1"))
    machine = only(emulator)
    assert machine["properties"]["hardwareProfile"] == {"vmSize": "Standard_D2s_v5"}
    assert machine["properties"]["storageProfile"]["imageReference"]["publisher"] == "Canonical"
    assert "zones" not in machine
    assert not {"priority", "evictionPolicy", "billingProfile"} & machine["properties"].keys()
    assert "identity" not in machine
    await provider.close()


async def test_what_it_runs_at_its_first_boot_knows_its_name(tmp_path: Path) -> None:
    launched: list[Launched] = []
    with AzureEmulator(on_launch=launched.append) as emulator:
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1", zone="westus2-3"))
        await provider.close()
        (machine,) = launched
        assert [machine.name] == names(emulator)
        assert (machine.zone, machine.admin, machine.public_key) == ("3", "ray", KEY)
        assert f'RAYFLEET_MACHINE_ID="$(echo {machine.name})"' in machine.custom_data
        assert "start-ray cpu1 worker" in machine.custom_data


async def test_a_machine_that_starts_nothing_has_no_user_data(emulator: AzureEmulator, tmp_path: Path) -> None:
    """And a key that nobody has, when no login was named."""

    def nothing(pool: Pool, head: bool) -> StartScript:
        return StartScript(())

    settings = built(emulator, tmp_path)._settings  # noqa: SLF001 - as the other tests have them
    provider = AzureProvider(ProviderContext("c", tmp_path, settings, nothing))
    await provider.launch(request("b1", "c1"))
    profile = only(emulator)["properties"]["osProfile"]
    assert profile["adminUsername"] == "ubuntu"
    assert profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"].startswith("ssh-rsa ")
    await provider.close()


async def test_addresses_come_from_two_lists(tmp_path: Path) -> None:
    with AzureEmulator(on_launch=lambda _: ("10.77.0.9", "127.0.0.9")) as emulator:
        provider = built(emulator, tmp_path)
        await provider.launch(request("b1", "c1"))
        (machine,) = await provider.list()
        assert (machine.address, machine.public_address) == ("10.77.0.9", "127.0.0.9")
        assert machine.state is MachineState.STARTING
        (machine,) = await provider.list()
        assert machine.state is MachineState.RUNNING
        assert machine.launched_at > 0
        await provider.close()


@pytest.mark.parametrize(
    ("more", "head", "public"),
    [({}, False, True), ({"use_internal_ips": True}, True, False), ({"use_internal_ips": True}, False, False)],
)
async def test_only_who_is_to_have_one_gets_a_public_address(
    emulator: AzureEmulator, tmp_path: Path, more: dict[str, Any], head: bool, public: bool
) -> None:
    provider = built(emulator, tmp_path, **more)
    await provider.launch(request("b1", "c1", head=head))
    assert len(names(emulator, "publicIPAddresses")) == public
    await provider.close()


async def test_the_head_may_have_one_where_the_others_have_none(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path, use_internal_ips=True, use_external_head_ip=True)
    await provider.launch(request("b1", "c1", head=True))
    await provider.launch(request("b2", "c2"))
    machines = await provider.list()
    assert {(machine.head, bool(machine.public_address)) for machine in machines} == {(True, True), (False, False)}
    await provider.close()


async def test_the_head_may_make_machines_and_the_others_may_not(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1", head=True))
    await provider.launch(request("b2", "c2"))
    (identity,) = emulator.resources("userAssignedIdentities")
    (role,) = emulator.resources("roleAssignments")
    identities = {vm["tags"]["rayfleet-head"]: vm.get("identity") for vm in emulator.resources("virtualMachines")}
    assert identities[""] is None
    assert list((identities["yes"] or {})["userAssignedIdentities"]) == [identity["id"]]
    assert role["properties"]["principalId"] == identity["properties"]["principalId"]
    assert role["id"].split("/providers/")[0].endswith(f"/resourceGroups/{GROUP}")
    await provider.close()


async def test_an_identity_of_the_users_is_on_all_machines_and_gets_no_rights(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups"
    await _with_identity(emulator, tmp_path)
    (identity,) = emulator.resources("userAssignedIdentities")
    before = emulator.calls()
    provider = built(emulator, tmp_path, msi_name=identity["name"], msi_resource_group=GROUP)
    await provider.launch(request("b2", "c2"))
    (machine,) = [vm for vm in emulator.resources("virtualMachines") if vm["tags"]["rayfleet-batch"] == "b2"]
    assert next(iter(machine["identity"]["userAssignedIdentities"])).startswith(f"{group}/{GROUP}/")
    assert not [call for call in emulator.calls() - before if "roleassignments" in call]
    await provider.close()


async def _with_identity(emulator: AzureEmulator, folder: Path) -> None:
    """Have an identity in the group: that of another cluster's head."""
    other = built(emulator, folder / "other", "other")
    await other.launch(request("b1", "c1", head=True))
    await other.close()


async def test_an_identity_that_is_to_exist_must_exist(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path, msi_name="mine", msi_resource_group=GROUP)
    with pytest.raises(Denied, match=r"ResourceNotFound.*mine"):
        await provider.launch(request("b1", "c1"))
    await provider.close()


async def test_the_network_is_made_once_also_by_two_at_once(emulator: AzureEmulator, tmp_path: Path) -> None:
    first, second = built(emulator, tmp_path / "1"), built(emulator, tmp_path / "2")
    await asyncio.gather(first.launch(request("b1", "c1")), second.launch(request("b2", "c2")))
    before = emulator.calls()
    await first.launch(request("b3", "c3"))
    assert (emulator.calls() - before).keys() == {
        "PUT publicipaddresses", "PUT networkinterfaces", "PUT virtualmachines",
    }  # fmt: skip
    assert len(names(emulator, "virtualNetworks")) == len(names(emulator, "networkSecurityGroups")) == 1
    assert len(await second.list()) == 3
    await first.close()
    await second.close()


async def test_a_network_of_the_users_is_used_as_it_is(emulator: AzureEmulator, tmp_path: Path) -> None:
    other = built(emulator, tmp_path / "other", "other")
    await other.launch(request("b1", "c1"))
    network, nsg = only(emulator, "virtualNetworks"), only(emulator, "networkSecurityGroups")
    subnet = f"{network['id']}/subnets/{network['properties']['subnets'][0]['name']}"
    provider = built(emulator, tmp_path, subnet=subnet, nsg=nsg["id"])
    await provider.launch(request("b2", "c2"))
    assert len(names(emulator, "virtualNetworks")) == len(names(emulator, "networkSecurityGroups")) == 1
    await provider.close()
    await other.close()


async def test_a_network_of_the_users_that_does_not_exist_is_named(emulator: AzureEmulator, tmp_path: Path) -> None:
    group = f"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{GROUP}/providers/Microsoft.Network"
    provider = built(emulator, tmp_path, subnet=f"{group}/virtualNetworks/mine/subnets/none", nsg=f"{group}/x/mine")
    with pytest.raises(Denied, match=r"InvalidResourceReference.*/x/mine.*named in the provider section"):
        await provider.launch(request("b1", "c1"))
    assert names(emulator, "publicIPAddresses") == []
    await provider.close()


async def test_zones_of_the_file_take_turns_and_an_offer_names_its_own(emulator: AzureEmulator, tmp_path: Path) -> None:
    provider = built(emulator, tmp_path, availability_zone="1,3")
    await provider.launch(request("b1", "c1", "c2"))
    assert sorted(vm["zones"][0] for vm in emulator.resources("virtualMachines")) == ["1", "3"]
    await provider.launch(request("b2", "c3", zone="2", market=Market.SPOT))
    (machine,) = [vm for vm in emulator.resources("virtualMachines") if vm["tags"]["rayfleet-batch"] == "b2"]
    assert (machine["zones"], machine["properties"]["priority"]) == (["2"], "Spot")
    assert machine["properties"]["billingProfile"] == {"maxPrice": -1}
    await provider.close()


async def test_a_machine_gone_by_itself_is_not_made_again_by_a_late_repetition(
    emulator: AzureEmulator, tmp_path: Path
) -> None:
    """Not by another controller either, with the same folder."""
    provider = built(emulator, tmp_path)
    await provider.launch(request("b1", "c1"))
    emulator.vanish(names(emulator)[0])
    await provider.launch(request("b1", "c1"))
    await provider.close()
    again = built(emulator, tmp_path)
    await again.launch(request("b1", "c1"))
    assert names(emulator) == []
    await again.close()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"azure_virtual_machine": {"zones": ["1"]}}, r"azure_virtual_machine\.zones is not for it: plan,"),
        ({"azure_virtual_machine": [1]}, "azure_virtual_machine must be a mapping"),
        (
            {"azure_virtual_machine": {"properties": {"hardwareProfile": {"vmSize": "x"}}}},
            r"azure_virtual_machine\.properties\.hardwareProfile\.vmSize is said by azure_arm_parameters\.vmSize",
        ),
        (
            {"azure_virtual_machine": {"plan": {"name": "[parameters('plan')]"}}},
            r"plan\.name: \[parameters\('plan'\)\] is an expression of a template; write the value",
        ),
        ({"azure_arm_parameters": {"vmSiez": "x"}}, "azure_arm_parameters.vmSiez"),
        ({"azure_arm_parameters": {"priority": "Spott"}}, "Regular or Spot"),
        ({"azure_arm_parameters": {"imageUrn": "a:b"}}, "publisher:offer:sku:version"),
        ({"azure_arm_parameters": {"availability_zone": "west"}}, "zones are numbers"),
    ],
)
async def test_words_that_are_not_understood_are_refused(
    emulator: AzureEmulator, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    types = {POOL.name: TypeConfig(node_config=config)}
    provider = PROVIDER.build(ProviderContext("c", tmp_path, settings(emulator), start_script, types))
    with pytest.raises(Denied, match=said):
        await provider.launch(request("b1", "c1"))
    assert emulator.log == []
    await provider.close()


def test_the_body_that_is_refused_is_named() -> None:
    """The emulator holds against the client's models: types, names, enumerations, and what may not be set."""
    from rayfleet.testing.clouds.azure.models import problems

    body = {
        "location": 3,
        "id": "x",
        "properties": {
            "priority": "Sport",
            "hardwareProfile": {"vmSize": "anything", "size": 1},
            "storageProfile": {"dataDisks": {"lun": 0}},
            "osProfile": [],
        },
    }
    found = "\n".join(problems("microsoft.compute/virtualmachines", body))
    for said in (
        "location: str is wanted", "id: may not be set", "'Sport' is none of Regular", "hardwareProfile.size: unknown",
        "dataDisks: a list is wanted", "osProfile: an object is wanted",
    ):  # fmt: skip
        assert said in found
    assert "vmSize" not in found
