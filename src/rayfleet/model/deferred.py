"""Tuples that are made when somebody looks: a plan for 100,000 tasks must not write each one down to exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast, overload

T = TypeVar("T")


class Deferred(Sequence[T], Generic[T]):
    """A tuple that is made once, when it is first looked into. Equal to the tuple of the same values, also in print."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        """Keep `make`, a pure function, until the values are wanted."""
        self._make: Callable[[], Iterable[T]] | None = make
        self._made: tuple[T, ...] = ()

    def as_tuple(self) -> tuple[T, ...]:
        """Return this, called a tuple: it does what tuples do wherever plans are read."""
        return cast("tuple[T, ...]", self)

    def made(self) -> tuple[T, ...]:
        """Return the values."""
        if self._make is not None:
            self._made, self._make = tuple(self._make()), None
        return self._made

    @overload
    def __getitem__(self, index: int, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice, /) -> T | tuple[T, ...]:
        """Return one value, or the tuple of some."""
        return self.made()[index]

    def __iter__(self) -> Iterator[T]:
        """Iterate over the values."""
        return iter(self.made())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.made())

    def __eq__(self, other: object) -> bool:
        """Compare with a tuple, or another of these, by values."""
        if isinstance(other, Deferred):
            return self.made() == other.made()
        return self.made() == other if isinstance(other, tuple) else NotImplemented

    def __add__(self, other: tuple[T, ...]) -> tuple[T, ...]:
        """Return a tuple with the other's values behind."""
        return (*self.made(), *other)

    def __radd__(self, other: tuple[T, ...]) -> tuple[T, ...]:
        """Return a tuple with the other's values before."""
        return (*other, *self.made())

    def __hash__(self) -> int:
        """Hash as the tuple."""
        return hash(self.made())

    def __repr__(self) -> str:
        """Print as the tuple."""
        return repr(self.made())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as the tuple."""
        return (tuple, (self.made(),))
