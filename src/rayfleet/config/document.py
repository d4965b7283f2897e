"""Text of a user -> plain values, with the line of every one of them.

JSON is read by the standard library; anything else is YAML, of which only data is taken:
no tag is ever executed. Positions are looked up in the YAML tree when a problem needs one.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rayfleet.config.problems import ConfigInvalid, Path, Problem, dotted

YAML_BYTES_MAX = 4 * 2**20
VALUES_MAX = 500_000
"""Values that one YAML document may hold once its aliases are written out."""
DIGITS_MAX = 300

_TAG = "tag:yaml.org,2002:"
_OLD_BOOLEANS = {"yes": True, "on": True, "no": False, "off": False}
"""Booleans of YAML 1.1, which Ray's own loader reads; they count in cluster files only."""


@dataclass
class Document:
    """A file's plain `value` (dict, list, str, int, float, bool, None) and the places of its parts."""

    value: Any
    text: str = field(repr=False)
    file: str = ""

    @cached_property
    def _root(self) -> Node | None:
        try:
            # Only JSON comes here unread, and tabs are fine between its values but not in YAML.
            return _compose(self.text.replace("\t", " "))
        except (YAMLError, RecursionError):
            return None

    def place(self, path: Path, *, of_key: bool = False) -> tuple[int, int]:
        """Return line and column (from 1) of the value at `path`, or of its nearest known parent; (0, 0): unknown.

        A value that starts on a later line than its key is shown at its key.
        """
        node = self._root
        line, column = (node.start_mark.line, node.start_mark.column) if node else (-1, -1)
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            key, node = found
            mark = node.start_mark
            if key is not None and (of_key or key.start_mark.line != mark.line):
                mark = key.start_mark
            line, column = mark.line, mark.column
        return line + 1, column + 1

    def problem(self, path: Path, message: str, hint: str = "", *, of_key: bool = False) -> Problem:
        """Return a problem at `path`."""
        line, column = self.place(path, of_key=of_key)
        return Problem(message, dotted(path), self.file, line, column, hint)


BRACKETS_MAX: Final = 200
"""More open brackets at once than anybody writes."""
_QUOTED_OR_BRACKET: Final = re.compile(r"""\"[^\"\n]*\"|'[^'\n]*'|[\[\]{}]""")


