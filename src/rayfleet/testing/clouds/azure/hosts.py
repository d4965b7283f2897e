"""The emulator's machines as real hosts: `with azure_on_hosts(site) as (emulator, machines):`.

Azure's agent on them is played as far as a cluster needs it: the key of the machine's user, who is root here, and its
custom data. Machines are not stopped and started again here: that a standby machine of this cloud boots is not played.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayfleet.providers.azure.clients import METADATA_VARIABLE
from rayfleet.testing.clouds.azure.faults import ArmError
from rayfleet.testing.clouds.azure.machines import Launched
from rayfleet.testing.clouds.azure.server import AzureEmulator
from rayfleet.testing.hosts import Hosts
from rayfleet.testing.hosts.cloud import CloudMachines, NoHost


@contextmanager
def azure_on_hosts(site: Hosts) -> Iterator[tuple[AzureEmulator, CloudMachines]]:
    """Answer at the site's gateway, where its hosts reach it, for their metadata too; each machine is one of them."""
    addresses: dict[str, str] = {}

    def launched(each: Launched) -> tuple[str, str]:
        try:
            address = addresses[each.name] = machines.take()
        except NoHost as error:
            raise ArmError(409, "AllocationFailed", str(error)) from error
        machines.launch(address, each.custom_data.encode(), f"{each.public_key}\n")
        return address, address

    def gone(name: str) -> None:
        if name in addresses:  # not so where it never had a host
            machines.end(addresses.pop(name))

    with AzureEmulator(host=site.gateway, on_launch=launched, on_gone=gone) as emulator:
        machines = CloudMachines(site, {METADATA_VARIABLE: emulator.url})
        try:
            yield emulator, machines
        finally:
            machines.close()
