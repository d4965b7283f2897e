"""Who may look: one token per user of this machine, sessions that are signed with it, and a limit on wrong tries.

The token itself is never in an address, a log or a cookie: a cookie holds when it ends and a signature of that.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SESSION_S: Final = 7 * 86400
WRONG_TRIES: Final = 5
"""So many from one address within `WINDOW_S`."""
WRONG_TRIES_OF_ALL: Final = 100
WINDOW_S: Final = 60.0
_TOKEN_BYTES: Final = 32
_PRIVATE: Final = 0o600
_PARTS: Final = 3


def token_of(file: Path) -> str:
    """Return the token in a file that only its user may read; makes both when there is none.

    Raises:
        OSError: the file cannot be made or read.
        PermissionError: others may read it: whatever it says is no secret.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        made = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE)
    except FileExistsError:
        return _read(file)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with os.fdopen(made, "w") as opened:
        opened.write(token + "\n")
    return token


def _read(file: Path) -> str:
    if file.stat().st_mode & 0o077:
        raise PermissionError(f"{file} may be read by others: remove it, and a new token is made")
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < _TOKEN_BYTES:
        raise PermissionError(f"{file} holds no token: remove it, and a new one is made")
    return token


@dataclass(slots=True)
class Login:
    """Checks tokens, and signs and checks sessions. `clock`: seconds since the epoch."""

    token: str = field(repr=False)
    clock: Callable[[], float]

    def is_right(self, given: str) -> bool:
        """Say whether somebody has given the token; takes as long whatever they gave."""
        return hmac.compare_digest(given.strip().encode(), self.token.encode())

    def session(self) -> str:
        """Return the value of a cookie for somebody who has given the token."""
        body = f"{int(self.clock()) + SESSION_S}.{secrets.token_hex(8)}"
        return f"{body}.{self._signature(body)}"

    def knows(self, session: str) -> bool:
        """Say whether a cookie is one of ours and has not ended; a new token ends all of them."""
        parts = session.split(".")
        if len(parts) != _PARTS or not parts[0].isascii() or not parts[0].isdecimal():
            return False
        body = f"{parts[0]}.{parts[1]}"
        right = hmac.compare_digest(parts[2].encode(), self._signature(body).encode())
        return right and self.clock() < int(parts[0][:15])

    def _signature(self, body: str) -> str:
        return hmac.new(self.token.encode(), b"rayfleet dashboard " + body.encode(), hashlib.sha256).hexdigest()


class Tries:
    """Counts wrong tries by address; who had too many has to wait."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none; `clock` in seconds."""
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def wait_s(self, address: str) -> float:
        """Return for how long nothing is taken from an address; 0: it may try."""
        now = self._clock()
        while self._wrong and now - self._wrong[0][0] >= WINDOW_S:
            self._wrong.popleft()
        mine = [at for at, who in self._wrong if who == address]
        if len(mine) >= WRONG_TRIES:
            return mine[-WRONG_TRIES] + WINDOW_S - now
        if len(self._wrong) >= WRONG_TRIES_OF_ALL:
            return self._wrong[-WRONG_TRIES_OF_ALL][0] + WINDOW_S - now
        return 0.0

    def wrong(self, address: str) -> None:
        """Count one."""
        self._wrong.append((self._clock(), address))
