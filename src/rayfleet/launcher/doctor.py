"""What goes wrong most on a machine that is to run a cluster, looked at before it does. Changes nothing."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from rayfleet.engines.ray.settings import Ports, RaySettings, is_free
from rayfleet.launcher import home as homes
from rayfleet.launcher import lease
from rayfleet.launcher.home import Home
from rayfleet.planner.packing import kernel
from rayfleet.providers.process import leftovers, procfs

GIB: Final = 2**30
PYTHON_LEAST: Final = (3, 11)
RAY_LEAST: Final = (2, 52)
DISK_FREE_BYTES: Final = 2 * GIB
DISK_FULL: Final = 0.95  # Ray stops creating objects there when a file system is fuller than this
MEMORY_BYTES: Final = 2 * GIB
SHARED_MEMORY_BYTES: Final = GIB // 4
OPEN_FILES: Final = 4096
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Ray keeps objects; only looked at
_RAY_PORTS: Final = {6379: "clients", 10001: "Ray Client", 8265: "the dashboard"}
_LISTEN: Final = "0A"
_LOOPBACK: Final = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1 as the kernel prints them


class State(StrEnum):
    """How a finding is."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint`: what to do when it is not fine."""

    what: str
    state: State
    text: str
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything."""
    return [finding for look in _LOOKS for finding in look()]


def _python() -> Iterator[Finding]:
    have = sys.version.split()[0]
    if sys.version_info >= PYTHON_LEAST:
        yield Finding("python", State.OK, have)
    else:
        yield Finding("python", State.BAD, have, "rayfleet needs Python 3.11 or newer")


def _ray() -> Iterator[Finding]:
    try:
        have = metadata.version("ray")
    except metadata.PackageNotFoundError:
        yield Finding("ray", State.BAD, "is not installed", "pip install 'ray[default]'")
        return
    numbers = tuple(int(part) for part in have.split(".")[:2] if part.isdigit())
    fine = numbers >= RAY_LEAST
    yield Finding("ray", State.OK if fine else State.BAD, have, "" if fine else "rayfleet needs Ray 2.52 or newer")


def _planner() -> Iterator[Finding]:
    text = f"kernel in {kernel.NAME}"
    if kernel.NAME == "C":
        yield Finding("planner", State.OK, text)
    else:
        yield Finding("planner", State.NOTE, text, "the same plans, but slower; with a C compiler, install again")


def _ports() -> Iterator[Finding]:
    """Ray's default ports; other ones are chosen where they are taken, so that is never more than a note."""
    ours = {
        port: home.name for home in homes.known() if home.is_up and not home.is_elsewhere for port in _ports_of(home)
    }
    for port, purpose in _RAY_PORTS.items():
        what = f"port {port}"
        if is_free(port):
            yield Finding(what, State.OK, f"free, for {purpose}")
        elif port in ours:
            yield Finding(what, State.OK, f"used by cluster {ours[port]}")
        else:
            yield Finding(what, State.NOTE, "taken by another program", "the next cluster gets other ports")


def _ports_of(home: Home) -> tuple[int, ...]:
    try:
        ports: Ports = RaySettings.load(home.path).ports
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return (ports.gcs_port, ports.client_port, ports.dashboard_port)


def _disk() -> Iterator[Finding]:
    places = {"temporary files": Path(tempfile.gettempdir()), "state": _existing(homes.root())}
    for what, place in places.items():
        usage = shutil.disk_usage(place)
        text = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} at {place}"
        full = usage.free < DISK_FREE_BYTES or 1 - usage.free / usage.total > DISK_FULL
        hint = "make room there: Ray stops keeping objects on a disk that is 95 % full" if full else ""
        yield Finding(f"disk for {what}", State.BAD if full else State.OK, text, hint)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _memory() -> Iterator[Finding]:
    lines = (procfs.PROC / "meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    text = f"{available / GIB:.1f} GiB available"
    if available >= MEMORY_BYTES:
        yield Finding("memory", State.OK, text)
    else:
        yield Finding(
            "memory", State.NOTE, text, "a head takes about 0.7 GiB, each worker 0.2 GiB and what its tasks use"
        )


def _shared_memory() -> Iterator[Finding]:
    what = str(_SHARED_MEMORY)
    if not _SHARED_MEMORY.is_dir():
        yield Finding(what, State.NOTE, "is missing", "Ray keeps objects on disk then, which is slow")
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    text = f"{free / GIB:.1f} GiB free"
    if free >= SHARED_MEMORY_BYTES:
        yield Finding(what, State.OK, text)
    else:
        hint = "Ray keeps objects on disk then, which is slow; in a container: --shm-size=2g"
        yield Finding(what, State.NOTE, text, hint)


def _open_files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        yield Finding("open files", State.OK, f"{soft} allowed")
    else:
        yield Finding(
            "open files", State.NOTE, f"{soft} allowed (at most {hard})", f"before `up`: ulimit -n {OPEN_FILES}"
        )


def _clusters() -> Iterator[Finding]:
    """Every cluster that was started here: who controls it, what is left of it, and who may reach it."""
    for home in homes.known():
        what = f"cluster {home.name}"
        left = leftovers.left_behind(home.name, home.path)
        if not home.is_up:
            if left:
                yield Finding(
                    what, State.BAD, f"is down, but {len(left)} of its processes live", f"rayfleet down {home.name}"
                )
            continue
        if home.is_elsewhere:
            yield Finding(what, State.OK, "is up on other computers; rayfleet status asks its head")
            continue
        if (found := lease.controller(home)) is None:
            hint = f"rayfleet up {home.name} takes it up again, rayfleet down {home.name} ends it"
            yield Finding(what, State.BAD, f"has no controller; {len(left)} processes run on without one", hint)
        else:
            yield Finding(what, State.OK, f"is up: {found}")
        yield from _exposure(home)


def _exposure(home: Home) -> Iterator[Finding]:
    """A dashboard that runs whatever job anybody in the network sends it."""
    try:
        settings = RaySettings.load(home.path)
    except (OSError, ValueError, TypeError, KeyError):
        return
    if not settings.token_auth and settings.ports.dashboard_port in _open_to_others():
        yield Finding(
            f"dashboard of {home.name}",
            State.BAD,
            f"port {settings.ports.dashboard_port} takes jobs from anybody who can reach this machine",
            "leave token authentication on, or bind it to 127.0.0.1",
        )


def _open_to_others() -> set[int]:
    """Return the TCP ports that others than this machine can reach."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (procfs.PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == _LISTEN and address not in _LOOPBACK:
                found.add(int(port, 16))
    return found


_LOOKS: Final[tuple[Callable[[], Iterator[Finding]], ...]] = (
    _python, _ray, _planner, _ports, _disk, _memory, _shared_memory, _open_files, _clusters,
)  # fmt: skip
