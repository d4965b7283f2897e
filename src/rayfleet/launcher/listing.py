"""Every cluster that was started on this machine, and how it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.home import Home


class Condition(StrEnum):
    """How a cluster is."""

    UP = "up"
    UNCONTROLLED = "no controller"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster. `address`, `controller`: "" where there is none."""

    name: str
    state: Condition
    address: str
    controller: str
    folder: str

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def listing() -> tuple[Entry, ...]:
    """Return every known cluster by name."""
    return tuple(_entry(home) for home in homes.known())


def _entry(home: Home) -> Entry:
    found = lease.controller(home)
    state = Condition.UP if found else Condition.UNCONTROLLED if home.is_up else Condition.DOWN
    try:
        address = RaySettings.load(home.path).gcs_address
    except (OSError, ValueError, TypeError, KeyError):
        address = ""  # down, or its file was damaged: the other columns are still worth showing
    return Entry(home.name, state, address, str(found) if found else "", str(home.path))
