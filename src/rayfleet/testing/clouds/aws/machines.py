"""The emulator's instances as real hosts: `with aws_on_hosts(site) as (emulator, machines):`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rayfleet.testing.clouds.aws.instances import AwsError, Instance
from rayfleet.testing.clouds.aws.metadata import metadata_service
from rayfleet.testing.clouds.aws.server import AwsEmulator, aws_emulator
from rayfleet.testing.hosts import Hosts
from rayfleet.testing.hosts.cloud import CloudMachines, NoHost

METADATA: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@contextmanager
def aws_on_hosts(site: Hosts) -> Iterator[tuple[AwsEmulator, CloudMachines]]:
    """Run an emulator at the site's gateway, where its hosts reach it; each of its instances is one of them.

    On them boto3 finds the metadata service, and there the keys of the instance's role, as it does in the cloud.
    """
    with (
        aws_emulator(host=site.gateway) as emulator,
        metadata_service(emulator.account, site.gateway) as url,
    ):
        machines = CloudMachines(site, {METADATA: url})
        emulator.account.addresses = _Addresses(machines)
        emulator.account.on_launch = lambda each: machines.launch(each.private_address, each.user_data)
        emulator.account.on_state = lambda each: _moved(machines, each)
        try:
            yield emulator, machines
        finally:
            machines.close()


class _Addresses(Iterator[tuple[str, str]]):
    def __init__(self, machines: CloudMachines) -> None:
        self._machines = machines

    def __next__(self) -> tuple[str, str]:
        try:
            address = self._machines.take()
        except NoHost as error:
            raise AwsError("InsufficientInstanceCapacity", str(error), 500) from error
        return address, address


def _moved(machines: CloudMachines, instance: Instance) -> None:
    match instance.state:
        case "shutting-down":
            machines.end(instance.private_address)
        case "stopping":
            machines.stop(instance.private_address)
        case "pending":
            machines.start(instance.private_address)
        case _:
            pass
