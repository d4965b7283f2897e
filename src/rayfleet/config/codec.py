"""Any value of `rayfleet.model` <-> plain JSON values, by its annotations; for records that must come back whole.

People read the formats of scenario_out.py and plan_out.py. This one is for ledgers and records: fields that
have their default are left out, so that a record of an earlier release can be read when a field has been added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from rayfleet.model import FrozenMap, Gang, RequestedDemand, Resources, TaskDemand

T = TypeVar("T")

_NAMED = frozenset({TaskDemand, Gang, RequestedDemand})
"""Classes that stand beside others in a union: only there must a record name the class."""

KIND = "is"
"""Key that names the class of a value where its annotation allows several."""


def encode(value: Any) -> Any:
    """Return plain JSON values for a value of the model."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}  # resources in units: exact
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return _record(value) if is_dataclass(value) else value


def _record(value: Any) -> dict[str, Any]:
    kind: Any = type(value)
    defaults = _defaults(kind)
    row: dict[str, Any] = {KIND: kind.__name__} if kind in _NAMED else {}
    for name in _hints(kind):
        item = getattr(value, name)
        if name not in defaults or defaults[name] != item:
            row[name] = encode(item)
    return row


def decode(kind: type[T], value: Any) -> T:
    """Build a `kind` from what `encode` returned.

    Raises:
        ValueError: it is something else. Unknown fields are refused: they belong to a later release.
    """
    try:
        decoded: T = _decode(kind, value)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    return decoded


def _decode(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(inner, value)
    if origin is tuple:
        return tuple(_decode(inner[0], item) for item in value)
    if origin is FrozenMap:
        return FrozenMap({key: _decode(inner[0], item) for key, item in value.items()})
    return _decode_class(kind, value)


def _decode_class(kind: Any, value: Any) -> Any:
    if kind is Resources:
        return Resources({name: _decode(int, units) for name, units in value.items()})
    if hasattr(kind, "__dataclass_fields__"):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items() if name != KIND})
    if issubclass(kind, Enum):
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _one_of(options: tuple[Any, ...], value: Any) -> Any:
    if value is None and NoneType in options:
        return None
    rest = [option for option in options if option is not NoneType]
    if len(rest) == 1:
        return _decode(rest[0], value)
    if isinstance(value, dict):
        return _decode(next(option for option in rest if option.__name__ == value[KIND]), value)
    if type(value) in rest:
        return value
    raise TypeError(f"{value!r} is none of {', '.join(option.__name__ for option in rest)}")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    own: tuple[Field[Any], ...] = fields(kind)
    return {f.name: f.default for f in own if f.default is not MISSING}
