"""The pretended Alibaba Cloud's machines as real hosts: `with aliyun_on_hosts(site) as (ecs, machines):`.

They are not stopped and started again here: that a standby machine of this cloud boots is not played.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayfleet.testing.clouds.aliyun import Addresses, Ecs
from rayfleet.testing.clouds.aliyun_state import Instance
from rayfleet.testing.clouds.aliyun_wire import Refused
from rayfleet.testing.hosts import Hosts
from rayfleet.testing.hosts.cloud import CloudMachines, NoHost


@contextmanager
def aliyun_on_hosts(site: Hosts) -> Iterator[tuple[Ecs, CloudMachines]]:
    """Answer at the site's gateway, where its hosts reach it, for their metadata too; each machine is one of them."""
    machines = CloudMachines(site, {})

    def launched(instance: Instance) -> Addresses:
        try:
            address = machines.take()
        except NoHost as error:
            raise Refused("OperationDenied.NoStock", str(error)) from error
        machines.launch(address, instance.user_data.encode())
        return Addresses(address, address)

    try:
        with Ecs(bind=site.gateway, on_launch=launched) as ecs:
            ecs.on_gone = lambda instance: machines.end(instance.internal)
            yield ecs, machines
    finally:
        machines.close()
