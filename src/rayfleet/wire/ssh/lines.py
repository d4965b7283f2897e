"""Output of a command as it arrives in pieces -> its lines, the last of which are kept. Pure."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Final

LINES_KEPT: Final = 200
CHARACTERS_MAX: Final = 4000
"""Of one line, from its end: a program that never ends its line must not fill the memory."""


class LastLines:
    """The last lines of a text that comes in pieces of any size, as bytes of UTF-8 or anything else."""

    def __init__(self, on_line: Callable[[str], None] | None = None, kept: int = LINES_KEPT) -> None:
        """Tell `on_line` every line as soon as it is complete."""
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lines: deque[str] = deque(maxlen=kept)
        self._open = ""
        self._on_line = on_line

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *whole, self._open = (self._open + self._decode.decode(data)).split("\n")
        self._open = self._open[-CHARACTERS_MAX:]
        for line in whole:
            self._add(line)

    def close(self) -> tuple[str, ...]:
        """Return the last lines; what has no end of line is one, too."""
        rest = self._open + self._decode.decode(b"", final=True)
        self._open = ""
        if rest:
            self._add(rest)
        return tuple(self._lines)

    def _add(self, line: str) -> None:
        # A bar that shows progress writes over itself: what one would see at last is the line.
        shown = line.rstrip("\r").rpartition("\r")[2][-CHARACTERS_MAX:]
        self._lines.append(shown)
        if self._on_line is not None:
            self._on_line(shown)
