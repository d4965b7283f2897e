"""The note that a cluster is suspended: what `list` and `status` tell, and why other verbs do not look for its head.

    (up) -> SUSPENDING -> SUSPENDED -> RESUMING -> (up)        `down` removes the note, wherever the cluster is

It is written before anything is done and removed when that is over, so that whoever was killed between is told of.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from rayfleet.launcher.errors import AlreadyControlled, NotRunning
from rayfleet.launcher.home import Home


class Stage(StrEnum):
    """How far a suspension is."""

    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESUMING = "resuming"


@dataclass(frozen=True, slots=True)
class Suspension:
    """What is noted. `since`: when `suspend` was asked for, in seconds since the epoch.

    `unasked`: the controller on the head could not be asked to stop, so what it launched last may still appear.
    """

    stage: Stage
    since: float
    unasked: bool = False

    @property
    def text(self) -> str:
        """Return it for people."""
        when = datetime.fromtimestamp(self.since).astimezone().strftime("%Y-%m-%d %H:%M")
        said = {
            Stage.SUSPENDING: "half suspended: that was begun at",
            Stage.SUSPENDED: "suspended since",
            Stage.RESUMING: "half resumed, suspended since",
        }
        return f"{said[self.stage]} {when}"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"state": self.stage.value, "since": self.since}


def load(home: Home) -> Suspension | None:
    """Return what is noted; None: the cluster is not suspended. A damaged note counts as half of a suspension."""
    try:
        told = json.loads(home.suspended.read_text(encoding="utf-8"))
        return Suspension(Stage(told["state"]), float(told["since"]), bool(told.get("unasked")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return Suspension(Stage.SUSPENDING, home.suspended.stat().st_mtime)


def note(home: Home, stage: Stage, *, unasked: bool | None = None) -> Suspension:
    """Write down how far it is; the time is that of the first note. `unasked`: as before, if None. Return it."""
    before = load(home)
    since = before.since if before else round(time.time(), 3)
    noted = Suspension(stage, since, (before is not None and before.unasked) if unasked is None else unasked)
    home.write(home.suspended, json.dumps(noted.as_json() | {"unasked": noted.unasked}) + "\n")
    return noted


@contextmanager
def begun(home: Home) -> Iterator[Suspension]:
    """Note that a suspension has begun; take that back when somebody else turns out to be at the cluster."""
    before = load(home)
    try:
        yield note(home, Stage.SUSPENDING)
    except AlreadyControlled:
        if before is None:
            clear(home)
        raise


def clear(home: Home) -> None:
    """Remove the note."""
    home.suspended.unlink(missing_ok=True)


def refuse(home: Home) -> None:
    """Refuse what needs the cluster to run.

    Raises:
        NotRunning: it is suspended, or half way there or back.
    """
    found = load(home)
    if found is not None:
        raise NotRunning(f"cluster {home.name} is {found.text}", f"rayfleet resume {home.name}")
