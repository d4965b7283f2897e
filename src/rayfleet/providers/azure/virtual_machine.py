"""What a node type says of its machines in Azure's own words (`azure_virtual_machine`), and ours over it. Pure.

For all that no parameter has a name for: a marketplace image's plan, a security profile, a capacity reservation, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rayfleet.contracts import Denied, TypeConfig

KEY: Final = "azure_virtual_machine"
_ROOT: Final = ("plan", "properties", "extendedLocation")
_ARM: Final = "azure_arm_parameters"
_SAID_ELSEWHERE: Final[Mapping[tuple[str, ...], str]] = {
    ("hardwareProfile", "vmSize"): f"{_ARM}.vmSize",
    ("storageProfile", "imageReference"): f"{_ARM}.imageId, or imagePublisher and the rest of it",
    ("storageProfile", "dataDisks"): f"{_ARM}.dataDisks",
    ("storageProfile", "osDisk", "name"): "rayfleet itself",
    ("storageProfile", "osDisk", "createOption"): "rayfleet itself",
    ("storageProfile", "osDisk", "deleteOption"): "rayfleet itself: a disk goes with its machine",
    ("storageProfile", "osDisk", "diskSizeGB"): f"{_ARM}.osDiskSize",
    ("storageProfile", "osDisk", "managedDisk", "storageAccountType"): f"{_ARM}.osDiskType",
    ("osProfile", "computerName"): "rayfleet itself",
    ("osProfile", "customData"): "rayfleet itself; commands belong into setup_commands",
    ("osProfile", "adminUsername"): "auth.ssh_user",
    ("osProfile", "adminPassword"): "auth: logins are by key",
    ("osProfile", "linuxConfiguration", "disablePasswordAuthentication"): "auth: logins are by key",
    ("osProfile", "linuxConfiguration", "ssh"): "auth.ssh_private_key",
    ("networkProfile",): "the provider section: subnet, nsg, use_internal_ips",
    ("userData",): "rayfleet itself; commands belong into setup_commands",
    ("priority",): f"{_ARM}.priority",
    ("evictionPolicy",): f"{_ARM}.evictionPolicy",
    ("billingProfile",): f"{_ARM}.billingProfile",
}
"""Below `properties`: what is somebody else's to say, and whose."""


def own_words(config: TypeConfig) -> dict[str, Any]:
    """Return what a node type says in Azure's words of a virtual machine; mostly nothing.

    Raises:
        Denied: it says something that is to be said elsewhere, or that is for a template only.
    """
    found = config.node_config.get(KEY) or {}
    if not isinstance(found, Mapping) or not isinstance(found.get("properties") or {}, Mapping):
        raise Denied(f"node_config.{KEY} must be a mapping, as Azure describes a virtual machine")
    if other := sorted(map(str, found.keys() - set(_ROOT))):
        raise Denied(f"node_config.{KEY}.{other[0]} is not for it: {', '.join(_ROOT)} are")
    for path, value in _leaves(found):
        whole = f"node_config.{KEY}.{'.'.join(path)}"
        if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
            raise Denied(f"{whole}: {value} is an expression of a template; write the value that it has")
        for taken, whose in _SAID_ELSEWHERE.items():
            if path[1 : len(taken) + 1] == taken and path[0] == "properties":
                raise Denied(f"{whole} is said by {whose}")
    return dict(found)


def over(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, ours where both say something."""
    joined = dict(theirs)
    for key, value in ours.items():
        before = joined.get(key)
        joined[key] = over(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return joined


def _leaves(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield everything below a value that has nothing below it, by its path."""
    if isinstance(value, Mapping | list) and value:
        for key, below in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _leaves(below, *path, str(key))
    else:
        yield path, value
