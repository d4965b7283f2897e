"""What the provider must still know after a restart, in one small file of the cluster's folder.

Leases themselves are on the hosts. Here is what hosts cannot tell: how they were when they answered last, which
machines were given back while they did not, and which batches were carried out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HOSTS_FILE: Final = "hosts.json"
BATCHES_MAX: Final = 1000
RELEASED_MAX: Final = 1000


@dataclass(slots=True)
class Seen:
    """A lease of ours as a host showed it last (`text`; "": none), and when it answered: seconds since the epoch."""

    text: str
    at: float


@dataclass(slots=True)
class Memory:
    """`seen`: by address. `released`: machines given back. `batches`: places that were taken, by batch.

    `refused`: by address, why the newest launch that wanted the host could not take it. `released` and `batches`
    forget the oldest: a call is not repeated after a thousand others.
    """

    path: Path
    seen: dict[str, Seen] = field(default_factory=dict)
    released: dict[str, bool] = field(default_factory=dict)
    batches: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _kept: str = ""

    @classmethod
    def load(cls, path: Path) -> Memory:
        """Read the file; nothing there is an empty memory."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path)
        kept: dict[str, Any] = json.loads(text)
        seen = {address: Seen(**value) for address, value in kept["seen"].items()}
        return cls(path, seen, dict.fromkeys(kept["released"], True), kept["batches"], kept.get("refused", {}), text)

    def took(self, batch: str, place: str) -> None:
        """Note that a machine of a batch was made."""
        places = self.batches.setdefault(batch, [])
        if place not in places:
            places.append(place)

    def as_told(self) -> dict[str, Any]:
        """Return what was seen, for another computer's memory."""
        return {address: {"text": each.text, "at": each.at} for address, each in self.seen.items()}

    def learn(self, told: Mapping[str, Any]) -> None:
        """Take over what another computer has seen, where that is newer."""
        for address, value in told.items():
            theirs, ours = Seen(**value), self.seen.get(address)
            if ours is None or ours.at < theirs.at:
                self.seen[address] = theirs

    def save(self) -> None:
        """Write the file in one step, when anything is new."""
        self.released = dict.fromkeys(list(self.released)[-RELEASED_MAX:], True)
        self.batches = dict(list(self.batches.items())[-BATCHES_MAX:])
        kept = {"seen": self.as_told(), "released": list(self.released), "batches": self.batches}
        text = json.dumps(kept | {"refused": self.refused})
        if text == self._kept:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)
        self._kept = text
