"""Which files are copied: the patterns of rsync, for where rsync is not. Pure.

A pattern without a slash holds for the last part of a path; one that begins with a slash from the top of what is
copied (or from the folder whose filter file has it); another with a slash for the end of a path; one that ends with a
slash for folders only. `*` and `?` stop at a slash, `**` does not. What is inside of a folder that is left out is left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], bool]:
    """Return what matches a path with its leading slash, and whether only folders count."""
    folders_only = pattern.endswith("/")
    body = pattern.rstrip("/") if folders_only else pattern
    anchored = body.startswith("/")
    start = "" if anchored else "(?:.*/)?" if body.startswith("**") else ".*/"
    return re.compile(f"{start}{_expression(body)}", re.DOTALL), folders_only


def _expression(body: str) -> str:
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", body)
    return "".join(
        words.get(part) or (_set(part) if part.startswith("[") and part != "[" else re.escape(part)) for part in parts
    )


def _set(part: str) -> str:
    inner = part[1:-1].replace("\\", "\\\\")
    return f"[^{inner[1:]}]" if inner[:1] in "!^" else f"[{inner}]"


def matches(pattern: str, path: str, *, folder: bool) -> bool:
    """Say whether a pattern holds for a path, which is relative to where the pattern stands."""
    expression, folders_only = _compiled(pattern)
    return (folder or not folders_only) and expression.fullmatch(f"/{path}") is not None


def patterns_of(text: str) -> tuple[str, ...]:
    """Return the patterns of a filter file: one a line, comments and blank lines aside, `!` forgets those before."""
    found: list[str] = []
    for line in text.splitlines():
        if line == "!":
            found.clear()
        elif line.strip() and not line.startswith(("#", ";")):
            found.append(line)
    return tuple(found)


class Selection:
    """What is left out of one folder, with the patterns that its filter files add on the way down."""

    def __init__(self, exclude: Iterable[str] = ()) -> None:
        """Begin with patterns that hold from the top."""
        self._rules: list[tuple[str, str]] = [("", pattern) for pattern in exclude]

    def add(self, folder: str, text: str) -> None:
        """Add a filter file that was found in `folder` ("" is the top): it holds there and below."""
        self._rules += [(folder, pattern) for pattern in patterns_of(text)]

    def leaves_out(self, path: str, *, folder: bool) -> bool:
        """Say whether a path, relative to the top, is left out by a pattern of its own."""
        return any(
            matches(pattern, path[len(base) + 1 :] if base else path, folder=folder)
            for base, pattern in self._rules
            if not base or path.startswith(f"{base}/")
        )
