"""A file for Kubernetes -> the one `ray.io` resource in it, and what goes along with it. Pure."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Final

from rayfleet.config import ConfigInvalid, Problem, load
from rayfleet.config.document import Document, read_all
from rayfleet.launcher.kube.target import KINDS, Target
from rayfleet.wire.kube import objects
from rayfleet.wire.kube.objects import Kind, Object, key_of
from rayfleet.wiring import registry

_BESIDE: Final = {
    (kind.api_version, kind.name): kind
    for kind in (
        objects.CONFIG_MAP,
        objects.SECRET,
        objects.SERVICE,
        objects.SERVICE_ACCOUNT,
        objects.VOLUME_CLAIM,
        objects.ROLE,
        objects.ROLE_BINDING,
        objects.INGRESS,
        objects.NETWORK_POLICY,
    )
}
_GROUP: Final = "ray.io/"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file asks for. `beside` (ConfigMaps and such) goes before the resource, and away after it."""

    kind: Kind
    resource: Object
    beside: tuple[tuple[Kind, Object], ...] = ()

    def target(self, context: str | None) -> Target:
        """Return which resource it is."""
        return Target(self.kind, key_of(self.resource), context)

    def within(self, namespace: str) -> Manifest:
        """Return it with a namespace for everything that names none."""
        beside = tuple((kind, _placed(thing, namespace)) for kind, thing in self.beside)
        return Manifest(self.kind, _placed(self.resource, namespace), beside)

    @property
    def things(self) -> tuple[tuple[Kind, Object], ...]:
        """Return everything, in the order in which it is made."""
        return (*self.beside, (self.kind, self.resource))


def read_manifest(text: str, file: str) -> Manifest:
    """Read a file with one RayCluster, RayJob or RayService, alone or among objects of Kubernetes' own.

    Raises:
        ConfigInvalid: with everything that is wrong with it, or what else is in it that we would have to leave out.
    """
    load(text, registry(), file)
    resource: tuple[Kind, Object] | None = None
    beside = []
    for document in read_all(text, file, old_booleans=True):
        kind = _kind(document)
        if kind.group == "ray.io":
            resource = (kind, {key: value for key, value in document.value.items() if key != "status"})
        else:
            beside.append((kind, _as_kept(kind, document.value)))
    if resource is None:
        raise ConfigInvalid([Problem("has no ray.io resource", file=file)])
    return Manifest(*resource, beside=tuple(beside))


def _kind(document: Document) -> Kind:
    value = document.value if isinstance(document.value, dict) else {}
    version, name = str(value.get("apiVersion", "")), str(value.get("kind", ""))
    if version.startswith(_GROUP):
        return replace(KINDS[name.lower()], version=version.removeprefix(_GROUP))
    found = _BESIDE.get((version, name))
    if found is None:
        hint = f"kubectl apply takes the file as it is; known: {', '.join(name for _, name in _BESIDE)}"
        raise ConfigInvalid([document.problem((), f"`rayfleet up` makes no {name or 'such'} objects", hint)])
    if not isinstance(value.get("metadata"), dict) or not value["metadata"].get("name"):
        raise ConfigInvalid([document.problem(("metadata", "name"), "is required")])
    return found


def _as_kept(kind: Kind, thing: Object) -> Object:
    """Return an object as the API server keeps it: of a Secret, `stringData` is only a way to write `data`."""
    if kind != objects.SECRET or not isinstance(thing.get("stringData"), dict):
        return thing
    encoded = {key: b64encode(str(text).encode()).decode() for key, text in thing["stringData"].items()}
    kept = {key: value for key, value in thing.items() if key != "stringData"}
    return {**kept, "data": {**(thing.get("data") or {}), **encoded}}


def _placed(thing: Object, namespace: str) -> Object:
    meta = thing["metadata"]
    return thing if meta.get("namespace") else {**thing, "metadata": {**meta, "namespace": namespace}}
