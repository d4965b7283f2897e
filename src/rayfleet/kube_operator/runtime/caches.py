"""Everything that reconcile functions see of the API server, kept in memory, and whom a change concerns."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rayfleet.kube_operator.raycluster.health import slot_of
from rayfleet.kube_operator.raycluster.names import CLUSTER_LABEL, IS_RAY_NODE_LABEL, ORIGIN_NAME_LABEL
from rayfleet.kube_operator.reconciling import Related
from rayfleet.wire.kube.informer import Followed, Informer
from rayfleet.wire.kube.kube import Kube
from rayfleet.wire.kube.objects import (
    GATEWAY,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    NETWORK_POLICY,
    POD,
    RAY_CLUSTER,
    RAY_CRON_JOB,
    RAY_JOB,
    RAY_SERVICE,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Key,
    Kind,
    Object,
    controller_of,
    is_leaving,
    key_of,
    labels_of,
    uid_of,
)
from rayfleet.wire.kube.store import Store

OnChange = Callable[["Subject", float], None]

BURST_S: Final = 0.1
"""Changes of what is owned are waited out for so long, so that a burst of them is one status, not many."""
OWNER: Final = "owner"
"""The index by the uid of whoever controls an object."""
NAMESPACE: Final = "namespace"


@dataclass(frozen=True, slots=True)
class Subject:
    """A resource that is reconciled."""

    kind: Kind
    key: Key


RECONCILED: Final = (RAY_CLUSTER, RAY_JOB, RAY_SERVICE, RAY_CRON_JOB)
"""Kinds that are reconciled, and followed everywhere."""
OWNED: Final = {
    POD: f"{IS_RAY_NODE_LABEL}=yes",
    SERVICE: CLUSTER_LABEL,
    SERVICE_ACCOUNT: CLUSTER_LABEL,
    ROLE: CLUSTER_LABEL,
    ROLE_BINDING: CLUSTER_LABEL,
    JOB: CLUSTER_LABEL,
    SECRET: CLUSTER_LABEL,
    VOLUME_CLAIM: CLUSTER_LABEL,
    INGRESS: CLUSTER_LABEL,
    NETWORK_POLICY: CLUSTER_LABEL,
    GATEWAY: ORIGIN_NAME_LABEL,
    HTTP_ROUTE: ORIGIN_NAME_LABEL,
}
"""Kinds that are owned, with the selector of those that are ours."""
OPTIONAL: Final = frozenset({GATEWAY, HTTP_ROUTE})
"""Kinds that a cluster may be without, and whose permissions an operator of before may lack."""


def _namespaces(thing: Object) -> Iterable[Hashable]:
    return (key_of(thing).namespace,)


def _owners(thing: Object) -> Iterable[Hashable]:
    owner = controller_of(thing)
    return (owner["uid"],) if owner else ()


_INDEXES: Final = {OWNER: _owners, NAMESPACE: _namespaces}


class Caches:
    """The informers of one operator. `on_change` is told whom a change concerns, and how long that may wait (s)."""

    def __init__(self, kube: Kube, namespaces: Iterable[str | None], on_change: OnChange) -> None:
        """Follow nothing yet: that is `run`."""
        self._on_change = on_change
        self.stores: dict[Kind, Store] = {
            kind: Store({OWNER: _owners, NAMESPACE: _namespaces}) for kind in (*RECONCILED, *OWNED)
        }
        self._departed: dict[str, Counter[str]] = defaultdict(Counter)
        self._seen_leaving: set[str] = set()
        self._informers = [
            Informer(kube, _followed(kind, namespace), store, self._listener(kind))
            for namespace in namespaces
            for kind, store in self.stores.items()
        ]

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers:
                tasks.create_task(informer.run())

    async def synced(self) -> None:
        """Wait until everything that exists is known."""
        for informer in self._informers:
            await informer.synced.wait()

    def owned_by(self, uid: str) -> Mapping[Kind, tuple[Object, ...]]:
        """Return what a resource controls, by kind."""
        found = {kind: self.stores[kind].by(OWNER, uid) for kind in (*OWNED, *RECONCILED)}
        return {kind: things for kind, things in found.items() if things}

    def related_to(self, namespace: str, wanted: Iterable[Related]) -> Mapping[Kind, tuple[Object, ...]]:
        """Return what a resource depends on without owning it, by kind."""
        found: dict[Kind, tuple[Object, ...]] = {}
        for one in wanted:
            things = self.stores[one.kind].by(NAMESPACE, namespace)
            matching = (thing for thing in things if one.labels.items() <= labels_of(thing).items())
            found[one.kind] = (*found.get(one.kind, ()), *matching)
        return found

    def current(self, kind: Kind, namespace: str) -> bool:
        """Say whether what is kept of a kind in a namespace is as the API server has it, as far as anybody can tell."""
        return all(
            informer.current
            for informer in self._informers
            if informer.followed.kind == kind and informer.followed.namespace in (None, namespace)
        )

    def departed(self, uid: str) -> Mapping[str, int]:
        """Return how many pods of each slot of a cluster were seen to leave."""
        return self._departed.get(uid, {})

    def _listener(self, kind: Kind) -> Callable[[Object | None, Object | None], None]:
        def changed(before: Object | None, after: Object | None) -> None:
            thing = after or before
            if thing is None:
                return
            if kind == POD:
                self._count_departure(thing, gone=after is None)
            if kind in RECONCILED:
                if after is None:
                    self._departed.pop(uid_of(thing), None)
                self._on_change(Subject(kind, key_of(thing)), 0.0)
            owner = controller_of(thing)
            if owner is not None and (subject := _subject(owner, thing)) is not None:
                self._on_change(subject, BURST_S if before and after else 0.0)

        return changed

    def _count_departure(self, pod: Object, *, gone: bool) -> None:
        """Count a pod once, when it is first seen to leave."""
        uid, owner = uid_of(pod), controller_of(pod)
        known = uid in self._seen_leaving
        if owner is not None and not known and (gone or is_leaving(pod)) and self._exists(owner, pod):
            self._departed[owner["uid"]][str(slot_of(pod))] += 1
        if gone:
            self._seen_leaving.discard(uid)
        elif is_leaving(pod):
            self._seen_leaving.add(uid)

    def _exists(self, owner: Object, pod: Object) -> bool:
        """Say whether a pod's cluster is still there; nothing is kept about the pods of one that is not."""
        cluster = self.stores[RAY_CLUSTER].get(Key(key_of(pod).namespace, owner["name"]))
        return cluster is not None and uid_of(cluster) == owner["uid"]


def _followed(kind: Kind, namespace: str | None) -> Followed:
    return Followed(kind, namespace, OWNED.get(kind, ""), optional=kind in OPTIONAL)


def _subject(owner: Object, thing: Object) -> Subject | None:
    kind = next((kind for kind in RECONCILED if kind.name == owner["kind"]), None)
    return None if kind is None else Subject(kind, Key(key_of(thing).namespace, owner["name"]))
