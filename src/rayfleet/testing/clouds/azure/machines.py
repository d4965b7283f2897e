"""Virtual machines: made with their disks, booted, stopped, evicted and deleted with what was to go with them."""

from __future__ import annotations

import base64
import binascii
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.testing.clouds.azure.arm import DISKS, MACHINES, Arm, Call, Reply
from rayfleet.testing.clouds.azure.faults import ArmError, Fault
from rayfleet.testing.clouds.azure.ids import Place
from rayfleet.testing.clouds.azure.models import update_problems

_COMPUTER_NAME_LETTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Launched:
    """A machine that boots.

    `custom_data`: what it would run, decoded: at its first boot its custom data, later its user-data if it has some.
    """

    name: str
    custom_data: str
    tags: dict[str, str] = field(default_factory=dict)
    zone: str = ""
    admin: str = ""
    public_key: str = ""


@dataclass(frozen=True, slots=True)
class Living:
    """A machine that there is; `custom_data` is decoded."""

    address: str
    tags: dict[str, str]
    custom_data: str


OnLaunch = Callable[[Launched], tuple[str, str] | None]
"""Says at which addresses (private, public) a machine is; None: the emulator's own."""
OnGone = Callable[[str], None]
"""Is told the name of a machine that is away or off."""


@dataclass(slots=True)
class _Life:
    """What is not in a machine's body: how it stands, and what its first boot was given.

    `failure`: why it was not made; `trouble`: why its latest change was not, which does not turn it off. `hidden`: so
    many lists do not show it yet.
    """

    power: str = "starting"
    failure: ArmError | None = None
    custom_data: str = ""
    user_data: str = ""
    made: str = ""
    trouble: ArmError | None = None
    hidden: int = 0


