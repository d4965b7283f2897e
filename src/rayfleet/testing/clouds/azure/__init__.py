"""A small Azure Resource Manager on loopback: machines, disks, networks, identities; nothing outside this process.

It proves that Azure's own client can be driven and that its answers are understood, not that Azure behaves so. Bodies
are checked against the client's models (`models`), kept and worked on in `arm`, and served over HTTP by `server`.
"""

from rayfleet.testing.clouds.azure.faults import Fault
from rayfleet.testing.clouds.azure.machines import Launched, Living
from rayfleet.testing.clouds.azure.server import SUBSCRIPTION, AzureEmulator

__all__ = ["SUBSCRIPTION", "AzureEmulator", "Fault", "Launched", "Living"]