def _depth(text: str) -> int:
    """Return how deep brackets are nested at most, those in quotes left out."""
    deepest = depth = 0
    for found in _QUOTED_OR_BRACKET.finditer(text):
        mark = found[0]
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def read(text: str, file: str, *, old_booleans: bool = False) -> Document:
    """Read JSON or YAML. `old_booleans`: unquoted yes, no, on and off are booleans, as for Ray.

    Raises:
        ConfigInvalid: not YAML, more than one document, duplicate keys, tags, or too large.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return Document(json.loads(text, object_pairs_hook=_unique), text, file)
        except (ValueError, RecursionError):
            pass  # YAML reads it too, or says where it is wrong
    (document,) = _documents(text, file, old_booleans=old_booleans, several=False)
    return document


def read_all(text: str, file: str, *, old_booleans: bool = False) -> tuple[Document, ...]:
    """Read a stream of documents, as `kubectl` takes them; empty ones are left out. Lines count from the file's first.

    Raises:
        ConfigInvalid: as `read`, but for the number of documents.
    """
    if text.lstrip()[:1] == "{":
        return (read(text, file, old_booleans=old_booleans),)
    return tuple(each for each in _documents(text, file, old_booleans=old_booleans, several=True) if each.value)


def _documents(text: str, file: str, *, old_booleans: bool, several: bool) -> list[Document]:
    if len(text) > YAML_BYTES_MAX:
        raise ConfigInvalid([Problem("is too large for YAML", file=file, hint="write it as JSON")])
    if _depth(text) > BRACKETS_MAX:  # the parser would find out as well, after a quarter of a minute
        raise ConfigInvalid([Problem("is nested too deeply", file=file)])
    reader = _Reader(file, old_booleans=old_booleans)
    found = []
    try:
        for root in _compose_all(text) if several else [_compose(text)]:
            document = Document(reader.value(root, ()) if root is not None else None, text, file)
            document.__dict__["_root"] = root
            found.append(document)
    except YAMLError as error:
        raise ConfigInvalid([_syntax(error, file)]) from None
    except RecursionError:
        raise ConfigInvalid([Problem("is nested too deeply", file=file)]) from None
    if reader.problems:
        raise ConfigInvalid(reader.problems)
    return found


def _compose_all(text: str) -> Iterator[Node | None]:
    roots: Iterator[Node | None] = YAML(typ="rt", pure=True).compose_all(io.StringIO(text))
    return roots


def _compose(text: str) -> Node | None:
    root: Node | None = YAML(typ="rt", pure=True).compose(io.StringIO(text))
    return root


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _syntax(error: YAMLError, file: str) -> Problem:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    what = (error.problem if isinstance(error, MarkedYAMLError) else None) or str(error).splitlines()[0]
    hint = "indent with spaces" if "\\t" in what else ""
    return Problem(
        f"is not valid YAML: {what}",
        file=file,
        line=mark.line + 1 if mark else 0,
        column=mark.column + 1 if mark else 0,
        hint=hint,
    )


class _Reader:
    """Turns YAML nodes into values and collects what may not be there."""

    def __init__(self, file: str, *, old_booleans: bool) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._old_booleans = old_booleans
        self._values = 0

    def value(self, node: Node, path: Path) -> Any:
        """Return the plain value of a node."""
        self._values += 1
        if self._values > VALUES_MAX:
            raise ConfigInvalid([Problem("has too many values", file=self._file, hint="do aliases multiply them?")])
        if isinstance(node, MappingNode):
            self._expect(node, path, {_TAG + "map"})
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            self._expect(node, path, {_TAG + "seq"})
            return [self.value(item, (*path, n)) for n, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, ScalarNode):
                self._say(key, path, "a key must be a plain word")
            elif _is_merge(key):
                for source in _merge_sources(child):
                    merged = {**self.value(source, path), **merged}
            elif key.value in own:
                self._say(key, (*path, key.value), "is given twice", "remove one of the two")
            else:
                own[key.value] = self.value(child, (*path, key.value))
        return {**merged, **own}

    def _scalar(self, node: Node, path: Path) -> Any:
        text, tag = str(node.value), str(node.tag).removeprefix(_TAG)
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        if tag in ("int", "float"):
            return _number(text, tag)
        self._expect(node, path, {_TAG + "str", _TAG + "timestamp"})
        plain = isinstance(node, ScalarNode) and not node.style
        if plain and self._old_booleans and text.lower() in _OLD_BOOLEANS:
            return _OLD_BOOLEANS[text.lower()]
        return text

    def _expect(self, node: Node, path: Path, tags: set[str]) -> None:
        tag = str(node.tag)
        if tag in tags:
            return
        name = tag.replace(_TAG, "!!")
        may_be_text = isinstance(node, ScalarNode) and not name.startswith("!!")
        hint = f'quote it: "{name}{node.value}"' if may_be_text else "remove the tag"
        self._say(node, path, f"the tag {name} is not read", hint)

    def _say(self, node: Node, path: Path, message: str, hint: str = "") -> None:
        mark = node.start_mark
        self.problems.append(Problem(message, dotted(path), self._file, mark.line + 1, mark.column + 1, hint))


def _number(text: str, tag: str) -> int | float:
    plain = text.replace("_", "").lower()
    if tag == "int" and len(plain) > DIGITS_MAX:
        return math.inf
    if tag == "int":
        return int(plain, 0 if plain.lstrip("+-").startswith(("0x", "0o")) else 10)
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


def _is_merge(key: Node) -> bool:
    return bool(key.tag == _TAG + "merge")


def _merge_sources(node: Node) -> Iterator[Node]:
    for source in node.value if isinstance(node, SequenceNode) else [node]:
        if not isinstance(source, MappingNode):
            raise MarkedYAMLError(problem="<< takes mappings", problem_mark=source.start_mark)
        yield source


def _child(node: Node | None, part: str | int) -> tuple[Node | None, Node] | None:
    """Return key (None in a list) and value of one step down."""
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    if not isinstance(node, MappingNode):
        return None
    inherited = None
    for key, value in node.value:
        if isinstance(key, ScalarNode) and key.value == str(part):
            return key, value
        if _is_merge(key):
            inherited = inherited or next(filter(None, (_child(s, part) for s in _merge_sources(value))), None)
    return inherited
