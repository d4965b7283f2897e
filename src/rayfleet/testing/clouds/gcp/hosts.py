"""The emulator's machines as real hosts: `with gcp_on_hosts(site) as (emulator, machines):`.

Google's agent on them is played as far as a cluster needs it: the logins of `ssh-keys`, and `startup-script`. Machines
are not stopped and started again here: that a standby machine of this cloud boots is not played.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from rayfleet.testing.clouds.gcp.account import Account, Addresses, Launched
from rayfleet.testing.clouds.gcp.faults import ApiFault
from rayfleet.testing.clouds.gcp.server import GcpEmulator
from rayfleet.testing.hosts import Hosts
from rayfleet.testing.hosts.cloud import CloudMachines, NoHost

METADATA: Final = "GCE_METADATA_HOST"


@contextmanager
def gcp_on_hosts(site: Hosts) -> Iterator[tuple[GcpEmulator, CloudMachines]]:
    """Answer at the site's gateway, where its hosts reach it, for their metadata too; each machine is one of them."""
    account = Account()
    with GcpEmulator(account, host=site.gateway) as emulator:
        machines = CloudMachines(site, {METADATA: emulator.endpoint.removeprefix("http://")})
        addresses: dict[str, str] = {}

        def launched(each: Launched) -> Addresses:
            try:
                address = addresses[each.name] = machines.take()
            except NoHost as error:
                raise ApiFault(HTTPStatus.SERVICE_UNAVAILABLE, "ZONE_RESOURCE_POOL_EXHAUSTED", str(error)) from error
            machines.launch(address, each.metadata.get("startup-script", "").encode(), _keys(each))
            return address, address

        account.on_launch = launched
        account.on_gone = lambda name: machines.end(addresses.pop(name))
        try:
            yield emulator, machines
        finally:
            machines.close()


def _keys(launched: Launched) -> str:
    """Return the lines of root's authorized_keys."""
    found = (line.partition(":") for line in launched.metadata.get("ssh-keys", "").splitlines())
    return "".join(f"{key}\n" for user, _, key in found if user == "root")
