"""Every cluster that was started on this machine, and how it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease, suspension
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.remote.where import head_of


class Condition(StrEnum):
    """How a cluster is."""

    UP = "up"
    UNCONTROLLED = "no controller"
    DOWN = "down"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESUMING = "resuming"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster. `address`, `controller`: "" where there is none.

    `suspended`: since when, in words; "": it is not.
    """

    name: str
    state: Condition
    address: str
    controller: str
    folder: str
    suspended: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def listing() -> tuple[Entry, ...]:
    """Return every known cluster by name."""
    return tuple(_entry(home) for home in homes.known())


def _entry(home: Home) -> Entry:
    resting = suspension.load(home)
    if resting is not None:
        return Entry(home.name, Condition(resting.stage.value), "", "", str(home.path), resting.text)
    if home.is_elsewhere:
        return _elsewhere(home)
    found = lease.controller(home)
    state = Condition.UP if found else Condition.UNCONTROLLED if home.is_up else Condition.DOWN
    try:
        address = RaySettings.load(home.path).gcs_address
    except (OSError, ValueError, TypeError, KeyError):
        address = ""  # down, or its file was damaged: the other columns are still worth showing
    return Entry(home.name, state, address, str(found) if found else "", str(home.path))


def _elsewhere(home: Home) -> Entry:
    """Return a cluster whose controller is on its head: nobody is asked, so that the list comes at once."""
    try:
        head = head_of(home)
    except NotRunning as unknown:
        return Entry(home.name, Condition.UNCONTROLLED, "", str(unknown), str(home.path))
    return Entry(home.name, Condition.UP, head.address, f"its head, {head.machine}", str(home.path))
