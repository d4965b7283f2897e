"""The names of machines that were made, durable: what has been deleted since is not made again by a late repetition.

Azure has no client tokens: a PUT under a name that is free again makes a new machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = "azure-machines"
_KEPT: Final = 50_000


class Made:
    """A file of names, one a line, that only grows until it is opened again."""

    def __init__(self, state_dir: Path) -> None:
        """Read nothing yet."""
        self._file = state_dir / FILE
        self._lock = threading.Lock()
        self._names: dict[str, None] | None = None

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those that were never made."""
        with self._lock:
            known = self._read()
            return tuple(name for name in names if name not in known)

    def add(self, names: Iterable[str]) -> None:
        """Remember names; they are on disk when this returns, if there is room.

        A full disk must not keep machines from being given back, and this process knows the names all the same.
        """
        with self._lock:
            known = self._read()
            new = [name for name in names if name not in known]
            if not new:
                return
            known.update(dict.fromkeys(new))
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write("".join(f"{name}\n" for name in new))
                    file.flush()
                    os.fsync(file.fileno())

    def _read(self) -> dict[str, None]:
        if self._names is None:
            lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
            self._names = dict.fromkeys(lines[-_KEPT:])
            if len(lines) > 2 * _KEPT:
                part = self._file.with_suffix(".part")
                part.write_text("".join(f"{name}\n" for name in self._names), encoding="utf-8")
                part.replace(self._file)
        return self._names
