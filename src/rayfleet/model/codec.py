"""Any model value to JSON and back, exactly: for the ledger and the history, not for people.

The type hints of the dataclasses are the format. Fields that hold their default are left out; a
value of a union of dataclasses carries its class as `"is"` (a Python keyword, so no field is ever
called that). People write the scenario format instead, which lives in `config`.

    dataclass  -> object      tuple -> array      FrozenMap -> object      enum -> its value
    number, text, true, false, null -> themselves
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from rayfleet.model.frozen import FrozenMap

T = TypeVar("T")
Convert = Callable[[Any], Any]

TAG = "is"
_SCALARS: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), bool: (bool,), float: (int, float)}


class CodecError(ValueError):
    """The data does not describe a value of the wanted type; the message says where."""


def encode(value: object) -> Any:
    """Return `value`, a dataclass of the model, as what `json` can write."""
    return _encoder(cast("Any", type(value)))(value)


def decode(kind: type[T], data: Any) -> T:
    """Return the value of type `kind` that `data` describes; CodecError when it does not."""
    return cast("T", _decoder(cast("Any", kind))(data))


def to_json(value: object) -> str:
    """Return compact JSON text; equal values give equal text."""
    return json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False)


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read what `to_json` wrote; CodecError when it is something else."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CodecError(f"{kind.__name__}: not JSON: {error}") from error
    return decode(kind, data)


# ---- out ----------------------------------------------------------------------------------------


@cache
def _encoder(hint: Any) -> Convert:
    if is_dataclass(hint):
        return partial(_encode_fields, cast("type", hint))
    if get_origin(hint) in (Union, UnionType):
        return _union_encoder([member for member in get_args(hint) if member is not NoneType])
    if get_origin(hint) is tuple:
        return _each(_encoder(get_args(hint)[0]))
    if (values := _map_values(hint)) is not None:
        return _each_value(_encoder(values))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: value.value
    return _same


def _encode_fields(kind: type, value: Any) -> dict[str, Any]:
    out = {}
    for name, default, convert in _out_fields(kind):
        held = getattr(value, name)
        if held is not default and held != default:
            out[name] = held if convert is None else convert(held)
    return out


@cache
def _out_fields(kind: type) -> tuple[tuple[str, Any, Convert | None], ...]:
    """Return name, default and converter (None: as it is) of each field; lazy, because types may be recursive."""
    hints = get_type_hints(kind)
    found = [(f.name, _default(f), _encoder(hints[f.name])) for f in fields(kind)]
    return tuple((name, default, None if convert is _same else convert) for name, default, convert in found)


def _default(field: Field[Any]) -> Any:
    """Return the field's default; MISSING, which equals no value, when it has none."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _union_encoder(members: list[Any]) -> Convert:
    if all(is_dataclass(member) for member in members) and len(members) > 1:
        return lambda value: None if value is None else {TAG: type(value).__name__, **encode(value)}
    if len(members) == 1 and (convert := _encoder(members[0])) is not _same:
        return lambda value: None if value is None else convert(value)
    return _same


def _each(convert: Convert) -> Convert:
    return list if convert is _same else lambda values: [convert(value) for value in values]


def _each_value(convert: Convert) -> Convert:
    return dict if convert is _same else lambda items: {key: convert(value) for key, value in items.items()}


def _same(value: Any) -> Any:
    return value


# ---- in -----------------------------------------------------------------------------------------


@cache
def _decoder(hint: Any) -> Convert:
    if is_dataclass(hint):
        return partial(_decode_fields, cast("type", hint))
    if get_origin(hint) in (Union, UnionType):
        return _union_decoder(get_args(hint))
    if get_origin(hint) is tuple:
        return partial(_decode_tuple, _decoder(get_args(hint)[0]))
    if (values := _map_values(hint)) is not None:
        return partial(_decode_map, get_origin(hint) or hint, _decoder(values))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return partial(_decode_enum, hint)
    return partial(_decode_scalar, _SCALARS[hint])


def _decode_fields(kind: type, data: Any) -> Any:
    expected = _in_fields(kind)
    if not isinstance(data, dict) or not data.keys() <= expected.keys():
        raise CodecError(f"{kind.__name__}: {_shown(data)} has other keys than {', '.join(expected)}")
    try:
        return kind(**{name: expected[name](held) for name, held in data.items()})
    except TypeError as error:  # a field without default is absent
        raise CodecError(f"{kind.__name__}: {error}") from error


@cache
def _in_fields(kind: type) -> dict[str, Convert]:
    hints = get_type_hints(kind)
    return {field.name: _decoder(hints[field.name]) for field in fields(kind)}


def _union_decoder(members: tuple[Any, ...]) -> Convert:
    kinds = [member for member in members if member is not NoneType]
    if len(kinds) == 1:
        one = _decoder(kinds[0])
        return lambda data: None if data is None else one(data)
    if all(is_dataclass(kind) for kind in kinds):
        return partial(_decode_tagged, {kind.__name__: kind for kind in kinds}, NoneType in members)
    return partial(_decode_scalar, tuple(t for kind in kinds for t in _SCALARS[kind]))


def _decode_tagged(kinds: dict[str, type], optional: bool, data: Any) -> Any:  # noqa: FBT001 - bound by partial, never written by hand
    if data is None and optional:
        return None
    if not isinstance(data, dict) or data.get(TAG) not in kinds:
        raise CodecError(f"{_shown(data)} is none of {', '.join(kinds)}")
    return _decode_fields(kinds[data[TAG]], {key: held for key, held in data.items() if key != TAG})


def _decode_tuple(convert: Convert, data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise CodecError(f"{_shown(data)} is not an array")
    return tuple(convert(item) for item in data)


def _decode_map(kind: Callable[[dict[str, Any]], Any], convert: Convert, data: Any) -> Any:
    if not isinstance(data, dict):
        raise CodecError(f"{_shown(data)} is not an object")
    return kind({key: convert(held) for key, held in data.items()})


def _decode_enum(kind: type[Enum], data: Any) -> Enum:
    try:
        return kind(data)
    except ValueError as error:
        raise CodecError(str(error)) from error


def _decode_scalar(kinds: tuple[type, ...], data: Any) -> Any:
    if not isinstance(data, kinds):
        raise CodecError(f"{_shown(data)} is not {kinds[-1].__name__}")
    return data


# ---- both ---------------------------------------------------------------------------------------


def _map_values(hint: Any) -> Any:
    """Return the value type of a FrozenMap or a subclass of it that names it; None for other types."""
    if get_origin(hint) is FrozenMap:
        return get_args(hint)[0]
    if isinstance(hint, type) and issubclass(hint, FrozenMap):
        return get_args(hint.__orig_bases__[0])[0]  # type: ignore[attr-defined]  # set on every class with generic bases
    return None


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - a line of an error message
