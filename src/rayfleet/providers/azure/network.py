"""What a cluster's machines share: resource group, network, security group, the head's identity. Made once, if missing.

Names and bodies follow from the cluster, so two who do it at once write the same.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from rayfleet.providers.azure.clients import Sdk
from rayfleet.providers.azure.errors import code_of
from rayfleet.providers.azure.names import CLUSTER, digest, slug
from rayfleet.providers.azure.settings import Settings

CONTRIBUTOR: Final = "b24988ac-6180-42a0-ab88-20f7382dd24c"
"""Azure's id, the same everywhere, of the role that may do everything in a group but give rights away."""

_IDENTITY_API: Final = "2023-01-31"
_ROLE_API: Final = "2022-04-01"
_SUBNET: Final = "machines"


@dataclass(frozen=True, slots=True)
class Shared:
    """Ids of what machines are made with. `head_msi`: the identity of the head, `msi`: that of all; "" is none."""

    subnet: str
    nsg: str
    msi: str = ""
    head_msi: str = ""


class Setup:
    """Finds or makes it all."""

    def __init__(self, settings: Settings, cluster: str) -> None:
        """Take what names follow from."""
        self._settings = settings
        self._cluster = cluster
        self._name = f"ray-{slug(cluster)}-{settings.unique_id or digest(settings.resource_group, cluster, letters=6)}"
        self._tags = {**settings.tags, CLUSTER: cluster}

    def ensure(self, sdk: Sdk, *, head: bool) -> Shared:
        """Return the ids, after making what is missing. `head`: with the head's identity."""
        self._ensure_group(sdk)
        nsg = self._settings.nsg or self._ensure_nsg(sdk)
        subnet = self._settings.subnet or self._ensure_network(sdk, nsg)
        msi = self._settings.msi or (self._ensure_identity(sdk) if self._settings.msi_name else "")
        own = self._ensure_identity(sdk) if head and not msi else ""
        return Shared(subnet, nsg, msi, msi or own)

    def _ensure_group(self, sdk: Sdk) -> None:
        name = self._settings.resource_group
        try:
            sdk.resources.resource_groups.get(name)
        except ResourceNotFoundError:
            body = {"location": self._settings.location, "tags": dict(self._settings.tags)}
            sdk.resources.resource_groups.create_or_update(name, body)

    def _ensure_nsg(self, sdk: Sdk) -> str:
        calls, group, name = sdk.network.network_security_groups, self._settings.resource_group, f"{self._name}-nsg"
        try:
            return str(calls.get(group, name).id)
        except ResourceNotFoundError:
            return str(calls.begin_create_or_update(group, name, self._nsg()).result().id)

    def _ensure_network(self, sdk: Sdk, nsg: str) -> str:
        calls, group, name = sdk.network.virtual_networks, self._settings.resource_group, f"{self._name}-vnet"
        try:
            found = calls.get(group, name)
        except ResourceNotFoundError:
            found = calls.begin_create_or_update(group, name, self._network(nsg)).result()
        return f"{found.id}/subnets/{_SUBNET}"

    def _ensure_identity(self, sdk: Sdk) -> str:
        """Return the identity's id. One that the user has with rights of its own is not touched."""
        where = self._settings.msi_resource_group or self._settings.resource_group
        name = self._settings.msi_name or f"{self._name}-msi"
        kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
        path = f"{group_id(sdk, where)}/providers/{kind}/{name}"
        calls = sdk.resources.resources
        try:
            found = calls.get_by_id(path, api_version=_IDENTITY_API)
        except ResourceNotFoundError:
            if self._settings.msi_name and self._settings.msi_resource_group:
                raise
            body = {"location": self._settings.location, "tags": self._tags}
            found = calls.begin_create_or_update_by_id(path, body, api_version=_IDENTITY_API).result()
        if not (self._settings.msi_name and self._settings.msi_resource_group):
            self._ensure_role(sdk, str(found.properties["principalId"]), path)
        return path

    def _ensure_role(self, sdk: Sdk, principal: str, identity: str) -> None:
        """Let the identity work in the resource group. To give it the same role again is no error."""
        scope = group_id(sdk, self._settings.resource_group)
        name = uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{identity}|{principal}".lower())
        role = f"/subscriptions/{sdk.subscription}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
        body = {"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal"}}
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
        try:
            sdk.resources.resources.get_by_id(path, api_version=_ROLE_API)
        except ResourceNotFoundError:
            try:
                sdk.resources.resources.begin_create_or_update_by_id(path, body, api_version=_ROLE_API).result()
            except ResourceExistsError as error:
                _unless(error, "RoleAssignmentExists")

    def _nsg(self) -> dict[str, Any]:
        rule = {
            "priority": 1000, "protocol": "Tcp", "access": "Allow", "direction": "Inbound",
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "22",
        }  # fmt: skip
        properties = {"securityRules": [{"name": "SSH", "properties": rule}]}
        return {"location": self._settings.location, "tags": self._tags, "properties": properties}

    def _network(self, nsg: str) -> dict[str, Any]:
        mask = self._settings.subnet_mask or f"10.{1 + int(digest(self._cluster), 16) % 254}.0.0/16"
        subnet = {"name": _SUBNET, "properties": {"addressPrefix": mask, "networkSecurityGroup": {"id": nsg}}}
        properties = {"addressSpace": {"addressPrefixes": [mask]}, "subnets": [subnet]}
        return {"location": self._settings.location, "tags": self._tags, "properties": properties}


def group_id(sdk: Sdk, group: str) -> str:
    """Return a resource group's id."""
    return f"/subscriptions/{sdk.subscription}/resourceGroups/{group}"


def _unless(error: HttpResponseError, code: str) -> None:
    if code_of(error) != code:
        raise error
