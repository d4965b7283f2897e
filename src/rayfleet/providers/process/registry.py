"""The durable list of machines: one small file each, whole or not there at all.

A file is written before its process is started. That the controller is killed loses nothing then, and no file needs to
survive a power failure, for no process does: so nothing waits for the disk.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayfleet.providers.process.identity import LOGS_FOLDER, MACHINES_FOLDER, file_name
from rayfleet.providers.process.record import Record, Slot

ENDED_FOLDER: Final = "ended"
ENDED_KEPT: Final = 1000
"""So many machines that are gone are remembered, with their logs: their slots are not filled again."""

_NEW_FILE: Final = ".new"
"""There is one writer, and a file left half-written by a crash is overwritten by the next."""


@dataclass(frozen=True, slots=True)
class Holding:
    """All that a registry held when it was opened. `unreadable`: file names (machine ids) whose content is lost."""

    machines: tuple[Record, ...]
    ended: frozenset[Slot]
    unreadable: tuple[str, ...]


class Registry:
    """The files of one cluster. One writer; every method raises OSError when the disk says no."""

    def __init__(self, state_dir: Path, ended_kept: int = ENDED_KEPT) -> None:
        """Name the folders; nothing is touched before `load`."""
        self._ended_kept = ended_kept
        self._machines = state_dir / MACHINES_FOLDER
        self._ended = state_dir / MACHINES_FOLDER / ENDED_FOLDER
        self.logs = state_dir / LOGS_FOLDER

    def load(self) -> Holding:
        """Make the folders where needed and read everything."""
        for folder in (self._machines, self._ended, self.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ended = self.ended()
        machines: list[Record] = []
        unreadable: list[str] = []
        for path in sorted(self._machines.glob("*.json")):
            try:
                record = Record.from_json(path.read_text(encoding="utf-8"))
            except (ValueError, KeyError, TypeError, AttributeError):
                unreadable.append(path.name.removesuffix(".json"))
                continue
            if record.slot in ended:  # the controller died between the two halves of `end`
                path.unlink()
            else:
                machines.append(record)
        return Holding(tuple(machines), ended, tuple(unreadable))

    def save(self, record: Record) -> None:
        """Write the record, whole."""
        self._write(self._machines / f"{file_name(record.id)}.json", record.to_json())

    def forget(self, machine_id: str) -> None:
        """Drop a record as if it had never been."""
        (self._machines / f"{file_name(machine_id)}.json").unlink(missing_ok=True)

    def end(self, record: Record) -> None:
        """Move a machine that is gone to the remembered ones; its script (which holds a secret) goes."""
        batch, claim, host = record.slot
        self._write(self._ended / file_name(record.id), f"{host}\n{batch}\n{claim}")
        self.forget(record.id)

    def ended(self) -> frozenset[Slot]:
        """Return the slots of the remembered ones, and let go of the oldest beyond the number that is kept."""
        newest_first = sorted(self._ended.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest_first[self._ended_kept :]:
            path.unlink()
            (self.logs / f"{path.name}.log").unlink(missing_ok=True)
        return frozenset(_slots(newest_first[: self._ended_kept]))

    def log(self, machine_id: str) -> Path:
        """Return where the machine's output goes."""
        return self.logs / f"{file_name(machine_id)}.log"

    def _write(self, path: Path, text: str) -> None:
        new = self._machines / _NEW_FILE
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)


def _slots(paths: list[Path]) -> Iterator[Slot]:
    for path in paths:
        host, _, rest = path.read_text(encoding="utf-8").partition("\n")
        batch, _, claim = rest.partition("\n")
        if host.isdigit():
            yield batch, claim, int(host)
