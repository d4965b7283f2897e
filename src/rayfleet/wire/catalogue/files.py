"""The files that the tables are: those that come with rayfleet, and what was refreshed, in the user's cache folder."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

CLOUDS = ("aws", "azure", "gcp")
"""Those with a table of their own; others know sizes by their names, and no price."""


@cache
def table(cloud: str) -> dict[str, Any]:
    """Return the table that comes with rayfleet; an empty one for a cloud without."""
    if cloud not in CLOUDS:
        return {"prices": []}
    read: dict[str, Any] = json.loads((files(__package__) / "data" / f"{cloud}.json").read_text(encoding="utf-8"))
    return read


def refreshed(cloud: str) -> dict[str, Any] | None:
    """Return what was ever asked of a cloud; None when there is nothing, or nobody can read it."""
    changed = changed_ns(cloud)
    return _read(_file(cloud), changed) if changed else None


def changed_ns(cloud: str) -> int:
    """Return when the refreshed table was written last, in ns since the epoch; 0: there is none."""
    try:
        return _file(cloud).stat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def changing(cloud: str) -> Iterator[None]:
    """Keep other processes of this user from changing the refreshed table meanwhile.

    Raises:
        OSError: the cache folder cannot be written.
    """
    file = _file(cloud)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write(cloud: str, value: dict[str, Any]) -> Path:
    """Write a refreshed table whole or not at all; return where it is.

    Raises:
        OSError: the cache folder cannot be written.
    """
    file = _file(cloud)
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f".{cloud}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(value, out)
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return file


def _file(cloud: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "rayfleet" / "prices" / f"{cloud}.json"


@lru_cache(maxsize=8)  # the newest of each cloud; controllers run for months
def _read(file: Path, changed: int) -> dict[str, Any] | None:
    """Read a file; `changed` makes it read anew after a refresh."""
    del changed
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("rows"), dict) else None
