"""The machine that measures: how busy it is, and what one process uses. Reads /proc."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: `cpu_s` of all its threads, and its resident memory now."""

    cpu_s: float
    rss_mib: float


def usage(pid: int) -> Usage:
    """Return what the process uses. FileNotFoundError when it is gone."""
    folder = Path("/proc") / str(pid)
    ticks = cpu_ticks((folder / "stat").read_text(encoding="utf-8"))
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    return Usage(ticks / _TICKS_PER_S, pages * _PAGE_BYTES / _MIB)


def cpu_ticks(stat: str) -> int:
    """Return user and system time from the text of /proc/PID/stat; the name in it may hold spaces and brackets."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def load() -> float:
    """Return how many processes have wanted a core, on average of the last minute."""
    return os.getloadavg()[0]


def too_busy(load_1m: float, cores: int) -> bool:
    """Say whether others leave too little of the machine for the results to mean much."""
    return load_1m > cores / 2


def description() -> dict[str, Any]:
    """Return what the machine is, for whoever compares results."""
    import ray

    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "kernel": platform.release(),
    }
