"""The README's roles have what the calls need, neither more nor less: every call that the provider can make is made."""

import re
from pathlib import Path
from typing import Final

from tests.unit.providers.gcp.place import at, listed, wanted

import rayfleet.providers.gcp
from rayfleet.model import StandbyMode
from rayfleet.testing.clouds.gcp import GcpEmulator
from rayfleet.testing.standby_conformance import keeper

MAKING: Final = {
    "compute.instances.create",
    "compute.disks.create",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.instances.setTags",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "iam.serviceAccounts.actAs",
}
NEEDS: Final[dict[str, set[str]]] = {
    "compute.instances.insert": MAKING,
    "compute.instances.bulkInsert": MAKING,
    "compute.regionInstances.bulkInsert": MAKING,
    "compute.instances.aggregatedList": {"compute.instances.list"},
    "compute.instances.get": {"compute.instances.get"},
    "compute.instances.delete": {"compute.instances.delete"},
    "compute.instances.stop": {"compute.instances.stop"},
    "compute.instances.start": {"compute.instances.start"},
    "compute.instances.setMetadata": {"compute.instances.setMetadata"},
    "compute.zoneOperations.get": {"compute.zoneOperations.get"},
    "compute.regionOperations.get": {"compute.regionOperations.get"},
    "compute.globalOperations.get": {"compute.globalOperations.get"},
    "compute.subnetworks.list": {"compute.subnetworks.list"},
    "compute.firewalls.list": {"compute.firewalls.list"},
    "compute.firewalls.insert": {"compute.firewalls.create", "compute.networks.updatePolicy"},
    "tpu.projects.locations.nodes.create": {"tpu.nodes.create"},
    "tpu.projects.locations.nodes.delete": {"tpu.nodes.delete"},
    "tpu.projects.locations.nodes.list": {"tpu.nodes.list"},
    "tpu.projects.locations.operations.get": {"tpu.operations.get"},
    "iam.projects.serviceAccounts.get": {"iam.serviceAccounts.get"},
    "iam.projects.serviceAccounts.create": {"iam.serviceAccounts.create"},
    "cloudresourcemanager.projects.getIamPolicy": {"resourcemanager.projects.getIamPolicy"},
    "cloudresourcemanager.projects.setIamPolicy": {"resourcemanager.projects.setIamPolicy"},
}


async def test_the_readme_lists_what_the_calls_need(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", head=True))
    await provider.launch(wanted("b2", 3))
    waiting = keeper(provider)
    await waiting.prepare(wanted("b3", 2), StandbyMode.STOPPED)
    machines = await listed(provider, lambda found: sum(m.state == "standby" for m in found) == 2)
    rests = tuple(machine.id for machine in machines if machine.state == "standby")
    reused = wanted("b4", 2)
    await waiting.start(type(reused)(reused.batch, reused.offer, reused.pool, reused.claims, reuse=rests))
    await provider.release(tuple(machine.id for machine in machines))
    anywhere = at(cloud, tmp_path, region="us-west1")
    await anywhere.launch(wanted("b5", 2))
    tpus = at(cloud, tmp_path, {"acceleratorType": "v2-8", "runtimeVersion": "v2-alpha"})
    await tpus.launch(wanted("b6"))
    await tpus.release(tuple(machine.id for machine in await tpus.list()))
    for used in (provider, anywhere, tpus):
        await used.close()
    assert set(cloud.calls) == set(NEEDS)
    readme = Path(rayfleet.providers.gcp.__file__).with_name("README.md").read_text(encoding="utf-8")
    listed_there = re.findall(r"^- ((?:compute|iam|resourcemanager|tpu)\.\S+)$", readme, re.MULTILINE)
    assert sorted(listed_there) == sorted(set().union(*NEEDS.values()))
