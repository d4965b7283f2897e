"""Requests and answers of ECS as its own client library has them: parsed into its models, and made from its models.

query of a request -> nested maps -> the library's request model     (a name or type that it does not have: refused)
fields of an answer -> the library's response model -> JSON          (a field that it does not have: an assertion)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HTTP_BAD_REQUEST = 400


class Refused(Exception):
    """An error answer: HTTP status, the API's code and its words."""

    def __init__(self, code: str, message: str, status: int = HTTP_BAD_REQUEST) -> None:
        """Keep all three."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def request(action: str, query: Mapping[str, str]) -> Any:
    """Return the request as the library's model.

    Raises:
        Refused: there is no such call, it has no such parameter, or a value is not of its type.
    """
    from alibabacloud_ecs20140526 import models  # noqa: PLC0415 - loading it takes seconds

    kind = getattr(models, f"{action}Request", None)
    if kind is None:
        raise Refused("InvalidAction.NotFound", f"there is no call {action}", 404)
    nested = _nested(query)
    made = kind().from_map(nested)
    lost = _lost(nested, made.to_map())
    if lost:
        raise Refused("UnsupportedParameter", f"{action} has no parameter {', '.join(lost)}")
    _typed(made)
    return made


def answer(action: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an answer, as the library's model writes it."""
    from alibabacloud_ecs20140526 import models  # noqa: PLC0415 - loading it takes seconds

    made = getattr(models, f"{action}ResponseBody")().from_map(dict(fields))
    made.validate()
    body: dict[str, Any] = made.to_map()
    lost = _lost(fields, body)
    assert not lost, f"an answer to {action} has no {lost}"
    return body


def _nested(query: Mapping[str, str]) -> dict[str, Any]:
    """Return `Tag.1.Key=a` as `{"Tag": [{"Key": "a"}]}`."""
    tree: dict[str, Any] = {}
    for name, value in query.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return {name: _listed(value) for name, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if all(name.isdigit() for name in value):
        return [_listed(value[name]) for name in sorted(value, key=int)]
    return {name: _listed(inner) for name, inner in value.items()}


def _lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Return the names in `given` that a model did not keep."""
    if isinstance(given, Mapping):
        if not isinstance(kept, Mapping):
            return [path]
        pairs = ((given[name], kept.get(name), f"{path}.{name}".strip(".")) for name in given)
        return [name for value, other, where in pairs for name in _lost(value, other, where)]
    if isinstance(given, list):
        if not isinstance(kept, list) or len(kept) != len(given):
            return [path]
        pairs = ((one, other, path) for one, other in zip(given, kept, strict=True))
        return [name for value, other, where in pairs for name in _lost(value, other, where)]
    return [path] if given is not None and kept is None else []


def _typed(model: Any) -> None:
    """Give the model's numbers and truth values their types, all of which arrive as text."""
    for name, hint in type(model).__init__.__annotations__.items():
        value = getattr(model, name, None)
        if isinstance(value, list):
            for inner in value:
                if hasattr(inner, "to_map"):
                    _typed(inner)
        elif hasattr(value, "to_map"):
            _typed(value)
        elif isinstance(value, str) and hint in _READERS:
            try:
                setattr(model, name, _READERS[hint](value))
            except (KeyError, ValueError) as error:
                raise Refused("InvalidParameter", f"{name} must be a value of type {hint}, not {value}") from error


_READERS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": {"true": True, "false": False, "True": True, "False": False}.__getitem__,
}
