"""Resource ids taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUPS: Final = "resourcegroups"
_GROUP_PARTS: Final = 4
_KIND_AT: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names. `kind`: lower case, with its provider; `name` "": all of them; `group` "": in any group."""

    subscription: str
    group: str
    kind: str
    name: str = ""
    action: str = ""

    @property
    def group_id(self) -> str:
        """Return the resource group's id, in lower case."""
        return f"/subscriptions/{self.subscription}/resourcegroups/{self.group}".lower()


def place(path: str) -> Place | None:
    """Return what a path names, None when nothing here has such a path."""
    parts = path.strip("/").split("/")
    if len(parts) < _GROUP_PARTS or parts[0] != "subscriptions":
        return None
    if parts[2].lower() == "providers":
        return Place(parts[1], "", f"{parts[3]}/{parts[4]}".lower()) if len(parts) == _KIND_AT else None
    if parts[2].lower() != GROUPS:
        return None
    if len(parts) == _GROUP_PARTS:
        return Place(parts[1], parts[3], GROUPS, parts[3])
    rest = [*parts[_KIND_AT:], "", ""]
    if parts[4] != "providers" or len(rest) > _KIND_AT + 1:
        return None
    return Place(parts[1], parts[3], f"{rest[0]}/{rest[1]}".lower(), rest[2], rest[3])
