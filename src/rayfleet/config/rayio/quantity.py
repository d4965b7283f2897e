"""Kubernetes' quantities: `500m`, `1Gi`, `2e3`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from rayfleet.config.fields import wrong
from rayfleet.config.problems import shown

_POWERS_OF_TWO: Final = {f"{letter}i": Decimal(2 ** (10 * n)) for n, letter in enumerate("KMGTPE", start=1)}
_POWERS_OF_TEN: Final = {
    letter: Decimal(10) ** n
    for letter, n in {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_FACTORS: Final = {**_POWERS_OF_TWO, **_POWERS_OF_TEN}
_QUANTITY: Final = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)(?P<suffix>[A-Za-z]{0,2})")


def quantity(value: object) -> Decimal:
    """Read a quantity.

    Raises:
        PydanticCustomError: it is none; a ValueError with a message for the user.
    """
    found = None if isinstance(value, bool) else _QUANTITY.fullmatch(str(value).strip())
    if found is None or found["suffix"] not in _FACTORS:
        raise wrong(f"must be a quantity such as 500m, 2 or 1Gi, not {shown(value)}")
    return Decimal(found["number"]) * _FACTORS[found["suffix"]]


def whole(value: object) -> int:
    """Read a quantity and round it up to a whole number, as the API server's own `Value()` does."""
    return math.ceil(quantity(value))
