"""Objects of one kind as they were last seen, found by key or by an index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType

from rayfleet.wire.kube.objects import Key, Object, key_of

Indexer = Callable[[Object], Iterable[Hashable]]
"""Returns the values under which an object is found."""

NO_INDEX: Mapping[str, Indexer] = MappingProxyType({})


class Store:
    """A cache of objects. What is handed out is shared: nobody changes it."""

    def __init__(self, indexers: Mapping[str, Indexer] = NO_INDEX) -> None:
        """Start empty, with an index for each of `indexers`."""
        self._things: dict[Key, Object] = {}
        self._indexers = dict(indexers)
        self._indexes: dict[str, dict[Hashable, set[Key]]] = {name: defaultdict(set) for name in indexers}

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Object]:
        return iter(tuple(self._things.values()))

    def get(self, key: Key) -> Object | None:
        """Return the object, None when there is none."""
        return self._things.get(key)

    def keys(self) -> tuple[Key, ...]:
        """Return the keys of all objects."""
        return tuple(self._things)

    def by(self, index: str, value: Hashable) -> tuple[Object, ...]:
        """Return the objects that have `value` in `index`, in the order of their keys."""
        return tuple(self._things[key] for key in sorted(self._indexes[index].get(value, ())))

    def put(self, thing: Object) -> Object | None:
        """Add or replace an object; return the one before it."""
        key = key_of(thing)
        before = self._things.get(key)
        if before is not None:
            self._unindex(key, before)
        self._things[key] = thing
        for name, indexer in self._indexers.items():
            for value in indexer(thing):
                self._indexes[name][value].add(key)
        return before

    def remove(self, key: Key) -> Object | None:
        """Remove an object; return it."""
        before = self._things.pop(key, None)
        if before is not None:
            self._unindex(key, before)
        return before

    def _unindex(self, key: Key, thing: Object) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(thing):
                index[value].discard(key)
                if not index[value]:
                    del index[value]
