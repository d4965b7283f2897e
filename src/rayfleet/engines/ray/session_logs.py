"""Files in the head's session folder where Ray's users look: driver events, `monitor.log`, `autoscaler.log`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rayfleet.engines.ray.events import Event

STATUS_LOGS: Final = ("monitor.log", "autoscaler.log")
_EVENTS: Final = "events/event_AUTOSCALER.log"
_ROTATE_BYTES: Final = 20_000_000


def append_events(logs_dir: Path, events: Iterable[Event], now: float) -> None:
    """Append events, which the head's log monitor hands to drivers. `now`: seconds since the epoch."""
    lines = "".join(f"{json.dumps(_record(event, now))}\n" for event in events)
    if lines:
        _append(logs_dir / _EVENTS, lines)


def append_status(logs_dir: Path, text: str, took_s: float, now: float) -> None:
    """Append a status block and Ray's familiar closing line to the logs that users follow. OSError when full."""
    at = datetime.fromtimestamp(now, UTC).astimezone()
    stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}"
    closing = f"The autoscaler took {took_s:.3f} seconds to complete the update iteration."
    for name in STATUS_LOGS:
        _append(logs_dir / name, f"{stamp}\tINFO -- \n{text}\n{stamp}\tINFO -- {closing}\n")


def _append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _ROTATE_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _record(event: Event, now: float) -> dict[str, object]:
    """Return an event as Ray's log monitor reads it: the JSON of its Event message."""
    return {
        "event_id": secrets.token_hex(18),
        "source_type": "AUTOSCALER",
        "source_hostname": socket.gethostname(),
        "source_pid": os.getpid(),
        "severity": event.severity.value,
        "label": "",
        "message": event.text,
        "timestamp": str(int(now)),
        "custom_fields": {},
    }
