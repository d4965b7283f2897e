"""Lines of logs: one for each event, for people or for programs.

    text    2026-11-23 09:40:03,120 INFO    rayfleet.loop: event='launch' cluster='demo' pool='cpu4' count=2
    json    {"timestamp": "2026-11-23T09:40:03.120Z", "level": "info", "logger": "rayfleet", "event": "launch", ...}

RAYFLEET_LOG_FORMAT says which; text is the default. In JSON a traceback is one text, and what libraries log has the
same keys; keys of our own events are only ever added.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

import structlog
from structlog.typing import Processor

from rayfleet.model.word import Word

FORMAT_VARIABLE: Final = "RAYFLEET_LOG_FORMAT"
_CONTAINER_MARKS: Final = ("/.dockerenv", "/run/.containerenv")


class LogFormat(Word):
    """For whom lines are."""

    TEXT = "text"
    JSON = "json"


def wanted(environment: Mapping[str, str] | None = None) -> LogFormat:
    """Return the format that the environment asks for; whatever it does not know is text."""
    asked = (os.environ if environment is None else environment).get(FORMAT_VARIABLE, "").strip().lower()
    return LogFormat.JSON if asked == LogFormat.JSON else LogFormat.TEXT


def stream(environment: Mapping[str, str] | None = None, marks: tuple[str, ...] = _CONTAINER_MARKS) -> TextIO:
    """Return where a process that is watched writes: standard output in a container, else standard error."""
    inside = "KUBERNETES_SERVICE_HOST" in (os.environ if environment is None else environment)
    return sys.stdout if inside or any(Path(mark).exists() for mark in marks) else sys.stderr


def json_lines(handlers: list[logging.Handler]) -> None:
    """Have everything that this process logs, ours and libraries', be JSON on these handlers."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_NAMED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _first,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_NAMED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(ignore_frame_names=["structlog"]),
    )


_NAMED: Final[tuple[Processor, ...]] = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_FIRST: Final = ("timestamp", "level", "logger", "event")


def _first(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put what every line has before the rest."""
    return {**{key: event[key] for key in _FIRST if key in event}, **event}
