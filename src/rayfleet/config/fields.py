"""Types of single values in files that users write: numbers with units, quantities, resources, selectors.

Each says in the house's words what it takes; `forms.validate` turns what they raise into problems.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from rayfleet.config.problems import shown
from rayfleet.model import LabelMatch

AMOUNT_MAX: Final = 10**14
"""Largest amount of one resource on one machine or in one shape (100 TB of memory)."""
NUMBER_MAX: Final = 10**15
COUNT_MAX: Final = 10**9

_DECIMAL: Final = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY: Final = {f"{letter}i": 2 ** (10 * n) for n, letter in enumerate("KMGTP", start=1)}
_FACTORS: Final = {"": 1, **_DECIMAL, **_BINARY}
_QUANTITY: Final = re.compile(r"(?P<number>\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,2})?)\s*(?P<unit>[kKMGTP]?i?)B?")
_DURATION: Final = re.compile(r"(?P<number>\d{1,12}(?:\.\d{1,9})?)\s*(?P<unit>ms|s|sec|m|min|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def wrong(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error for a value that is not what its key takes."""
    # Texts hold users' values, so they go in as values and are never read as templates.
    return PydanticCustomError("rayfleet", "{message}", {"message": message, "hint": hint})


def number(value: Any) -> int | float:
    """Take a finite number; texts, booleans, NaN and infinities are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"must be a number, not {shown(value)}", _number_hint(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(f"must be a finite number, not {value}", "leave it out or write null for no limit")
    if abs(value) > NUMBER_MAX:
        raise wrong(f"must be between {-NUMBER_MAX} and {NUMBER_MAX}, not {shown(value)}")
    return value


def whole(value: Any) -> int:
    """Take a whole number, `1e3` included."""
    taken = number(value)
    if taken != int(taken):
        raise wrong(f"must be a whole number, not {shown(value)}")
    if abs(taken) > COUNT_MAX:
        raise wrong(f"must be at most {COUNT_MAX:,}, not {shown(value)}")
    return int(taken)


def is_web_address(text: str) -> bool:
    """Say whether a text is the address of a web server."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in text and parts.port != 0
    except ValueError:
        return False


def server_address(value: Any) -> str:
    """Take the address of a web server, without a slash at its end."""
    if not isinstance(value, str) or not is_web_address(value):
        raise wrong(f"must be a web address (http://host:port), not {shown(value)}")
    return value.rstrip("/")


def flag(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise wrong(f"must be true or false, not {shown(value)}")
    return value


def word(value: Any) -> str:
    """Take text; numbers and booleans are refused with the advice to quote them."""
    if isinstance(value, str):
        return value
    simple = isinstance(value, int | float)
    raise wrong(f"must be text, not {shown(value)}", f'quote it: "{shown(value)}"' if simple else "")


def amount(value: Any) -> int | float:
    """Take the amount of one resource."""
    taken = number(value)
    if taken < 0:
        raise wrong(f"must be at least 0, not {shown(value)}")
    if taken > AMOUNT_MAX:
        raise wrong(f"must be at most {AMOUNT_MAX:,}, not {shown(value)}")
    return taken


def quantity(text: str) -> int | float | None:
    """Read bytes as people write them: 16Gi, 16GiB, 500M, 64e9; None when it is not that."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found["unit"] not in _FACTORS:
        return None
    exact = Decimal(found["number"]) * _FACTORS[found["unit"]]
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def seconds_in(text: str) -> float | None:
    """Read a duration with its unit such as 5m, 300s; None when it is not one."""
    found = _DURATION.fullmatch(text.strip())
    return None if found is None else float(found["number"]) * _SECONDS[found["unit"]]


def _number_hint(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        plain = float(value)
    except ValueError:
        if quantity(value) is not None:
            return "sizes with a unit are for memory only"
        if seconds_in(value) is not None:
            return "write the number without its unit"
        return "write 16Gi, 500M or 64e9" if value[:1].isdecimal() else ""
    return f"write {plain:g} without quotes" if math.isfinite(plain) else ""


def _resources(value: Any) -> Any:
    """Turn quantities of memory into numbers; what cannot be read is left for `amount` to refuse at its place."""
    if not isinstance(value, dict):
        raise wrong(f"must be a mapping like {{CPU: 1}}, not {shown(value)}")
    memory = {n: quantity(v) for n, v in value.items() if isinstance(v, str) and str(n).endswith("memory")}
    return {**value, **{name: taken for name, taken in memory.items() if taken is not None}}


def _expression(value: Any) -> str:
    text = word(value)
    try:
        LabelMatch.parse("key", text)
    except ValueError:
        raise wrong(f"must be one of a, !a, in(a,b), !in(a,b), not {shown(value)}", 'quote it: "!in(a,b)"') from None
    return text


# Limits stand before validators: pydantic puts them into the JSON Schema only then.
AtLeastZero = Field(ge=0)

Number = Annotated[float, BeforeValidator(number)]
"""Any finite number: a moment in seconds."""
Measure = Annotated[float, AtLeastZero, BeforeValidator(number)]
"""A number of seconds, USD or the like that cannot be negative."""
Count = Annotated[int, AtLeastZero, BeforeValidator(whole)]
Whole = Annotated[int, BeforeValidator(whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(whole)]
Flag = Annotated[bool, BeforeValidator(flag)]
Text = Annotated[str, BeforeValidator(word)]
Name = Annotated[str, Field(min_length=1, max_length=253), BeforeValidator(word)]
Amount = Annotated[int | float, BeforeValidator(amount), WithJsonSchema({"type": "number", "minimum": 0})]
_Given = dict[Name, Amount | str]
Amounts = Annotated[dict[Name, Amount], BeforeValidator(_resources, json_schema_input_type=_Given)]
"""Resources: name -> amount; memory also as 16Gi."""
Labels = dict[Name, Text]
Expression = Annotated[str, BeforeValidator(_expression)]
Selector = dict[Name, Expression]
