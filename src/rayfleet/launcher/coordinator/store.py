"""The coordinator's folder: who has what, in one file that is always whole; and the token.

$XDG_STATE_HOME/rayfleet/coordinator/     (or --state)
    hosts.json    the pool and who has which host
    lock          locked by the coordinator that works with it
    token         what clusters have to show, when one was made here
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rayfleet.launcher.coordinator.book import Book
from rayfleet.launcher.errors import AlreadyControlled, LauncherError
from rayfleet.launcher.home import root
from rayfleet.wire.coordinator.terms import hosts_of

_PRIVATE_DIR = 0o700
_PRIVATE_FILE = 0o600


def default_folder() -> Path:
    """Return where a coordinator of this user has its files."""
    return root().parent / "coordinator"


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of one coordinator."""

    folder: Path

    @property
    def token(self) -> Path:
        """Return the file of the token that was made here."""
        return self.folder / "token"

    @property
    def _book(self) -> Path:
        return self.folder / "hosts.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder; two coordinators with one file would grant a host twice.

        Raises:
            AlreadyControlled: another one has it.
        """
        self.folder.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
        with (self.folder / "lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyControlled(
                    f"a coordinator is at work with {self.folder}",
                    "end that one, or give this one a --state of its own",
                ) from None
            yield

    def load(self) -> Book:
        """Return what was known last; nothing, the first time.

        Raises:
            LauncherError: the file is damaged.
        """
        try:
            kept = json.loads(self._book.read_text(encoding="utf-8"))
            return Book(hosts_of(kept["hosts"]))
        except FileNotFoundError:
            return Book()
        except (ValueError, KeyError, TypeError) as error:
            hint = "put it right or move it away: clusters then tell which hosts they have, by their leases"
            raise LauncherError(f"{self._book} cannot be read: {error}", hint) from error

    def save(self, book: Book) -> None:
        """Write it down in one step, and through to the disk: what is answered afterwards holds after a crash, too."""
        text = json.dumps({"format": 1, "hosts": [host.as_json() for host in book.hosts]}, indent=1)
        self._write(self._book, text)

    def made_token(self) -> str:
        """Return the token of this folder; makes one the first time."""
        try:
            return self.token.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            self._write(self.token, secrets.token_urlsafe(32))
            return self.token.read_text(encoding="utf-8").strip()

    def _write(self, path: Path, text: str) -> None:
        new = path.with_name(f"{path.name}.new")
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        finally:
            os.close(folder)
