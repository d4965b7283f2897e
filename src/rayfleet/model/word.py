"""Words of the field: members of enumerations that are text."""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A word of a fixed list.

    It hashes as the text that it is: an enumeration's own hash is a Python function, and a tick over a thousand
    machines asks some ten thousand times whether a phase is in a set.
    """

    __hash__ = str.__hash__
