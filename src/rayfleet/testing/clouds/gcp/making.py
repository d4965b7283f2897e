"""Makes a machine of a request, with the checks that the real service makes beyond its schemas."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any, Final

from rayfleet.testing.clouds.gcp.account import Account, Virtual
from rayfleet.testing.clouds.gcp.faults import bad_request

_LABEL_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
_LABELS_MAX: Final = 64
_HOSTS: Final = 250
_ACTION_NEEDS_SPOT: Final = "instanceTerminationAction needs provisioningModel SPOT or a maximum run duration"


def make(account: Account, zone: str, request: dict[str, Any], *, bulk: bool = False) -> Virtual:
    """Make a machine and keep it. `bulk`: its disks' types are named in a bulkInsert's way, without a zone.

    Raises:
        ApiFault: the request is not valid.
    """
    body = copy.deepcopy(request)
    _check(zone, body, bulk=bulk)
    number = next(account.numbers)
    where = f"{1 + number // (_HOSTS * _HOSTS)}.{number // _HOSTS % _HOSTS}.{1 + number % _HOSTS}"
    machine = Virtual(body, zone, account.hide_new)
    given = account.up(machine.name, zone, dict(body.get("labels", {})), machine.metadata)
    inner, outer = given or (f"127.{where}", f"127.1{where}")
    body |= {
        "kind": "compute#instance",
        "id": str(10**15 + number),
        "status": "PROVISIONING",
        "zone": account.link(f"zones/{zone}"),
        "selfLink": account.link(f"zones/{zone}/instances/{machine.name}"),
        "machineType": account.link(body["machineType"]),
        "creationTimestamp": "2026-01-01T00:00:00.000-08:00",
        "labelFingerprint": fingerprint(account),
        "metadata": {**body.get("metadata", {}), "fingerprint": fingerprint(account)},
    }
    for interface in body["networkInterfaces"][:1]:
        interface["networkIP"] = inner
        for access in interface.get("accessConfigs", [])[:1]:
            access["natIP"] = outer
    account.machines[zone, machine.name] = machine
    account.ever_made += 1
    return machine


def fingerprint(account: Account) -> str:
    """Return a new mark of a state, as the API writes them."""
    return base64.b64encode(f"f{next(account.numbers):05d}".encode()).decode()


def _check(zone: str, body: dict[str, Any], *, bulk: bool) -> None:
    if not re.fullmatch(rf"(.*/)?zones/{zone}/machineTypes/[a-z0-9-]+", body.get("machineType", "")):
        raise bad_request(f"Invalid value for field 'resource.machineType': {body.get('machineType')!r}")
    if not body.get("networkInterfaces"):
        raise bad_request("At least one network interface is required.")
    disks = body.get("disks", [])
    if not any(disk.get("boot") for disk in disks):
        raise bad_request("Invalid value for field 'resource.disks': a boot disk is required.")
    for disk in disks:
        kind = disk.get("initializeParams", {}).get("diskType", "")
        if kind and bulk == ("/" in kind):
            raise bad_request(f"Invalid value for field 'initializeParams.diskType': {kind!r}")
    _check_labels(body.get("labels", {}))
    scheduling = body.get("scheduling", {})
    if scheduling.get("instanceTerminationAction") and scheduling.get("provisioningModel") != "SPOT":
        raise bad_request(_ACTION_NEEDS_SPOT)
    spot = scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible")
    if spot and (scheduling.get("automaticRestart") or scheduling.get("onHostMaintenance") == "MIGRATE"):
        raise bad_request("Scheduling must have preemptible be false when AutomaticRestart is true.")
    if body.get("guestAccelerators") and scheduling.get("onHostMaintenance") != "TERMINATE" and not spot:
        raise bad_request("Instances with guest accelerators do not support live migration.")


def _check_labels(labels: dict[str, str]) -> None:
    if len(labels) > _LABELS_MAX:
        raise bad_request("too many labels")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise bad_request(f"Invalid value for field 'resource.labels': {key}={value}")
