"""Resources by id, as Azure Resource Manager keeps them: PUT, GET, DELETE, lists in pages, operations to poll."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.testing.clouds.azure import models
from rayfleet.testing.clouds.azure.faults import ArmError, Faults
from rayfleet.testing.clouds.azure.ids import GROUPS, Place

MACHINES: Final = "microsoft.compute/virtualmachines"
NICS: Final = "microsoft.network/networkinterfaces"
ADDRESSES: Final = "microsoft.network/publicipaddresses"
DISKS: Final = "microsoft.compute/disks"
IDENTITIES: Final = "microsoft.managedidentity/userassignedidentities"


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `path` without its query, `headers` by lower-case name, `base` the URL it came to, `peer` who asks."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    base: str = ""
    peer: str = ""


@dataclass(slots=True)
class Reply:
    """An answer. `after`: what is to be done before it is sent, with nothing locked."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None


@dataclass(slots=True)
class Operation:
    """Something under way: so many more polls say InProgress; `error` is how it ends, None: well."""

    polls: int = 0
    error: ArmError | None = None


class Arm:
    """All resources. `page_size`: so many are in one page of a list; `polls`: so often is under way what was begun."""

    def __init__(self, page_size: int, polls: int) -> None:
        """Start with nothing."""
        self.records: dict[str, dict[str, Any]] = {}
        self.faults = Faults()
        self._page_size = page_size
        self._polls = polls
        self._operations: dict[str, Operation] = {}
        self._numbers = itertools.count(1)
        self._updating: dict[str, int] = {}
        self._addresses = itertools.count(1)

    def of_kind(self, kind: str, group: str = "") -> list[dict[str, Any]]:
        """Return the resources of a kind, in a group or in all of them, by id."""
        wanted = f"/resourcegroups/{group.lower()}/" if group else ""
        found = sorted(key for key in self.records if f"/{kind}/" in key and wanted in key)
        return [self.records[key] for key in found]

    def find(self, resource_id: str) -> dict[str, Any]:
        """Return a resource, or raise the error of one that is referred to and does not exist."""
        try:
            return self.records[resource_id.lower()]
        except KeyError:
            raise ArmError(400, "InvalidResourceReference", f"{resource_id} does not exist") from None

    def begun(self, call: Call, status: int, body: Any, error: ArmError | None = None) -> Reply:
        """Return the answer to something that goes on: where it can be polled."""
        number = str(next(self._numbers))
        self._operations[number] = Operation(self._polls, error)
        url = f"{call.base}/_operations/{number}?api-version=1"
        return Reply(status, copy.deepcopy(body), {"Azure-AsyncOperation": url, "Location": url})

    def poll(self, number: str) -> Reply:
        """Say how an operation stands."""
        operation = self._operations.get(number)
        if operation is None:
            raise ArmError(404, "NotFound", f"operation {number}")
        if operation.polls > 0:
            operation.polls -= 1
            return Reply(200, {"status": "InProgress"})
        if operation.error is not None:
            return Reply(200, {"status": "Failed", **operation.error.body()})
        return Reply(200, {"status": "Succeeded"})

    def page(self, call: Call, found: list[dict[str, Any]]) -> Reply:
        """Return one page of a list, with the way to the next."""
        start = int(call.query.get("$skiptoken", "0"))
        end = start + self._page_size
        body: dict[str, Any] = {"value": copy.deepcopy(found[start:end])}
        if end < len(found):
            query = "&".join(f"{k}={v}" for k, v in {**call.query, "$skiptoken": str(end)}.items())
            body["nextLink"] = f"{call.base}{call.path}?{query}"
        return Reply(200, body)

    def write(self, call: Call, place: Place) -> tuple[dict[str, Any], bool]:
        """Keep a body under its id; return it, and whether it is new."""
        if found := models.problems(place.kind, call.body):
            raise ArmError(400, "InvalidRequestContent", "; ".join(found))
        if place.kind != GROUPS and place.group_id not in self.records:
            raise ArmError(404, "ResourceGroupNotFound", f"resource group {place.group} could not be found")
        before = self.records.get(call.path.lower())
        if before is not None and call.headers.get("if-none-match") == "*":
            raise ArmError(412, "PreconditionFailed", f"{place.name} exists")
        if before is not None and before.get("location") != call.body.get("location"):
            raise ArmError(409, "InvalidResourceLocation", f"{place.name} exists in {before.get('location')}")
        record = copy.deepcopy(call.body)
        record |= {"id": call.path, "name": place.name, "type": place.kind}
        record["properties"] = {**(record.get("properties") or {}), "provisioningState": "Succeeded"}
        self._fill(place.kind, record, before)
        if before is None and place.kind in (NICS, ADDRESSES) and self._polls:
            record["properties"]["provisioningState"] = "Updating"
            self._updating[call.path.lower()] = self._polls
        self.records[call.path.lower()] = record
        return record, before is None

    def read(self, call: Call) -> Reply:
        """Return a resource; one that is being made is a look nearer to being ready."""
        key = call.path.lower()
        record = self.records.get(key)
        if record is None:
            code = "ResourceNotFound" if "/providers/" in call.path else "ResourceGroupNotFound"
            raise ArmError(404, code, f"{call.path} was not found")
        if key in self._updating:
            self._updating[key] -= 1
            if self._updating[key] <= 0:
                del self._updating[key]
                record["properties"]["provisioningState"] = "Succeeded"
        return Reply(200, record)

    def delete(self, call: Call, place: Place) -> Reply:
        """Take a resource away, where nothing holds on to it."""
        record = self.records.get(call.path.lower())
        if record is None:
            return Reply(204)
        if place.kind == NICS and record["properties"].get("virtualMachine"):
            raise ArmError(400, "NicInUse", f"{place.name} is used by {record['properties']['virtualMachine']['id']}")
        if place.kind == ADDRESSES and self.users_of(record["id"]):
            raise ArmError(400, "PublicIPAddressCannotBeDeleted", f"{place.name} is in use")
        if place.kind == DISKS and record.get("managedBy"):
            raise ArmError(409, "OperationNotAllowed", f"{place.name} is attached to {record['managedBy']}")
        del self.records[call.path.lower()]
        return self.begun(call, 202, None)

    def ready(self, resource_id: str) -> dict[str, Any]:
        """Return a resource that something else is to be made with."""
        record = self.find(resource_id)
        if resource_id.lower() in self._updating:
            raise ArmError(400, "ReferencedResourceNotProvisioned", f"{record['name']} is being made")
        return record

    def users_of(self, address_id: str) -> list[str]:
        """Return the network interfaces that have a public address."""
        return [
            nic["id"]
            for nic in self.of_kind(NICS)
            for part in nic["properties"]["ipConfigurations"]
            if (part["properties"].get("publicIPAddress") or {}).get("id", "").lower() == address_id.lower()
        ]

    def _fill(self, kind: str, record: dict[str, Any], before: dict[str, Any] | None) -> None:
        """Add what Azure adds."""
        properties, old = record["properties"], (before or {}).get("properties", {})
        if kind == ADDRESSES:
            properties["ipAddress"] = old.get("ipAddress") or self._loopback(89)
        elif kind == IDENTITIES:
            properties |= {"principalId": f"principal-of-{record['name']}", "clientId": f"client-{record['name']}"}
        elif kind == NICS:
            self._fill_nic(properties, old)

    def _fill_nic(self, properties: dict[str, Any], old: dict[str, Any]) -> None:
        if "virtualMachine" in old:
            properties["virtualMachine"] = old["virtualMachine"]
        if "networkSecurityGroup" in properties:
            self.find(properties["networkSecurityGroup"]["id"])
        for number, part in enumerate(properties["ipConfigurations"]):
            inner = part["properties"]
            self._check_subnet(inner["subnet"]["id"])
            if "publicIPAddress" in inner:
                self.ready(inner["publicIPAddress"]["id"])
            was = old.get("ipConfigurations", [])[number : number + 1]
            inner["privateIPAddress"] = was[0]["properties"]["privateIPAddress"] if was else self._loopback(88)

    def _check_subnet(self, subnet_id: str) -> None:
        network, _, name = subnet_id.rpartition("/subnets/")
        subnets = self.find(network)["properties"].get("subnets", [])
        if name not in {subnet["name"] for subnet in subnets}:
            raise ArmError(400, "InvalidResourceReference", f"{subnet_id} does not exist")

    def _loopback(self, net: int) -> str:
        """Return an address that cannot be anybody else's, should it ever be called."""
        number = next(self._addresses)
        return f"127.{net}.{number // 250}.{number % 250 + 1}"
