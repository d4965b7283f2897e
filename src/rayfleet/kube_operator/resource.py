"""A resource that is reconciled, as its API server has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rayfleet.wire.kube.objects import Object, key_of


@dataclass(frozen=True)
class Resource:
    """What all kinds have."""

    thing: Object

    @property
    def name(self) -> str:
        """Return the resource's name."""
        return key_of(self.thing).name

    @property
    def namespace(self) -> str:
        """Return the resource's namespace."""
        return key_of(self.thing).namespace

    @property
    def status(self) -> dict[str, Any]:
        """Return the status as it was last written."""
        return self.thing.get("status") or {}