class Machines:
    """All virtual machines of an emulator."""

    def __init__(self, arm: Arm, on_launch: OnLaunch | None, on_gone: OnGone | None) -> None:
        """Work on the resources of `arm`."""
        self._arm = arm
        self._on_launch = on_launch
        self._on_gone = on_gone
        self._lives: dict[str, _Life] = {}
        self.made: list[str] = []
        self.hide_new = 0

    def put(self, call: Call, place: Place, fault: Fault | None) -> Reply:
        """Make or change a machine."""
        key = call.path.lower()
        before = self._arm.records.get(key)
        if before is None:
            _check(call.body)
            self._check_parts(call.body, key)
        data = call.body["properties"]["osProfile"].get("customData", "")
        if before is not None and data != self._lives[key].custom_data and "if-none-match" not in call.headers:
            raise ArmError(409, "PropertyChangeNotAllowed", "changing property 'osProfile.customData' is not allowed")
        record, new = self._arm.write(call, place)
        record["properties"]["osProfile"].pop("customData", None)
        if not new:
            record["properties"]["provisioningState"] = before["properties"]["provisioningState"] if before else ""
            return self._arm.begun(call, 200, record)
        failure = fault.error() if fault else None
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self._lives[key] = _Life("starting", failure, data, made=now, hidden=self.hide_new)
        record["properties"] |= {"provisioningState": "Creating", "timeCreated": self._lives[key].made}
        self._attach(record)
        self.made.append(record["name"])
        reply = self._arm.begun(call, 201, record, failure)
        reply.after = None if failure else lambda: self._launched(record, data)
        return reply

    def delete(self, call: Call) -> Reply:
        """Begin to delete a machine."""
        record = self._arm.records.get(call.path.lower())
        if record is None:
            return Reply(204)
        record["properties"]["provisioningState"] = "Deleting"
        reply = self._arm.begun(call, 202, None)
        reply.after = lambda: self._tell_gone(record["name"])
        return reply

    def patch(self, call: Call, place: Place) -> Reply:
        """Change a machine's tags or its user-data."""
        record = self._arm.records.get(call.path.lower())
        if record is None:
            raise ArmError(404, "ResourceNotFound", f"{place.name} was not found")
        if found := update_problems(call.body):
            raise ArmError(400, "InvalidRequestContent", "; ".join(found))
        properties = call.body.get("properties", {})
        if unknown := properties.keys() - {"userData"}:
            raise ArmError(409, "PropertyChangeNotAllowed", f"the emulator changes userData only, not {min(unknown)}")
        record |= {"tags": call.body["tags"]} if "tags" in call.body else {}
        self._lives[call.path.lower()].user_data = properties.get("userData", "")
        return self._arm.begun(call, 200, record)

    def act(self, call: Call, place: Place) -> Reply:
        """Start or stop a machine."""
        path = call.path.rsplit("/", 1)[0].lower()
        if path not in self._lives:
            raise ArmError(404, "ResourceNotFound", f"{place.name} was not found")
        powers = {"start": "starting", "deallocate": "deallocating", "poweroff": "stopping"}
        if place.action.lower() not in powers:
            raise ArmError(404, "InvalidAction", place.action)
        life, record, new = self._lives[path], self._arm.records[path], powers[place.action.lower()]
        reply = self._arm.begun(call, 202, None)
        if new != "starting":
            life.power = new if life.power not in ("stopped", "deallocated") else life.power
            reply.after = lambda: self._tell_gone(record["name"])
        elif life.power != "running":
            life.power = new
            reply.after = lambda: self._tell_launch(record, life.user_data or life.custom_data)
        return reply

    def evict(self, name: str) -> bool:
        """Take a spot machine away, by its eviction policy; False when there is none of that name."""
        for record in self._arm.of_kind(MACHINES):
            if record["name"] != name or record["properties"].get("priority") != "Spot":
                continue
            if record["properties"].get("evictionPolicy", "Deallocate") == "Delete":
                self._remove(record)
            else:
                self._lives[record["id"].lower()].power = "deallocated"
            self._tell_gone(name)
            return True
        return False

    def fail_update(self, name: str, code: str) -> None:
        """Have a change of a machine fail, as an extension's or a resize does."""
        for record in [record for record in self._arm.of_kind(MACHINES) if record["name"] == name]:
            self._lives[record["id"].lower()].trouble = ArmError(409, code)
            record["properties"]["provisioningState"] = "Failed"

    def vanish(self, name: str) -> None:
        """Take a machine away without a word."""
        for record in [record for record in self._arm.of_kind(MACHINES) if record["name"] == name]:
            self._remove(record)

    def orphan_disk(self, name: str) -> None:
        """Take a machine away and leave its system disk, as when a deletion stops half-way."""
        for record in [record for record in self._arm.of_kind(MACHINES) if record["name"] == name]:
            record["properties"]["storageProfile"]["osDisk"]["deleteOption"] = "Detach"
            self._remove(record)

    def advance(self) -> None:
        """Have everything be one step further: what boots runs, what is being deleted is gone."""
        after = {"starting": "running", "stopping": "stopped", "deallocating": "deallocated"}
        for record in self._arm.of_kind(MACHINES):
            life, properties = self._lives[record["id"].lower()], record["properties"]
            life.hidden = max(0, life.hidden - 1)
            if properties["provisioningState"] == "Deleting":
                self._remove(record)
            elif life.failure:
                properties["provisioningState"], life.power = "Failed", ""
            else:
                properties["provisioningState"] = "Failed" if life.trouble else "Succeeded"
                life.power = after.get(life.power, life.power)

    def statuses(self) -> list[dict[str, Any]]:
        """Return what a list with `statusOnly` shows: how machines stand, without their model."""
        return [
            {
                "id": record["id"],
                "name": record["name"],
                "location": record["location"],
                "properties": {"instanceView": {"statuses": self._statuses(record)}},
            }
            for record in self._arm.of_kind(MACHINES)
        ]

    def _statuses(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        life, state = self._lives[record["id"].lower()], record["properties"]["provisioningState"]
        found = [{"code": f"ProvisioningState/{state.lower()}", "level": "Info"}]
        if state == "Failed" and (why := life.failure or life.trouble):
            found = [{"code": f"ProvisioningState/failed/{why.code}", "level": "Error", "message": why.message}]
        return [*found, {"code": f"PowerState/{life.power}", "level": "Info"}] if life.power else found

    def about(self, address: str, key: str) -> str:
        """Return what the metadata service has for the machine at an address."""
        for record in self._arm.of_kind(MACHINES):
            if self._address(record) == address:
                known: dict[str, str] = {"name": record["name"], "subscriptionId": record["id"].split("/")[2]}
                known["userData"] = self._lives[record["id"].lower()].user_data
                if key in known:
                    return known[key]
        raise ArmError(404, "NotFound", f"{key} of the machine at {address}")

    def shown(self, group: str) -> list[dict[str, Any]]:
        """Return what a list has: all machines of a group but those that are too new."""
        found = self._arm.of_kind(MACHINES, group)
        return [record for record in found if not self._lives[record["id"].lower()].hidden]

    def living(self) -> tuple[Living, ...]:
        """Return all machines."""
        return tuple(
            Living(
                self._address(record),
                dict(record.get("tags", {})),
                base64.b64decode(self._lives[record["id"].lower()].custom_data).decode(),
            )
            for record in self._arm.of_kind(MACHINES)
        )

    def _address(self, record: dict[str, Any]) -> str:
        nic = self._arm.find(record["properties"]["networkProfile"]["networkInterfaces"][0]["id"])
        return str(nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"])

    def _check_parts(self, body: dict[str, Any], key: str) -> None:
        for nic in body["properties"]["networkProfile"]["networkInterfaces"]:
            user = self._arm.ready(nic["id"])["properties"].get("virtualMachine")
            if user and user["id"].lower() != key:
                raise ArmError(409, "NicInUse", f"{nic['id']} is used by {user['id']}")
        for identity in (body.get("identity") or {}).get("userAssignedIdentities", {}):
            self._arm.find(identity)

    def _attach(self, record: dict[str, Any]) -> None:
        properties = record["properties"]
        for nic in properties["networkProfile"]["networkInterfaces"]:
            self._arm.find(nic["id"])["properties"]["virtualMachine"] = {"id": record["id"]}
        storage = properties["storageProfile"]
        for number, disk in enumerate([storage["osDisk"], *storage.get("dataDisks", [])]):
            name = disk.setdefault("name", f"{record['name']}_disk{number}")
            path = record["id"].replace("/virtualMachines/", "/disks/").rpartition("/")[0] + f"/{name}"
            disk.setdefault("managedDisk", {})["id"] = path
            self._arm.records[path.lower()] = {
                "id": path,
                "name": name,
                "type": DISKS,
                "location": record["location"],
                "managedBy": record["id"],
                "tags": copy.deepcopy(record.get("tags", {})),
                "properties": {"diskState": "Attached", "timeCreated": self._lives[record["id"].lower()].made},
            }

    def _remove(self, record: dict[str, Any]) -> None:
        """Take a machine away, and what it says is to go with it."""
        del self._arm.records[record["id"].lower()], self._lives[record["id"].lower()]
        storage = record["properties"]["storageProfile"]
        for disk in [storage["osDisk"], *storage.get("dataDisks", [])]:
            self._let_go(disk["managedDisk"]["id"], disk.get("deleteOption"), "managedBy")
        for part in record["properties"]["networkProfile"]["networkInterfaces"]:
            nic = self._arm.find(part["id"])
            nic["properties"].pop("virtualMachine", None)
            if (part.get("properties") or {}).get("deleteOption") == "Delete":
                del self._arm.records[nic["id"].lower()]
                self._release_addresses(nic)

    def _release_addresses(self, nic: dict[str, Any]) -> None:
        for part in nic["properties"]["ipConfigurations"]:
            if address := part["properties"].get("publicIPAddress"):
                option = (address.get("properties") or {}).get("deleteOption")
                self._let_go(address["id"], option, "")

    def _let_go(self, resource_id: str, option: str | None, mark: str) -> None:
        if option == "Delete":
            del self._arm.records[resource_id.lower()]
        elif mark:
            record = self._arm.records[resource_id.lower()]
            record.pop(mark, None)
            record["properties"]["diskState"] = "Unattached"

    def _tell_launch(self, record: dict[str, Any], data: str) -> None:
        if self._on_launch is None:
            return
        profile = record["properties"]["osProfile"]
        keys = profile.get("linuxConfiguration", {}).get("ssh", {}).get("publicKeys", [])
        addresses = self._on_launch(
            Launched(
                name=record["name"],
                custom_data=base64.b64decode(data).decode(),
                tags=dict(record.get("tags", {})),
                zone="".join(record.get("zones") or ()),
                admin=profile["adminUsername"],
                public_key=keys[0]["keyData"] if keys else "",
            )
        )
        if addresses:
            self._set_addresses(record, *addresses)

    def _launched(self, record: dict[str, Any], data: str) -> None:
        """Tell of a new machine; where that is refused, it stays, as one whose allocation has failed."""
        try:
            self._tell_launch(record, data)
        except ArmError as error:
            self._lives[record["id"].lower()].failure = error
            raise

    def _set_addresses(self, record: dict[str, Any], private: str, public: str) -> None:
        nic = self._arm.find(record["properties"]["networkProfile"]["networkInterfaces"][0]["id"])
        inner = nic["properties"]["ipConfigurations"][0]["properties"]
        inner["privateIPAddress"] = private
        if "publicIPAddress" in inner:
            self._arm.find(inner["publicIPAddress"]["id"])["properties"]["ipAddress"] = public

    def _tell_gone(self, name: str) -> None:
        if self._on_gone is not None:
            self._on_gone(name)


def _check(body: dict[str, Any]) -> None:
    """Refuse what Azure refuses of a new machine before it looks for room."""
    properties = body.get("properties") or {}
    for key in ("hardwareProfile", "storageProfile", "osProfile", "networkProfile"):
        if key not in properties:
            raise ArmError(400, "InvalidParameter", f"required parameter {key!r} is missing")
    profile = properties["osProfile"]
    if not 0 < len(profile.get("computerName", "")) <= _COMPUTER_NAME_LETTERS:
        raise ArmError(400, "InvalidParameter", "osProfile.computerName is missing or too long")
    linux = profile.get("linuxConfiguration", {})
    if not profile.get("adminUsername") or not linux.get("ssh", {}).get("publicKeys"):
        raise ArmError(400, "InvalidParameter", "a user name and an SSH key (or a password) are needed")
    spot = properties.get("priority") == "Spot"
    if not spot and (properties.get("evictionPolicy") or properties.get("billingProfile")):
        raise ArmError(400, "BadRequest", "evictionPolicy and billingProfile are for spot machines only")
    try:
        base64.b64decode(profile.get("customData", ""), validate=True)
    except binascii.Error:
        raise ArmError(400, "InvalidParameter", "osProfile.customData is not base64") from None
