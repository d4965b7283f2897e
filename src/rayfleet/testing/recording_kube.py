"""An API server that writes down what it was asked for, in the words of its access control, and passes it on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from rayfleet.wire.kube.kube import JsonPatch, Kube, Listing, MergePatch, Seen
from rayfleet.wire.kube.objects import POD, ROLE, Key, Kind, Object

Right = tuple[str, str, str]
"""API group, resource (with its subresource, if any: `pods/log`), verb."""


def rights_of(rules: Iterable[Object]) -> set[Right]:
    """Return what the rules of a role permit."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@dataclass
class RecordingKube:
    """Passes all calls on to `kube`.

    `used`: the rights that the calls needed, refused calls too. `granted`: those that roles which were created give.
    """

    kube: Kube
    used: set[Right] = field(default_factory=set)
    granted: set[Right] = field(default_factory=set)

    async def get(self, kind: Kind, key: Key) -> Object:
        """Record, and pass on."""
        self._use("get", kind)
        return await self.kube.get(kind, key)

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> Listing:
        """Record, and pass on."""
        self._use("list", kind)
        return await self.kube.list(kind, namespace, selector)

    def watch(self, kind: Kind, version: str, namespace: str | None = None, selector: str = "") -> AsyncIterator[Seen]:
        """Record, and pass on."""
        self._use("watch", kind)
        return self.kube.watch(kind, version, namespace, selector)

    async def create(self, kind: Kind, thing: Object) -> Object:
        """Record, with what roles give and what owners must not go before; pass on."""
        self._use("create", kind)
        if kind == ROLE:
            self.granted |= rights_of(thing.get("rules") or ())
        for owner in thing["metadata"].get("ownerReferences") or ():
            if owner.get("blockOwnerDeletion"):
                group = str(owner["apiVersion"]).rpartition("/")[0]
                self.used.add((group, f"{str(owner['kind']).lower()}s/finalizers", "update"))
        return await self.kube.create(kind, thing)

    async def patch(self, kind: Kind, key: Key, patch: JsonPatch | MergePatch, subresource: str = "") -> Object:
        """Record, and pass on."""
        self._use("patch", kind, subresource)
        return await self.kube.patch(kind, key, patch, subresource)

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", grace_s: int | None = None) -> None:
        """Record, and pass on."""
        self._use("delete", kind)
        await self.kube.delete(kind, key, uid=uid, grace_s=grace_s)

    async def serves(self, kind: Kind, subresource: str) -> bool:
        """Pass it on: everybody may ask."""
        return await self.kube.serves(kind, subresource)

    async def log(self, pod: Key, container: str = "", *, tail: int | None = None) -> str:
        """Record, and pass on."""
        self._use("get", POD, "log")
        return await self.kube.log(pod, container, tail=tail)

    async def close(self) -> None:
        """Pass on."""
        await self.kube.close()

    def _use(self, verb: str, kind: Kind, subresource: str = "") -> None:
        self.used.add((kind.group, f"{kind.plural}/{subresource}" if subresource else kind.plural, verb))
