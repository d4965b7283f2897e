"""Makes one machine: public address, network interface, virtual machine; what is half made is taken away again."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from rayfleet.providers.azure.clients import Sdk
from rayfleet.providers.azure.errors import code_of, retry_after_s
from rayfleet.providers.azure.names import address_name, nic_name
from rayfleet.providers.azure.network import Shared
from rayfleet.providers.azure.node_config import ArmParameters
from rayfleet.providers.azure.virtual_machine import over

_PRECONDITION_FAILED = 412
_LOOKS_MAX = 60


@dataclass(frozen=True, slots=True)
class Order:
    """Everything about one machine.

    `zone` "": anywhere. `spot_max_usd_per_hour` -1: as much as any. `own_words`: the user's about it, in Azure's words.
    """

    name: str
    group: str
    location: str
    shared: Shared
    parameters: ArmParameters
    zone: str = ""
    spot: bool = False
    spot_max_usd_per_hour: float = -1
    head: bool = False
    public: bool = True
    user: str = ""
    key: str = ""
    custom_data: str = ""
    poll_interval_s: float = 2.0
    own_words: Mapping[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    part_tags: dict[str, str] = field(default_factory=dict)


class HalfMade(Exception):
    """A machine was not made, and something of it may be left. `error`: why it was not made."""

    def __init__(self, error: AzureError) -> None:
        """Keep the reason."""
        super().__init__(str(error))
        self.error = error


def create(sdk: Sdk, order: Order) -> None:
    """Make the machine; returns when Azure has accepted it. One that exists is left as it is.

    Raises:
        HalfMade: something may be left.
        AzureError: it was not made, nothing is left.
    """
    try:
        _create(sdk, order)
    except AzureError as error:
        if _exists(error):
            return
        if not isinstance(error, HttpResponseError) or retry_after_s(error) is not None:
            # Without an answer the machine may exist; and who has to pause does not call once more.
            raise HalfMade(error) from error
        if not _removed(sdk, order):
            raise HalfMade(error) from error
        raise


def _create(sdk: Sdk, order: Order) -> None:
    calls, group = sdk.network, order.group
    address = ""
    if order.public:
        body = _address(order)
        address = _made(calls.public_ip_addresses, order, address_name(order.name), body)
    nic = _made(calls.network_interfaces, order, nic_name(order.name), _nic(order, address))
    body = machine(order, nic)
    # Not polled: whether it boots is seen in the listing. The header: a machine of that name is never changed.
    sdk.compute.virtual_machines.begin_create_or_update(
        group, order.name, body, headers={"If-None-Match": "*"}, polling=False
    )


def _made(calls: Any, order: Order, name: str, body: dict[str, Any]) -> str:
    """Make a part, wait until it may be used, and return its id.

    The resource itself is looked at instead of the operation: mostly the first answer says already that it is ready,
    and the client's own way takes two calls more.
    """
    found, state = calls.begin_create_or_update(order.group, name, body, polling=False).result(), ""
    for _ in range(_LOOKS_MAX):
        state = found.properties["provisioningState"]
        if state == "Succeeded":
            return str(found.id)
        if state in ("Failed", "Canceled"):
            break
        time.sleep(order.poll_interval_s)
        found = calls.get(order.group, name)
    raise AzureError(f"{name} does not become ready; it is {state}")


def _exists(error: AzureError) -> bool:
    return isinstance(error, HttpResponseError) and (
        error.status_code == _PRECONDITION_FAILED or code_of(error) == "PreconditionFailed"
    )


def _removed(sdk: Sdk, order: Order) -> bool:
    """Take away what a failed create has left; say whether nothing is left."""
    try:
        sdk.network.network_interfaces.begin_delete(order.group, nic_name(order.name)).result()
        if order.public:
            sdk.network.public_ip_addresses.begin_delete(order.group, address_name(order.name)).result()
    except AzureError:
        return False
    return True


def _address(order: Order) -> dict[str, Any]:
    properties = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4", "deleteOption": "Delete"}
    return {
        "location": order.location,
        "sku": {"name": "Standard", "tier": "Regional"},
        "tags": order.part_tags,
        "properties": properties,
        **({"zones": [order.zone]} if order.zone else {}),
    }


def _nic(order: Order, address: str) -> dict[str, Any]:
    inner: dict[str, Any] = {"subnet": {"id": order.shared.subnet}, "privateIPAllocationMethod": "Dynamic"}
    if address:
        inner["publicIPAddress"] = {"id": address, "properties": {"deleteOption": "Delete"}}
    properties: dict[str, Any] = {"ipConfigurations": [{"name": "ip", "properties": inner}]}
    if order.shared.nsg:
        properties["networkSecurityGroup"] = {"id": order.shared.nsg}
    if order.parameters.enableAcceleratedNetworking:
        properties["enableAcceleratedNetworking"] = True
    return {"location": order.location, "tags": order.part_tags, "properties": properties}


def machine(order: Order, nic: str) -> dict[str, Any]:
    """Return the body of a virtual machine. What belongs to it is deleted with it."""
    keys = [{"path": f"/home/{order.user}/.ssh/authorized_keys", "keyData": order.key}]
    profile: dict[str, Any] = {
        "computerName": order.name,
        "adminUsername": order.user,
        "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
    }
    if order.custom_data:
        profile["customData"] = base64.b64encode(order.custom_data.encode()).decode()
    properties = {
        "hardwareProfile": {"vmSize": order.parameters.vmSize},
        "storageProfile": _storage(order),
        "osProfile": profile,
        "networkProfile": {
            "networkInterfaces": [{"id": nic, "properties": {"primary": True, "deleteOption": "Delete"}}]
        },
        **_market(order),
    }
    body: dict[str, Any] = {"location": order.location, "tags": order.tags, "properties": properties}
    if order.zone:
        body["zones"] = [order.zone]
    if identity := order.shared.head_msi if order.head else order.shared.msi:
        body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    return over(order.own_words, body)


def _storage(order: Order) -> dict[str, Any]:
    parameters = order.parameters
    kind = {"storageAccountType": parameters.osDiskType} if parameters.osDiskType else {}
    system: dict[str, Any] = {"name": f"{order.name}-os", "createOption": "FromImage", "deleteOption": "Delete"}
    if kind:
        system["managedDisk"] = kind
    if parameters.osDiskSize:
        system["diskSizeGB"] = parameters.osDiskSize
    data: list[dict[str, Any]] = []
    for number, disk in enumerate(parameters.dataDisks):
        one = {
            "lun": number, "name": f"{order.name}-data{number}", "createOption": "Empty", "deleteOption": "Delete",
            "diskSizeGB": disk.diskSizeGB,
        }  # fmt: skip
        if disk.storageAccountType:
            one["managedDisk"] = {"storageAccountType": disk.storageAccountType}
        data.append(one)
    return {"imageReference": parameters.image, "osDisk": system, **({"dataDisks": data} if data else {})}


def _market(order: Order) -> dict[str, Any]:
    if not order.spot:
        return {}
    return {
        "priority": "Spot",
        "evictionPolicy": order.parameters.evictionPolicy,
        "billingProfile": {"maxPrice": order.spot_max_usd_per_hour},
    }
