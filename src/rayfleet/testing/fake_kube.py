"""An API server in memory, behind the same calls: versions, watches, status, finalizers, owners, and faults on demand.

It decides nothing that a real one would leave to other programs: pods stay Pending until a test says otherwise. What it
knows of Kubernetes is only what the calls promise; the same tests run against a real one where it matters.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rayfleet.wire.kube.errors import AlreadyExists, Conflict, Expired, Invalid, KubeError, NotFound
from rayfleet.wire.kube.kube import Change, JsonPatch, Listing, MergePatch, Seen
from rayfleet.wire.kube.objects import POD, Key, Kind, Object, is_leaving, key_of, labels_of, uid_of

Refuse = Callable[[str, Kind, Object], KubeError | None]
"""Says why a call is refused (verb, kind, what it is about), None to let it through."""


@dataclass
class FakeKube:
    """All objects of one pretended API server.

    `now` is the time that new objects get. `pods_linger`: a deleted pod stays, leaving, until `finish` says that its
    kubelet is done; else it goes at once. `refuse` may fail any call. `subresources` are those that it tells of.
    `calls` counts calls by verb and kind.
    """

    now: Callable[[], float] = lambda: 0.0
    pods_linger: bool = False
    refuse: Refuse = lambda _verb, _kind, _thing: None
    subresources: frozenset[str] = frozenset({"pods/log", "pods/resize"})
    calls: Counter[str] = field(default_factory=Counter)
    _things: dict[tuple[Kind, Key], Object] = field(default_factory=dict)
    _history: list[tuple[int, Kind, Seen]] = field(default_factory=list)
    _version: int = 0
    _forgotten: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    # ---- the contract ----------------------------------------------------------------------------------

    async def get(self, kind: Kind, key: Key) -> Object:
        """Return a copy of one object."""
        self._call("get", kind, {"metadata": {"namespace": key.namespace, "name": key.name}})
        return copy.deepcopy(self._find(kind, key))

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> Listing:
        """Return copies of all objects that are selected, in key order."""
        self._call("list", kind, {})
        found = [thing for thing in self.things(kind) if _is_selected(thing, namespace, selector)]
        return Listing(tuple(found), str(self._version))

    async def watch(
        self, kind: Kind, version: str, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[Seen]:
        """Yield changes after `version`, for ever."""
        self._call("watch", kind, {})
        seen_to = int(version or 0)
        while True:
            if seen_to < self._forgotten:
                raise Expired(f"too old resource version: {seen_to}", "Expired")
            changed = self._changed
            for at, of, seen in self._history[max(seen_to - self._forgotten, 0) :]:
                if of == kind and _is_selected(seen.thing, namespace, selector):
                    yield Seen(seen.change, copy.deepcopy(seen.thing))
                seen_to = at
            await changed.wait()

    async def create(self, kind: Kind, thing: Object) -> Object:
        """Make the object."""
        self._call("create", kind, thing)
        made = copy.deepcopy({"apiVersion": kind.api_version, "kind": kind.name, **thing})
        meta = made["metadata"]
        if (kind, key_of(made)) in self._things:
            raise AlreadyExists(f'{kind.plural} "{meta["name"]}" already exists', "AlreadyExists")
        meta |= {"uid": f"uid-{self._version + 1}", "creationTimestamp": _timestamp(self.now()), "generation": 1}
        if kind == POD:
            made.setdefault("status", {"phase": "Pending"})
        return self._store(kind, made, Change.ADDED)

    async def patch(self, kind: Kind, key: Key, patch: JsonPatch | MergePatch, subresource: str = "") -> Object:
        """Change the object."""
        before = self._find(kind, key)
        self._call("patch", kind, before)
        after = copy.deepcopy(before)
        after = _merged(after, patch) if isinstance(patch, Mapping) else _patched(after, patch)
        version = after["metadata"].get("resourceVersion")
        if version not in (None, before["metadata"]["resourceVersion"]):
            raise Conflict(f"{kind.plural} {key}: the object has been modified", "Conflict")
        return self._write(kind, before, after, subresource)

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", grace_s: int | None = None) -> None:
        """Remove the object, or mark it as leaving while a finalizer or its kubelet holds it."""
        thing = self._find(kind, key)
        self._call("delete", kind, thing)
        if uid and uid_of(thing) != uid:
            raise Conflict(f"{kind.plural} {key}: uid {uid} is not {uid_of(thing)}", "Conflict")
        held = thing["metadata"].get("finalizers") or (kind == POD and self.pods_linger and grace_s != 0)
        if not held:
            self._drop(kind, thing)
        elif not is_leaving(thing):
            leaving = copy.deepcopy(thing)
            leaving["metadata"]["deletionTimestamp"] = _timestamp(self.now())
            self._store(kind, leaving, Change.MODIFIED)

    async def serves(self, kind: Kind, subresource: str) -> bool:
        """Say what `subresources` says."""
        return f"{kind.plural}/{subresource}" in self.subresources

    async def log(self, pod: Key, container: str = "", *, tail: int | None = None) -> str:
        """Return nothing: no container runs here."""
        self._find(POD, pod)
        return ""

    async def close(self) -> None:
        """Keep everything: somebody else may go on."""

    # ---- what tests do beside it -----------------------------------------------------------------------

    def things(self, kind: Kind) -> tuple[Object, ...]:
        """Return copies of all objects of a kind, in key order, without it counting as a call."""
        return tuple(copy.deepcopy(self._things[kind, key]) for key in sorted(self._keys(kind)))

    @property
    def version(self) -> int:
        """Return how many changes there have been: with none since, all objects are as they were."""
        return self._version

    def set_status(self, kind: Kind, key: Key, status: Object) -> Object:
        """Write an object's status, as a kubelet or controller would."""
        before = self._find(kind, key)
        return self._write(kind, before, {**before, "status": status}, "status")

    def finish(self, pod: Key) -> None:
        """Let a leaving pod be gone, as its kubelet does."""
        self._drop(POD, self._find(POD, pod))

    def forget_history(self) -> None:
        """Make every version before now too old for a watch."""
        self._forgotten = self._version
        self._history.clear()
        self._wake()

    # ---- the rest --------------------------------------------------------------------------------------

    def _keys(self, kind: Kind) -> Iterator[Key]:
        return (key for of, key in self._things if of == kind)

    def _call(self, verb: str, kind: Kind, thing: Object) -> None:
        self.calls[f"{verb} {kind.plural}"] += 1
        error = self.refuse(verb, kind, thing)
        if error is not None:
            raise error

    def _find(self, kind: Kind, key: Key) -> Object:
        found = self._things.get((kind, key))
        if found is None:
            raise NotFound(f'{kind.plural} "{key.name}" not found', "NotFound")
        return found

    def _write(self, kind: Kind, before: Object, after: Object, subresource: str) -> Object:
        """Keep only what the call may change: the status with its subresource, all else without."""
        if subresource == "status":
            after = {**before, "status": after.get("status")}
        else:
            after = {**after, **({"status": before["status"]} if "status" in before else {})}
            if after.get("spec") != before.get("spec"):
                after["metadata"] = {**after["metadata"], "generation": before["metadata"].get("generation", 1) + 1}
        if after == before:
            return copy.deepcopy(before)
        if is_leaving(after) and not after["metadata"].get("finalizers"):
            return self._drop(kind, after)
        return self._store(kind, copy.deepcopy(after), Change.MODIFIED)

    def _store(self, kind: Kind, thing: Object, change: Change) -> Object:
        self._version += 1
        thing["metadata"]["resourceVersion"] = str(self._version)
        self._things[kind, key_of(thing)] = thing
        self._record(kind, Seen(change, thing))
        return copy.deepcopy(thing)

    def _drop(self, kind: Kind, thing: Object) -> Object:
        del self._things[kind, key_of(thing)]
        self._version += 1
        last = copy.deepcopy(thing)
        last["metadata"]["resourceVersion"] = str(self._version)
        self._record(kind, Seen(Change.DELETED, last))
        self._collect(uid_of(thing))
        return last

    def _collect(self, owner: str) -> None:
        """Remove what the object owned, as the garbage collector does."""
        for (kind, _), thing in list(self._things.items()):
            references = thing["metadata"].get("ownerReferences") or ()
            if any(reference["uid"] == owner for reference in references) and not thing["metadata"].get("finalizers"):
                self._drop(kind, thing)

    def _record(self, kind: Kind, seen: Seen) -> None:
        self._history.append((self._version, kind, seen))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _timestamp(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_selected(thing: Object, namespace: str | None, selector: str) -> bool:
    if namespace is not None and thing["metadata"].get("namespace", "") != namespace:
        return False
    pairs = (part.partition("=") for part in selector.split(",") if part)
    labels = labels_of(thing)
    return all(labels.get(key) == value if equals else key in labels for key, equals, value in pairs)


def _merged(into: Object, patch: Mapping[str, object]) -> Object:
    result = dict(into)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            old = result.get(key)
            result[key] = _merged(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _patched(thing: Object, patch: Sequence[Mapping[str, object]]) -> Object:
    for operation in patch:
        *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:])
        place: object = thing
        try:
            for part in parents:
                place = place[int(part)] if isinstance(place, list) else place[part]  # type: ignore[index]
            _operate(place, last, operation)
        except (KeyError, IndexError, TypeError) as error:
            raise Conflict(f"the patch finds nothing at {operation['path']}", "Invalid") from error
    return thing


def _operate(place: object, last: str, operation: Mapping[str, object]) -> None:
    """Carry out one operation of a JSON patch on its parent."""
    value = copy.deepcopy(operation.get("value"))
    match operation["op"], place:
        case "test", list() | dict():
            if (place[int(last)] if isinstance(place, list) else place.get(last)) != value:
                raise Conflict(f"testing value {operation['path']} failed: test failed", "Invalid")
        case "add", list() if last == "-":
            place.append(value)
        case "add", list():
            place.insert(int(last), value)
        case "add", dict():
            place[last] = value
        case "replace", list():
            place[int(last)] = value
        case "replace", dict():
            place[last]
            place[last] = value
        case "remove", list():
            del place[int(last)]
        case "remove", dict():
            del place[last]
        case _:
            raise Invalid(f"no such operation: {operation['op']}", "BadRequest")
