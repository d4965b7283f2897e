"""Finds the words of a shell command line and where they stand, so that one can be changed and the rest kept. Pure.

It knows quotes, escapes, expansions, comments and the operators that separate commands. It expands nothing, and of
here-documents it knows nothing: their lines are read as commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BLANK: Final = " \t"
_SEPARATORS: Final = ";&|()\n"
_REDIRECTIONS: Final = "<>"
_REDIRECTION: Final = re.compile(r"\d*[<>][<>&|]*|&>>?")
_NO_TARGET: Final = ("", *_SEPARATORS, *_REDIRECTIONS)
_NESTS: Final = {"(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One word: `text[start:end]` of its line. `value`: without quotes; `literal`: nothing in it is to be expanded."""

    start: int
    end: int
    value: str
    literal: bool = True


def simple_commands(line: str) -> Iterator[tuple[ShellWord, ...]]:
    """Yield the words of each command of a line, in order."""
    found: list[ShellWord] = []
    at = 0
    while at < len(line):
        char = line[at]
        if line.startswith("\\\n", at):
            at += 2
        elif char in _BLANK:
            at += 1
        elif char == "#":
            at = _end_of_line(line, at)
        elif (redirection := _REDIRECTION.match(line, at)) is not None:
            at = _after_redirection(line, redirection.end())
        elif char in _SEPARATORS:
            yield tuple(found)
            found = []
            at += 1
        else:
            found.append(_word(line, at))
            at = found[-1].end
    yield tuple(found)


def _end_of_line(line: str, at: int) -> int:
    end = line.find("\n", at)
    return len(line) if end < 0 else end


def _after_redirection(line: str, at: int) -> int:
    """Return where a redirection ends, its target included: neither that nor its number is a word of the command."""
    while at < len(line) and line[at] in _BLANK:
        at += 1
    return at if line[at : at + 1] in _NO_TARGET else _word(line, at).end


def _word(line: str, start: int) -> ShellWord:
    value, literal, at = "", True, start
    while at < len(line) and line[at] not in _BLANK + _SEPARATORS + _REDIRECTIONS and not line.startswith("\\\n", at):
        part, plain, at = _part(line, at)
        value += part
        literal = literal and plain
    return ShellWord(start, at, value, literal)


def _part(line: str, at: int) -> tuple[str, bool, int]:
    """Return a piece of a word: what it means, whether as it stands, and where it ends."""
    char = line[at]
    if char == "'":
        end = _find(line, "'", at + 1)
        return line[at + 1 : end], True, end + 1
    if char == '"':
        return _double_quoted(line, at + 1)
    if char == "\\":
        return line[at + 1 : at + 2], True, at + 2
    if char in "$`":
        end = _expansion(line, at)
        return line[at:end], False, end
    return char, char not in "*?[~", at + 1


def _double_quoted(line: str, at: int) -> tuple[str, bool, int]:
    value, literal = "", True
    while at < len(line) and line[at] != '"':
        if line[at] == "\\" and line[at + 1 : at + 2] in ("$", "`", '"', "\\"):
            value, at = value + line[at + 1], at + 2
        elif line[at] in "$`":
            end = _expansion(line, at)
            value, literal, at = value + line[at:end], False, end
        else:
            value, at = value + line[at], at + 1
    return value, literal, at + 1


def _expansion(line: str, at: int) -> int:
    """Return where an expansion ends that begins at `at`: `$NAME`, `${...}`, `$(...)` or one in backticks."""
    if line[at] == "`":
        return _find(line, "`", at + 1) + 1
    closing = _NESTS.get(line[at + 1 : at + 2])
    if closing is None:
        return at + 1
    opening, depth, at = line[at + 1], 1, at + 2
    while at < len(line) and depth:
        if line[at] in "'\"\\`$" and line[at] != opening:
            _, _, at = _part(line, at)
            continue
        depth += (line[at] == opening) - (line[at] == closing)
        at += 1
    return at


def _find(line: str, char: str, at: int) -> int:
    end = line.find(char, at)
    return len(line) if end < 0 else end
