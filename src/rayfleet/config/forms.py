"""From plain values to validated forms, and from what pydantic finds to problems with places and hints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from rayfleet.config.document import Document
from rayfleet.config.fields import seconds_in
from rayfleet.config.problems import Path, Problem, did_you_mean, shown

_QUOTED = re.compile("'([^']*)'")
UNITS_OF_NAMES = {"_minutes": 60.0, "_s": 1.0}


class Form(BaseModel):
    """A section of a file: unknown keys are refused, values are not changed once read."""

    # Models are built on first use: a command that reads one format does not pay for the others.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    homes: ClassVar[dict[str, str]] = {}
    """Keys that people put here although they belong elsewhere -> where."""


F = TypeVar("F", bound=BaseModel)


def validate(
    form: type[F], document: Document, path: Path = (), *, empty: bool = False, without: tuple[str, ...] = ()
) -> tuple[F | None, list[Problem]]:
    """Validate the part of a document at `path`; the form is None when there are problems.

    `empty`: a key without a value counts as an empty section. `without`: keys that are somebody else's.
    """
    value = at(document.value, path)
    if value is None and empty:
        value = {}
    if not isinstance(value, dict):
        return None, [document.problem(path, f"must be a mapping of keys to values, not {shown(value)}")]
    try:
        return form.model_validate({key: part for key, part in value.items() if key not in without}), []
    except ValidationError as error:
        return None, problems_of(form, document, path, error)


def problems_of(form: type[BaseModel], document: Document, path: Path, error: ValidationError) -> list[Problem]:
    """Return what pydantic found wrong with the part of a document at `path`, in words for its author."""
    found = error.errors(include_url=False, include_context=True)
    return [_problem(form, document, path, one) for one in found]


def at(value: Any, path: Path) -> Any:
    """Return the part of a plain value at `path`; None when there is none."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _problem(form: type[BaseModel], document: Document, base: Path, error: ErrorDetails) -> Problem:
    inside, of_key = _existing(document, base, error["loc"])
    path = (*base, *inside)
    value = at(document.value, path)
    match error["type"]:
        case "extra_forbidden":
            return document.problem(path, "unknown key", _unknown_hint(form, inside), of_key=True)
        case "missing":
            known = at(document.value, path[:-1])
            return document.problem(path, "is required", _misspelt(known, form, inside))
        case "rayfleet":
            message, hint = error["ctx"]["message"], error["ctx"]["hint"]
        case "value_error":
            message, hint = str(error["ctx"]["error"]), ""
        case "enum" | "literal_error":
            message, hint = _message(error, value), did_you_mean(value, _QUOTED.findall(error["ctx"]["expected"]))
        case _:
            message, hint = _message(error, value), ""
    return document.problem(path, message, _duration_hint(path, value) or hint, of_key=of_key)


def _existing(document: Document, base: Path, loc: tuple[str | int, ...]) -> tuple[Path, bool]:
    """Drop what pydantic adds to a place (names of union members, `[key]`); say whether a key itself is meant."""
    of_key = bool(loc) and loc[-1] == "[key]"
    kept: list[str | int] = []
    for n, part in enumerate(loc):
        parent = at(document.value, (*base, *kept))
        exists = isinstance(parent, dict) and part in parent
        exists = exists or (isinstance(parent, list) and isinstance(part, int) and part < len(parent))
        last_missing = n == len(loc) - 1 and isinstance(parent, dict) and part != "[key]"
        if exists or last_missing:
            kept.append(part)
    return tuple(kept), of_key


_MESSAGES = {
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "list_type": "must be a list, not {value}",
    "dict_type": "must be a mapping of keys to values, not {value}",
    "model_type": "must be a mapping of keys to values, not {value}",
    "model_attributes_type": "must be a mapping of keys to values, not {value}",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_type": "must be text, not {value}",
    "int_type": "must be a whole number, not {value}",
    "float_type": "must be a number, not {value}",
    "bool_type": "must be true or false, not {value}",
    "enum": "must be one of {expected}, not {value}",
    "literal_error": "must be {expected}, not {value}",
}
"""Pydantic's error types in the words of this house; others keep pydantic's own."""


def _message(error: ErrorDetails, value: Any) -> str:
    text = error["msg"]
    own = _MESSAGES.get(error["type"])
    return own.format_map({**error.get("ctx", {}), "value": shown(value)}) if own else text[:1].lower() + text[1:]


def _duration_hint(path: Path, value: Any) -> str:
    seconds = seconds_in(value) if isinstance(value, str) else None
    name = str(path[-1]) if path else ""
    for ending, unit in UNITS_OF_NAMES.items():
        if seconds is not None and name.endswith(ending):
            word = "minutes" if unit > 1 else "seconds"
            return f"it is a number of {word}: write {seconds / unit:g}"
    return ""


def _unknown_hint(form: type[BaseModel], inside: Path) -> str:
    here = form_at(form, inside[:-1])
    if here is None:
        return ""
    homes: dict[str, str] = getattr(here, "homes", {})
    key = str(inside[-1])
    if key in homes:
        return homes[key]
    return did_you_mean(key, keys_of(here))


def _misspelt(given: Any, form: type[BaseModel], inside: Path) -> str:
    """Say which of the given unknown keys may be the missing one."""
    here = form_at(form, inside[:-1])
    if not isinstance(given, dict) or here is None:
        return ""
    unknown = [key for key in given if key not in keys_of(here)]
    close = did_you_mean(inside[-1], unknown)
    return close.replace("did you mean", "is it").strip() if close else ""


def keys_of(form: type[BaseModel]) -> list[str]:
    """Return the keys that a form takes."""
    return [field.alias or name for name, field in form.model_fields.items()]


def form_at(form: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the form that describes the mapping at `path` below `form`; None when it is no form."""
    current: Any = form
    for part in path:
        current = next((step for option in _options(current) for step in _steps(option, part)), None)
        if current is None:
            return None
    return next((option for option in _options(current) if _is_form(option)), None)


def _options(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    elif hasattr(annotation, "__metadata__"):
        yield from _options(get_args(annotation)[0])
    else:
        yield annotation


def _steps(option: Any, part: str | int) -> Iterator[Any]:
    if _is_form(option):
        field = next((f for n, f in option.model_fields.items() if part in (n, f.alias)), None)
        if field is not None:
            yield field.annotation
    elif get_origin(option) in (list, tuple) and isinstance(part, int):
        yield get_args(option)[0]
    elif get_origin(option) is dict:
        yield get_args(option)[1]


def _is_form(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def in_order(problems: list[Problem]) -> list[Problem]:
    """Return problems in the order of the file, each once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column, p.path, p.message))
