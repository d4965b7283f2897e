"""An immutable, hashable mapping with a canonical (sorted) order."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")


class FrozenMap(Mapping[str, V]):
    """Mapping of text keys that can be a field of a frozen value.

    Keys are kept sorted, so two maps with the same content iterate, print and
    hash alike whatever order they were built in.
    """

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        """Copy `items`; an absent argument gives the empty map."""
        given = items or {}
        self._items: dict[str, V] = dict(sorted(given.items()) if len(given) > 1 else given)
        self._hash: int | None = None

    def __getitem__(self, key: str) -> V:
        """Return the value of `key`; KeyError when absent."""
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys in sorted order."""
        return iter(self._items)

    # What Mapping itself offers asks for one key after the other; a tick over a thousand machines does that a lot.

    def __contains__(self, key: object) -> bool:
        """Say whether there is such a key."""
        return key in self._items

    def items(self) -> ItemsView[str, V]:
        """Return a view of keys and values in sorted order."""
        return self._items.items()

    def values(self) -> ValuesView[V]:
        """Return a view of the values in the order of their keys."""
        return self._items.values()

    @overload
    def get(self, key: str, /) -> V | None: ...
    @overload
    def get(self, key: str, /, default: V | D) -> V | D: ...
    def get(self, key: str, /, default: V | D | None = None) -> V | D | None:
        """Return the value of `key`, or `default`."""
        return self._items.get(key, default)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._items)

    def __hash__(self) -> int:
        """Hash the content; needs hashable values."""
        if self._hash is None:
            self._hash = hash(tuple(self._items.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Compare by content with any mapping."""
        if isinstance(other, FrozenMap):
            return self._items == other._items
        return self._items == other

    def __repr__(self) -> str:
        """Show the content in canonical order."""
        return f"{type(self).__name__}({self._items!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content, never by cached hash (text hashes differ between processes)."""
        return (type(self), (dict(self._items),))

    def merged(self, other: Mapping[str, V]) -> FrozenMap[V]:
        """Return a map in which `other` overrides this one."""
        return FrozenMap({**self._items, **other})


Labels = FrozenMap[str]
"""Node labels: key -> value."""

NO_LABELS: Labels = FrozenMap()
