"""Google's own description of an API, as google-api-python-client ships it: its calls, and what fits them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class Method:
    """One call of the API. `request`, `response`: names of schemas, "" for none."""

    id: str
    verb: str
    pattern: re.Pattern[str]
    parameters: Mapping[str, Json]
    request: str
    response: str


class Api:
    """One API with its calls and schemas."""

    def __init__(self, document: Json) -> None:
        """Take the parsed document."""
        self.schemas: Mapping[str, Json] = document["schemas"]
        self._everywhere = {*document["parameters"], "$alt"}
        self._methods = tuple(_methods(document, f"/{document['servicePath']}"))

    def find(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """Return the call that a request means, with the parameters in its path."""
        for method in self._methods:
            if method.verb == verb and (found := method.pattern.fullmatch(path)):
                return method, found.groupdict()
        return None

    def wrong_query(self, method: Method, query: Mapping[str, str]) -> Iterator[str]:
        """Say what is wrong about the parameters in a query."""
        for name, value in query.items():
            if name in self._everywhere:
                continue
            about = method.parameters.get(name)
            if about is None or about["location"] != "query":
                yield f"unknown query parameter {name} of {method.id}"
            elif about["type"] == "integer" and not value.isdigit():
                yield f"{name} must be a number, not {value!r}"

    def wrong(self, schema: str, value: Json) -> Iterator[str]:
        """Say what in a value does not fit a schema."""
        yield from self._wrong({"$ref": schema}, value, schema)

    def _wrong(self, schema: Json, value: Json, where: str) -> Iterator[str]:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema.get("type", "any")
        if kind == "object" or "properties" in schema:
            yield from self._wrong_object(schema, value, where)
        elif kind == "array":
            # As the service does: one value is taken for a list of one nowhere, a list for one value neither.
            if not isinstance(value, list):
                yield f"{where} must be a list"
                return
            for index, item in enumerate(value):
                yield from self._wrong(schema["items"], item, f"{where}[{index}]")
        else:
            yield from _wrong_scalar(schema, kind, value, where)

    def _wrong_object(self, schema: Json, value: Json, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} must be an object"
            return
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            inner = known.get(name, other)
            if inner is None:
                yield f"unknown field {name} in {where}"
            else:
                yield from self._wrong(inner, item, f"{where}.{name}")


@cache
def api(name: str) -> Api:
    """Return an API by the name of its document, such as `compute.v1`.

    Raises:
        RuntimeError: Google's description is not installed.
    """
    try:
        folder = files("googleapiclient") / "discovery_cache" / "documents"
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "the emulator answers by Google's description: pip install google-api-python-client"
        ) from error
    return Api(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


def _methods(part: Json, base: str) -> Iterator[Method]:
    for method in part.get("methods", {}).values():
        path = method.get("flatPath", method["path"])
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(base + path))
        request, response = (method.get(side, {}).get("$ref", "") for side in ("request", "response"))
        yield Method(
            method["id"], method["httpMethod"], re.compile(pattern), method.get("parameters", {}), request, response
        )
    for inner in part.get("resources", {}).values():
        yield from _methods(inner, base)


def _wrong_scalar(schema: Json, kind: str, value: Json, where: str) -> Iterator[str]:
    if kind == "boolean" and not isinstance(value, bool):
        yield f"{where} must be true or false"
    elif kind == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        yield f"{where} must be a whole number"
    elif kind == "string" and schema.get("format") in {"int64", "uint64"}:
        if not re.fullmatch(r"-?\d+", str(value)):
            yield f"{where} must be a number"
    elif kind == "string":
        yield from _wrong_text(schema, value, where)


def _wrong_text(schema: Json, value: Json, where: str) -> Iterator[str]:
    if "enum" in schema and type(value) is int:
        return  # clients may ask for enums as numbers, and send them so
    if not isinstance(value, str):
        yield f"{where} must be text"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where} must be one of {', '.join(schema['enum'])}, not {value}"
    elif "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        yield f"{where} must match {schema['pattern']}, and {value!r} does not"
