"""Users' own commands that start Ray, with what rayfleet needs put into their `ray start`. Pure.

All that they wrote is kept as it stands: quotes, other flags, other commands on the same line. What they wrote wins.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from rayfleet.engines.ray.shell_words import ShellWord, simple_commands

_RAY_START: Final = re.compile(r"\bray\s+start\b")
_TOLD_ONLY: Final = {"echo", "printf"}
_NO_VALUE: Final = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a `ray start` should have. `flags`: name -> value ("": none), where the user has not written that flag.

    `labels` are added to the user's own ones; `without`: flags that go.
    """

    flags: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag as written, with the place of all its words. `value` None: none, or not known before the shell runs."""

    name: str
    value: str | None
    start: int
    end: int


def with_wishes(line: str, wishes: Wishes) -> str:
    """Return a command line with every `ray start` in it as wished for."""
    edits: list[tuple[int, int, str]] = []
    for words in simple_commands(line):
        start = _start_of_ray(words)
        if start is not None:
            edits += _edits(line, words[start:], wishes)
        edits += _nested(line, words, wishes)
    for first, end, text in sorted(edits, reverse=True):
        line = line[:first] + text + line[end:]
    return line


def flags_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the flags of all `ray start` in the lines, without dashes; those that the shell expands are out."""
    found: dict[str, str] = {}
    for line in lines:
        for words in simple_commands(line):
            start = _start_of_ray(words)
            if start is not None:
                found |= {f.name: f.value for f in _flags(words[start + 1 :]) if f.value is not None}
    return found


def starts_ray(lines: Iterable[str]) -> bool:
    """Say whether there is a `ray start` that can be read; one in a script of the user's cannot."""
    return any(with_wishes(line, Wishes({"x": "1"})) != line for line in lines)


def flag(name: str, value: str) -> str:
    """Return a flag as it is written in a shell."""
    return f"--{name}={shlex.quote(value)}" if value else f"--{name}"


def _start_of_ray(words: tuple[ShellWord, ...]) -> int | None:
    """Return the number of the word `start` after `ray`, None when this is another command."""
    if words and words[0].value in _TOLD_ONLY:
        return None
    pairs = pairwise(words)
    for number, (program, verb) in enumerate(pairs, 1):
        if program.value.rpartition("/")[2] == "ray" and verb.value == "start":
            return number
    return None


def _flags(words: tuple[ShellWord, ...]) -> list[_Flag]:
    found = []
    for number, word in enumerate(words):
        if not word.value.startswith("--"):
            continue
        name, written, value = word.value[2:].partition("=")
        follower = words[number + 1] if number + 1 < len(words) else None
        if written:
            found.append(_Flag(name, value if word.literal else None, word.start, word.end))
        elif follower is not None and not follower.value.startswith("-"):
            found.append(_Flag(name, follower.value if follower.literal else None, word.start, follower.end))
        else:
            found.append(_Flag(name, _NO_VALUE, word.start, word.end))
    return found


def _edits(line: str, words: tuple[ShellWord, ...], wishes: Wishes) -> list[tuple[int, int, str]]:
    """Return what to replace: (start, end, text). `words` begin with `start`."""
    flags = _flags(words[1:])
    written = {found.name: found for found in flags}
    gone = [found for found in flags if found.name in wishes.without]
    added = [flag(name, value) for name, value in wishes.flags.items() if name not in written]
    labels = _labels(written.get("labels"), wishes.labels)
    if labels is not None:
        gone += [found for found in flags if found.name == "labels"]
        added += [flag("labels", labels)] if labels else []
    put_in = "".join(f" {text}" for text in added)
    return [(words[0].end, words[0].end, put_in), *((_with_blank(line, f.start), f.end, "") for f in gone)]


def _with_blank(line: str, start: int) -> int:
    """Return where a flag begins with the blank before it, if there is one: the end of a continued line stays."""
    return start - 1 if line[start - 1] in " \t" else start


def _labels(written: _Flag | None, ours: Mapping[str, str]) -> str | None:
    """Return all labels as a flag's value; None: leave the user's as they are."""
    if written is None:
        return ",".join(f"{key}={value}" for key, value in sorted(ours.items()))
    if written.value is None:
        return None
    own = dict(pair.partition("=")[::2] for pair in written.value.split(",") if pair)
    return ",".join(f"{key}={value}" for key, value in sorted({**ours, **own}.items()))


def _nested(line: str, words: tuple[ShellWord, ...], wishes: Wishes) -> list[tuple[int, int, str]]:
    """Return the same for what is handed to another shell: `bash -c 'ray start ...'`."""
    found = []
    for before, word in pairwise(words):
        is_script = before.value.startswith("-") and before.value.endswith("c") and _RAY_START.search(word.value)
        if is_script:
            rewritten = _requoted(line[word.start : word.end], word, wishes)
            found += [] if rewritten is None else [(word.start, word.end, rewritten)]
    return found


def _requoted(text: str, word: ShellWord, wishes: Wishes) -> str | None:
    """Return a quoted command line as wished for; None when its quotes are too intricate to be kept."""
    inner = text[1:-1]
    if word.literal:
        return shlex.quote(with_wishes(word.value, wishes))
    if text[0] == text[-1] == '"' and inner == word.value and not re.search(r"[\\`]|\$\(", inner):
        return '"' + with_wishes(inner, wishes).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return None
