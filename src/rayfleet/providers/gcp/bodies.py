"""What Google is asked for: the user's `node_config`, its gaps filled, and our labels, keys and script. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rayfleet.contracts import Denied, TypeConfig
from rayfleet.model import Market

DEFAULT_TYPE: Final = "n2-standard-4"
"""As of 2026-11: sold in every region, and what Google's own examples use."""
IMAGE: Final = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
ARM_IMAGE: Final = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"
"""As of 2026-11; Google's guest agent, which makes logins and runs the startup script, is in both."""
DISK_GB: Final = 50
NETWORK_TAG: Final = "rayfleet"
"""What the firewall rules are about."""

_ARM_FAMILIES: Final = ("t2a-", "c4a-", "n4a-", "a4x-")
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TPU_KEYS: Final = ("acceleratorType", "acceleratorConfig", "runtimeVersion")

BULK_FIELDS: Final = frozenset(
    {
        "advancedMachineFeatures", "canIpForward", "confidentialInstanceConfig", "description", "disks",
        "guestAccelerators", "keyRevocationActionType", "labels", "localSsdEncryptionMode", "machineType", "metadata",
        "minCpuPlatform", "networkInterfaces", "networkPerformanceConfig", "privateIpv6GoogleAccess",
        "reservationAffinity", "resourceManagerTags", "resourcePolicies", "scheduling", "serviceAccounts",
        "shieldedInstanceConfig", "tags", "workloadIdentityConfig",
    }
)  # fmt: skip
"""What can be said of several machines in one call. With any other key, each is asked for by itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is added to the user's words. `subnetwork` "": the user names the network, or a template does."""

    labels: Mapping[str, str]
    metadata: Mapping[str, str]
    market: Market | None = None
    subnetwork: str = ""
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One machine without a name or a zone: types are bare names. `template`: Google's `sourceInstanceTemplate`."""

    body: Mapping[str, Any]
    template: str = ""
    machine_image: str = ""

    @property
    def single(self) -> tuple[str, ...]:
        """Return the keys that only a call for one machine knows."""
        return (*sorted(set(self.body) - BULK_FIELDS), *(("sourceMachineImage",) if self.machine_image else ()))

    @property
    def fits_bulk(self) -> bool:
        """Say whether one call may ask for several."""
        return not self.single

    def named(self, project: str, zone: str, name: str) -> dict[str, Any]:
        """Return the body of an `insert`, where types are named with their zone."""
        body = copy.deepcopy(dict(self.body)) | {"name": name}
        if "machineType" in body:
            body["machineType"] = f"zones/{zone}/machineTypes/{body['machineType']}"
        for accelerator in body.get("guestAccelerators", ()):
            kind = accelerator["acceleratorType"]
            accelerator["acceleratorType"] = f"projects/{project}/zones/{zone}/acceleratorTypes/{kind}"
        for parameters in _disk_parameters(body):
            parameters["diskType"] = f"zones/{zone}/diskTypes/{parameters['diskType']}"
        return body

    def bulk(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the body of a `bulkInsert`: a part is better than nothing."""
        return {
            "count": str(len(names)),
            "minCount": "1",
            "perInstanceProperties": {name: {"name": name} for name in names},
            "instanceProperties": copy.deepcopy(dict(self.body)),
            **({"sourceInstanceTemplate": self.template} if self.template else {}),
        }


def machine_type(config: TypeConfig) -> str:
    """Return the kind of machine that a configuration names, "" when a template says it."""
    named = config.node_config.get("machineType") or config.instance_type
    if not named:
        return "" if config.node_config.get("sourceInstanceTemplate") else DEFAULT_TYPE
    return _bare(named)


def is_tpu(config: TypeConfig) -> bool:
    """Say whether a configuration means a TPU VM, which has no machine type."""
    return not config.node_config.get("machineType") and any(key in config.node_config for key in _TPU_KEYS)


def needs_network(config: TypeConfig) -> bool:
    """Say whether nobody has said which network its machines are in."""
    if is_tpu(config):
        return not {"network", "subnetwork"} & set(config.node_config.get("networkConfig") or {})
    return not config.node_config.get("networkInterfaces") and not config.node_config.get("sourceInstanceTemplate")


def needs_account(config: TypeConfig) -> bool:
    """Say whether nobody has said which account its machines run as."""
    return not config.node_config.get("serviceAccounts") and not config.node_config.get("sourceInstanceTemplate")


def is_spot(config: TypeConfig) -> bool:
    """Say whether a configuration asks for spot machines in Google's words."""
    scheduling = {**(config.node_config.get("schedulingConfig") or {}), **_scheduling(config.node_config)}
    if scheduling.get("spot"):  # TPUs have words of their own
        return True
    return bool(scheduling.get("preemptible")) or scheduling.get("provisioningModel") == "SPOT"


def blueprint(config: TypeConfig, wanted: Wanted) -> Blueprint:
    """Return what to ask for.

    Raises:
        Denied: the configuration is of a form that Google would not understand.
    """
    body: dict[str, Any] = copy.deepcopy(dict(config.node_config))
    body.pop("networkConfig", None)  # a TPU's; Ray's own launcher leaves it beside
    template, image = body.pop("sourceInstanceTemplate", ""), body.pop("sourceMachineImage", "")
    if kind := machine_type(config):
        body["machineType"] = kind
    if not body.get("disks") and not template and not image:
        body["disks"] = [_boot_disk(kind)]
    _tidy(body)
    if wanted.subnetwork and not body.get("networkInterfaces"):
        access = {"name": "External NAT", "type": "ONE_TO_ONE_NAT"}
        body["networkInterfaces"] = [{"subnetwork": wanted.subnetwork, "accessConfigs": [access]}]
    if wanted.service_account:
        body.setdefault("serviceAccounts", [{"email": wanted.service_account, "scopes": [_SCOPE]}])
    body["labels"] = {**_mapping(body, "labels"), **wanted.labels}
    body["metadata"] = _metadata(_mapping(body, "metadata"), wanted.metadata)
    tags = _mapping(body, "tags")
    if wanted.subnetwork:  # in a network of the user's own, or a template's, our rules are not there
        body["tags"] = {**tags, "items": sorted({*_items(body, "tags", "items"), NETWORK_TAG})}
    if scheduling := _scheduled(_scheduling(body), wanted.market, gpus=bool(body.get("guestAccelerators"))):
        body["scheduling"] = scheduling
    else:
        body.pop("scheduling", None)
    return Blueprint(body, template, image)


def _tidy(body: dict[str, Any]) -> None:
    """Have types named without a zone, and new disks go with their machine."""
    for disk in _items(body, "disks"):
        if disk.get("initializeParams"):  # made for this machine: unless the user keeps it, it goes with it
            disk.setdefault("autoDelete", True)
    for accelerator in _items(body, "guestAccelerators"):
        accelerator["acceleratorType"] = _bare(str(accelerator.get("acceleratorType", "")))
    for parameters in _disk_parameters(body):
        parameters["diskType"] = _bare(parameters["diskType"])


def _scheduled(scheduling: dict[str, Any], market: Market | None, *, gpus: bool) -> dict[str, Any]:
    """Return how machines of a market are scheduled; None: as the user says."""
    spot = bool(scheduling.get("preemptible")) or scheduling.get("provisioningModel") == "SPOT"
    if market is Market.ON_DEMAND and spot:
        keys = (
            "preemptible",
            "provisioningModel",
            "instanceTerminationAction",
            "automaticRestart",
            "onHostMaintenance",
        )
        scheduling = {key: value for key, value in scheduling.items() if key not in keys}
        spot = False
    if market is Market.SPOT and not spot:
        scheduling, spot = {**scheduling, "provisioningModel": "SPOT"}, True
    if spot:
        # Nothing is left behind by a machine that Google takes away; the older kind (`preemptible`) cannot say so.
        ends = {"instanceTerminationAction": "DELETE"} if scheduling.get("provisioningModel") == "SPOT" else {}
        return ends | scheduling | {"automaticRestart": False, "onHostMaintenance": "TERMINATE"}
    return {"onHostMaintenance": "TERMINATE"} | scheduling if gpus else scheduling


def _scheduling(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return `scheduling`, which Ray's examples write as a list of single keys."""
    found = body.get("scheduling") or {}
    parts = found if isinstance(found, list) else [found]
    if not all(isinstance(part, Mapping) for part in parts):
        raise Denied(f"node_config.scheduling must be a mapping; it is {found!r}")
    return {key: value for part in parts for key, value in part.items()}


def _metadata(theirs: Mapping[str, Any], ours: Mapping[str, str]) -> dict[str, Any]:
    """Join both; SSH keys of both count, and the user's startup script runs before ours."""
    items = {str(item.get("key")): str(item.get("value", "")) for item in _items({"m": theirs}, "m", "items")}
    for key, value in ours.items():
        before = items.get(key, "")
        if before and key == "ssh-keys":
            items[key] = f"{before.rstrip()}\n{value}"
        elif before and key == "startup-script":
            items[key] = _both(before, value)
        else:
            items[key] = value
    return {"items": [{"key": key, "value": value} for key, value in items.items()]}


def _both(first: str, second: str) -> str:
    """Return a script that runs a first one, in a shell of its own, and goes on as the second."""
    head, _, rest = second.partition("\n")
    shell = first.split("\n", 1)[0].removeprefix("#!").strip() if first.startswith("#!") else "/bin/bash"
    return f"{head}\n{shell} <<'THE_USERS_OWN'\n{first.rstrip()}\nTHE_USERS_OWN\n{rest}"


def _boot_disk(kind: str) -> dict[str, Any]:
    image = ARM_IMAGE if kind.startswith(_ARM_FAMILIES) else IMAGE
    return {"boot": True, "autoDelete": True, "initializeParams": {"diskSizeGb": str(DISK_GB), "sourceImage": image}}


def _disk_parameters(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of the new disks that name a type."""
    found = [disk.get("initializeParams") or {} for disk in _items(body, "disks")]
    return [parameters for parameters in found if parameters.get("diskType")]


def _items(body: Mapping[str, Any], *path: str) -> list[Any]:
    value: Any = body
    for key in path:
        value = (value or {}).get(key)
    if not isinstance(value or [], list):
        raise Denied(f"node_config.{path[0]} must be a list where Google's API has one; it is {value!r}")
    return value or []


def _mapping(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key) or {}
    if not isinstance(value, Mapping):
        raise Denied(f"node_config.{key} must be a mapping; it is {value!r}")
    return dict(value)


def _bare(name: str) -> str:
    """Return the last part of a path such as `zones/us-west1-a/machineTypes/n2-standard-4`."""
    return name.rpartition("/")[2]
