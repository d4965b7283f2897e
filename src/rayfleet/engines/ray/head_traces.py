"""What a start of a head leaves in Ray's temporary directory, and taking it back when the start fails.

`/tmp/ray` is shared with Ray of one's own and with other people's. So only that goes which was not there before this
start *and* carries its name: Ray calls a session after the process that starts it, or as the one whose tables it takes
up.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LATEST: Final = "session_latest"
_NAME_FILE: Final = "session_name"  # Ray's note of the session beside the tables that a GCS keeps
_LOGS: Final = ("gcs_server.*", "raylet.*", "dashboard.log")
_LINES: Final = 10


@dataclass(frozen=True, slots=True)
class Traces:
    """What there was in `temp_dir` before a start: names of sessions, and where `session_latest` led (None: nowhere).

    `tables`: folder of the GCS's tables; `pid`: the process that starts.
    """

    temp_dir: Path
    tables: Path
    pid: int
    sessions: frozenset[str]
    latest: Path | None

    @classmethod
    def before(cls, temp_dir: Path, tables: Path) -> Traces:
        """Look before this process starts a head."""
        link = temp_dir / LATEST
        latest = link.readlink() if link.is_symlink() else None
        return cls(temp_dir, tables, os.getpid(), frozenset(_sessions(temp_dir)), latest)

    def own(self) -> list[Path]:
        """Return the session folders that this start has made."""
        found = (self.temp_dir / name for name in _sessions(self.temp_dir) if self._is_ours(name))
        return [path for path in found if not path.is_symlink() and path.stat().st_uid == os.geteuid()]

    def last_words(self) -> list[str]:
        """Return the last lines of the logs of what was started: they go with their folder."""
        logs = [log for session in self.own() for pattern in _LOGS for log in sorted((session / "logs").glob(pattern))]
        told = {log.name: log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:] for log in logs}
        return [f"{name}: {line}" for name, lines in told.items() for line in lines if line.strip()]

    def take_back(self) -> None:
        """Remove what this start has made. What cannot be removed stays: the start has failed for another reason."""
        own = self.own()
        for session in own:
            shutil.rmtree(session, ignore_errors=True)
        link = self.temp_dir / LATEST
        with suppress(OSError):
            if link.is_symlink() and link.readlink() in own:
                link.unlink()
                if self.latest and (self.temp_dir / self.latest).is_dir():
                    link.symlink_to(self.latest)

    def _is_ours(self, name: str) -> bool:
        return name not in self.sessions and (name.endswith(f"_{self.pid}") or name == self._taken_up())

    def _taken_up(self) -> str:
        try:
            return (self.tables / _NAME_FILE).read_text(encoding="utf-8").strip()
        except OSError:
            return ""


def _sessions(temp_dir: Path) -> list[str]:
    return sorted(path.name for path in temp_dir.glob("session_*") if path.name != LATEST)
