"""What must outlive the controller, in the cluster's folder: what was set up, and where a batch was tried last.

One small JSON file, written whole and put in place at once. Two controllers of one cluster do not run at the same time;
two clusters have a folder each.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, Final

FILE: Final = "aws.json"
_BATCHES_MAX: Final = 1000


class Memory:
    """The file, read when it is first needed."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing is read yet."""
        self._path = folder / FILE
        self._content: dict[str, Any] | None = None

    @property
    def salt(self) -> str:
        """Return this cluster's own part of all client tokens.

        EC2 remembers tokens for a day: without it, a cluster that was ended and comes up again under its old name would
        be given the instances of its earlier life, which are gone.
        """
        content = self._read()
        if "salt" not in content:
            content["salt"] = secrets.token_hex(8)
            self._write()
        return str(content["salt"])

    def known(self, *key: object) -> Any:
        """Return what was set up under a key; None: nothing yet."""
        return self._read().setdefault("known", {}).get(_name(key))

    def keep(self, value: object, *key: object) -> None:
        """Keep what was set up."""
        self._read().setdefault("known", {})[_name(key)] = value
        self._write()

    def forget_ground(self) -> None:
        """Forget what was set up, as something of it does not exist any more."""
        self._read()["known"] = {}
        self._write()

    def tried(self, batch: str, part: int | str) -> str | None:
        """Return the subnet that a part of a batch was asked for last, when it was not the first one.

        Of a batch that is asked of a fleet, how often a part of it came to nothing; and under `route` the way it goes.
        """
        found: str | None = self._read().setdefault("tried", {}).get(f"{batch}/{part}")
        return found

    def try_next(self, batch: str, part: int | str, subnet: str | None) -> None:
        """Keep the subnet that is about to be asked; None: all over again."""
        tried: dict[str, str] = self._read().setdefault("tried", {})
        changed = tried.pop(f"{batch}/{part}", None) is not None
        if subnet is not None:
            tried[f"{batch}/{part}"] = subnet
            while len(tried) > _BATCHES_MAX:
                del tried[next(iter(tried))]
        if changed or subnet is not None:
            self._write()

    def _read(self) -> dict[str, Any]:
        if self._content is None:
            self._content = _content(self._path)
        return self._content

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._content), encoding="utf-8")
        fresh.replace(self._path)


def _content(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # new, or cut off by a full disk: everything in it can be found out again
    return found


def _name(key: tuple[object, ...]) -> str:
    return json.dumps(key, default=str)
