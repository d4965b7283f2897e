"""Where secrets are read, and how they are kept out of what is told.

env:NAME     a variable of the process that sends        file:PATH    the first line of a file on its machine
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_SECRET_LENGTH: Final = 4
_SPLIT: Final = re.compile(r"[/?&=:@#,;]+")
HIDDEN: Final = "..."


class NotThere(Exception):
    """A variable is not set, or a file cannot be read. The message names it and shows nothing of what it holds."""


def read(value: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what a value of the file means.

    Raises:
        NotThere: the variable or file that it names is not there, or is empty.
    """
    kind, _, name = value.partition(":")
    if kind == "env":
        found = (os.environ if environment is None else environment).get(name, "").strip()
        if not found:
            raise NotThere(f"the variable {name} is not set where alerts are sent from")
        return found
    if kind == "file":
        return _first_line(Path(name).expanduser())
    return value


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise NotThere(f"the file {path} cannot be read: {why}") from None
    if not lines or not lines[0].strip():
        raise NotThere(f"the file {path} is empty")
    return lines[0].strip()


def scrubbed(text: str, *secrets: str) -> str:
    """Return a text in which no secret, and no part of one that could be told from others, can be read."""
    for part in sorted({part for secret in secrets for part in _parts(secret)}, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return " ".join(text.split())


def _parts(secret: str) -> set[str]:
    """Return a secret, and what is in an address beside the name of its host."""
    if not secret:
        return set()
    parts = urlsplit(secret) if "://" in secret else None
    public = {parts.scheme, (parts.hostname or "") if parts.scheme in {"http", "https"} else ""} if parts else set()
    rest = secret.split("://", 1)[-1]
    pieces = {piece for form in (rest, unquote(rest)) for piece in _SPLIT.split(form)}
    return {secret, rest} | {p for p in pieces if len(p) >= _SECRET_LENGTH and p not in public and p not in _WORDS}


_WORDS: Final = frozenset({"services", "robot", "send", "access_token", "open-apis", "hook", "localhost"})
