"""The controller's log files, and reading them while they are written."""

from __future__ import annotations

import logging
import logging.handlers
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from rayfleet.launcher.home import Home
from rayfleet.reports import log_lines
from rayfleet.reports.log_lines import LogFormat

CONTROLLER_LOG: Final = "controller.log"
OUTPUT_LOG: Final = "controller.out"
"""What the controller's interpreter itself says: a crash ends there."""

_LOG_BYTES: Final = 5 * 2**20
_LOGS_KEPT: Final = 3
_POLL_S: Final = 0.25
_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def paths(home: Home) -> tuple[Path, ...]:
    """Return every log file of the cluster, the controller's first."""
    every = sorted(path for path in home.logs.glob("*") if path.is_file())
    return tuple(sorted(every, key=lambda path: not path.name.startswith("controller")))


def configure(home: Home, *, also_here: bool) -> None:
    """Send this process's log to the cluster's log file, rotated; `also_here`: to standard error too.

    In a container it is standard output instead. RAYFLEET_LOG_FORMAT=json: lines for programs (see `log_lines`).
    """
    file = logging.handlers.RotatingFileHandler(
        home.logs / CONTROLLER_LOG, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8"
    )
    handlers: list[logging.Handler] = [file]
    if also_here:
        handlers.append(logging.StreamHandler(log_lines.stream()))
    if log_lines.wanted() is LogFormat.JSON:
        log_lines.json_lines(handlers)
    else:
        _text_lines(handlers)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells each opening and closing of each channel


def _text_lines(handlers: list[logging.Handler]) -> None:
    logging.basicConfig(level=logging.INFO, format=_FORMAT, handlers=handlers, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(ignore_frame_names=["structlog"]),
    )


def tail(home: Home, count: int) -> list[str]:
    """Return the last `count` lines of the controller's log; none when it has none yet."""
    return last_lines(home.logs / CONTROLLER_LOG, count)


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a file; none when it does not exist."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


def size(home: Home) -> int:
    """Return the length of the controller's log in bytes."""
    path = home.logs / CONTROLLER_LOG
    return path.stat().st_size if path.exists() else 0


def new_lines(home: Home, position: int) -> Iterator[str]:
    """Yield lines of the controller's log from `position` (bytes) on as they come, for ever, across rotations."""
    path = home.logs / CONTROLLER_LOG
    while True:
        now = size(home)
        if now < position:  # rotated: the new file is read from its start
            position = 0
        if now > position:
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(position)
                for line in file:
                    yield line.rstrip("\n")
                position = file.tell()
        time.sleep(_POLL_S)
