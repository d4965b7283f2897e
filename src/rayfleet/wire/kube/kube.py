"""What the rooms above ask of an API server. `client` speaks to a real one; the testing kit has one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from rayfleet.wire.kube.objects import Key, Kind, Object

JsonPatch = Sequence[Mapping[str, object]]
"""Operations of RFC 6902. A `test` that fails is a Conflict."""
MergePatch = Mapping[str, object]
"""RFC 7386: null removes."""


class Change(StrEnum):
    """What a watch tells."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class Seen:
    """One change, with the object as it is after it. A bookmark's object has only its resource version."""

    change: Change
    thing: Object


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects that were asked for, and the version from which a watch goes on."""

    items: tuple[Object, ...]
    version: str


class Kube(Protocol):
    """An API server. Every call may raise Unavailable or Forbidden beside what it names."""

    async def get(self, kind: Kind, key: Key) -> Object:
        """Return one object.

        Raises:
            NotFound.
        """
        ...

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> Listing:
        """Return all objects of a kind, in pages behind the scenes. `namespace` None: of all namespaces.

        Raises:
            NotFound: this server does not know the kind.
        """
        ...

    def watch(self, kind: Kind, version: str, namespace: str | None = None, selector: str = "") -> AsyncIterator[Seen]:
        """Yield changes after `version` until the server ends the watch, which it does every few minutes.

        Raises:
            Expired: list anew.
        """
        ...

    async def create(self, kind: Kind, thing: Object) -> Object:
        """Create the object, in the namespace that it names.

        Raises:
            AlreadyExists, QuotaExceeded, Invalid; NotFound when the namespace does not exist.
        """
        ...

    async def patch(self, kind: Kind, key: Key, patch: JsonPatch | MergePatch, subresource: str = "") -> Object:
        """Change the object; a sequence is a JSON patch, a mapping a merge patch. `subresource`: "status", "resize".

        Raises:
            NotFound, Conflict, Invalid.
        """
        ...

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", grace_s: int | None = None) -> None:
        """Ask for the object to go; what it owns goes in the background. With `uid`: only that very object.

        Raises:
            NotFound, Conflict (another object has that name now).
        """
        ...

    async def serves(self, kind: Kind, subresource: str) -> bool:
        """Say whether this server knows a part of a kind, such as `resize` of pods."""
        ...

    async def log(self, pod: Key, container: str = "", *, tail: int | None = None) -> str:
        """Return what a container of the pod has printed.

        Raises:
            NotFound.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
