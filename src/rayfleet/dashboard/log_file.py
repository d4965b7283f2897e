"""A log that is a file of this machine: its end, and what comes, across rotations."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from rayfleet.dashboard.clusters import NoWayIn

POLL_S: Final = 0.5
_MOST_BYTES: Final = 2**20
"""So much is read at once of what has come."""


def names_in(folder: Path) -> list[str]:
    """Return the files of a folder of logs; one that is not there has none."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


async def lines_of(path: Path, many: int, *, follows: bool) -> AsyncIterator[str]:
    """Yield the last lines of a file, `many` at most; with `follows` also what comes, for ever.

    Raises:
        NoWayIn: it cannot be read.
    """
    try:
        last, position = await asyncio.to_thread(_end, path, many)
        for line in last:
            yield line
        while follows:
            fresh, position = await asyncio.to_thread(_since, path, position)
            for line in fresh:
                yield line
            if not fresh:
                await asyncio.sleep(POLL_S)
    except OSError as error:
        raise NoWayIn(f"{path.name} cannot be read: {error.strerror or error}", "rayfleet logs shows others") from error


def _end(path: Path, many: int) -> tuple[list[str], int]:
    with path.open("rb") as file:
        last = deque(file, maxlen=many)
        position = file.tell()
    if last and not last[-1].endswith(b"\n"):  # it is just being written
        position -= len(last.pop())
    return [_text(line) for line in last], position


def _since(path: Path, position: int) -> tuple[list[str], int]:
    """Return whole lines from `position` on, and where they end."""
    size = path.stat().st_size
    if size < position:  # rotated: the new file is read from its start
        position = 0
    with path.open("rb") as file:
        file.seek(position)
        found = file.read(_MOST_BYTES)
    whole = found if len(found) == _MOST_BYTES and b"\n" not in found else found[: found.rfind(b"\n") + 1]
    return [_text(line) for line in whole.splitlines()], position + len(whole)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")
