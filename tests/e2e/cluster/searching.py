"""Looking for a text in everything that a cluster writes down or shows, by means that are not the product's own."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path


def files_below(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below the folders with its content; one that goes away meanwhile is left out."""
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()


def recorded(history: Path) -> str:
    """Return every report in a history file as the JSON that it was before it was compressed."""
    with closing(sqlite3.connect(history)) as file:
        rows = file.execute("SELECT data FROM ticks UNION ALL SELECT data FROM latest").fetchall()
    return "".join(zlib.decompress(data).decode() for (data,) in rows)


def command_lines() -> list[str]:
    """Return the command line of every process of this machine."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines
