"""Which launches were asked for, on disk: what has been given back since must not be made again.

Google would make a second machine of a name that is free, and it forgets request ids after an hour.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

KEPT: Final = 5_000
"""Launches that are remembered; a call is repeated within minutes, not after so many others."""
BEGUN: Final = "begun"
DONE: Final = "done"


class Launches:
    """A file of lines [token, attempt, state]; the last line of a token counts."""

    def __init__(self, path: Path) -> None:
        """Take where it is. Nothing is read yet."""
        self._path = path
        self._known: dict[str, tuple[int, str]] | None = None

    def state(self, token: str) -> tuple[int, str]:
        """Return the number of the attempt, and how far it is: "", `begun` or `done`."""
        return self._all().get(token, (0, ""))

    def note(self, token: str, attempt: int, state: str) -> None:
        """Write down how far a launch is, so that it survives us."""
        known = self._all()
        if known.get(token) == (attempt, state):
            return
        known.pop(token, None)
        known[token] = (attempt, state)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([token, attempt, state]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _all(self) -> dict[str, tuple[int, str]]:
        if self._known is None:
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            self._known = dict(list(_parsed(text).items())[-KEPT:])
            # A line without an end was cut off by a power cut: the next one must not be written into it.
            if len(text.splitlines()) > 2 * KEPT or (text and not text.endswith("\n")):
                self._rewrite(self._known)
        return self._known

    def _rewrite(self, known: dict[str, tuple[int, str]]) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text("".join(json.dumps([key, *value]) + "\n" for key, value in known.items()), encoding="utf-8")
        beside.replace(self._path)


def _parsed(text: str) -> dict[str, tuple[int, str]]:
    known: dict[str, tuple[int, str]] = {}
    for line in text.splitlines():
        try:
            token, attempt, state = json.loads(line)
        except ValueError:  # a line that was being written when the machine lost its power
            continue
        known.pop(token, None)
        known[token] = (attempt, state)
    return known
