"""What a cluster leaves on its machine once its machines are released: looked for in /proc and on disk, and removed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher.home import Home
from rayfleet.providers.process import leftovers, procfs
from rayfleet.providers.process.leftovers import Leftover

LEAVE_TIMEOUT_S: Final = 5.0
RAY_LOGS: Final = "ray"
"""Folder of the last session's Ray logs, in the cluster's folder of logs."""
_POLL_S: Final = 0.1


async def end_leftovers(home: Home) -> tuple[Leftover, ...]:
    """End every process that carries the cluster's tag; return those that would not."""
    left = leftovers.left_behind(home.name, home.path)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        for each in left:
            with suppress(PermissionError):  # it runs with another user's rights, and will be named as left
                procfs.send_signal(each.key, number)
        while left and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            left = leftovers.left_behind(home.name, home.path)
    return left


def remove_traces(home: Home) -> None:
    """Remove what only a running cluster needs. The logs of its Ray are kept, beside ours."""
    session = _session_of(home)
    if session is not None:
        kept = home.logs / RAY_LOGS
        shutil.rmtree(kept, ignore_errors=True)
        if (session / "logs").is_dir():
            shutil.move(session / "logs", kept)
        shutil.rmtree(session, ignore_errors=True)
        _forget_session(session.parent, RaySettings.load(home.path).gcs_address)
    home.forget_ray()


def _session_of(home: Home) -> Path | None:
    """Return the session folder of the cluster's last head, when it is still there."""
    try:
        told = json.loads(RaySettings.load(home.path).head_path.read_text(encoding="utf-8"))
        session = Path(told["session_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return session if session.is_dir() and session.name.startswith("session_") else None


def _forget_session(temp_dir: Path, gcs_address: str) -> None:
    """Remove what leads Ray's tools to a cluster that is no more; another cluster's stays."""
    for link in (temp_dir / "session_latest", temp_dir / "prom_metrics_service_discovery.json"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    current = temp_dir / "ray_current_cluster"
    if current.is_file() and current.read_text(encoding="utf-8").strip() == gcs_address:
        current.unlink()
